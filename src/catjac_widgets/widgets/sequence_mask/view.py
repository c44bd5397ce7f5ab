"""The sequence track: which residues the model may see, as fragments that are dragged, grown and shrunk."""

from __future__ import annotations

import itertools
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np
import traitlets

from catjac_widgets.errors import CatjacError, UsageError
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Sequence
from catjac_widgets.widgets.base.state import STATIC, SharedState, View
from catjac_widgets.widgets.contact_map.view import ContactMap

if TYPE_CHECKING:
    from catjac_widgets.engine.jobs.frames import Frames

MASKED_HEAD_LABEL = "attention head, masked"
MASKED_HEAD_CAPTION = "the model's contact head under this mask, one pass"

#: How many masks `SequenceMask.undo` goes back.
HISTORY = 200

#: How many frames' timings are remembered.
TIMINGS = 2000


class DragMessage(TypedDict):
    """What the front end sends while a fragment is dragged; serial numbers grow."""

    kind: Literal["drag"]
    serial: int
    fragments: list[list[int]]


class FrameMessage(TypedDict):
    """What it gets back, on the contact map's comm, with the map as a buffer: see `packed`."""

    kind: Literal["frame"]
    serial: int
    label: str
    caption: str
    quantity: str


@dataclass(frozen=True)
class FrameTiming:
    """How long one frame took in the kernel.

    Attributes
    ----------
    serial
        Of the question that it answers.
    seconds
        From the receipt of the question to the end of the sending.
    size
        Bytes of the map.
    """

    serial: int
    seconds: float
    size: int


class SequenceMask(View):
    """Letters of a protein with the fragments that stay visible; drag them, their ends, or along the letters.

    Parameters
    ----------
    sequence
        What to show; read off `state` where that is given.
    model
        Whose contact head to show on `contact_map` while a fragment is dragged: as of `catjac.jacobian`, or
        None for none.
    contact_map
        Where to show it; `state` itself if that is a `ContactMap`.
    state
        Another widget whose mask, selection and hover to share.
    **traits
        Initial values of any trait below or of `SharedState`.

    Attributes
    ----------
    mask
        Which residues the model may not see, or None where it sees all; set it, or observe it.
    note
        What a person should know, for instance that the model has no contact head.
    previews
        Whether the front end is to ask for a map with each move.
    can_undo, can_redo
        Whether there is a mask to go back, or forward, to.
    timings
        `FrameTiming` of the latest frames.

    Raises
    ------
    UsageError
        If there is no sequence.
    TypeError
        For a keyword that is no trait.
    """

    _esm = STATIC / "sequence_mask.js"
    _css = STATIC / "catjac.css"

    note = traitlets.Unicode("").tag(sync=True)
    previews = traitlets.Bool(False).tag(sync=True)
    can_undo = traitlets.Bool(False).tag(sync=True)
    can_redo = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        sequence: Sequence | str | None = None,
        *,
        model: Any = None,
        contact_map: ContactMap | None = None,
        state: SharedState | None = None,
        **traits: Any,
    ) -> None:
        if sequence is not None:
            traits["sequence"] = as_sequence(sequence)
        known = traits.get("sequence") or (state.sequence if state is not None else None)
        if known is None:
            raise UsageError("There is no sequence to mask; give one, or a state that has one.")
        if contact_map is None and isinstance(state, ContactMap):
            contact_map = state
        self._map = contact_map
        self._frames: Frames | None = None
        if model is not None and self._map is not None:
            self._frames, note = frames_of(known, model)
            traits = {"previews": self._frames is not None, "note": note} | traits
        self._past: deque[Mask | None] = deque(maxlen=HISTORY)
        self._future: list[Mask | None] = []
        self._stepping = False
        self._presses = itertools.count()
        self._latest = 0
        self.timings: deque[FrameTiming] = deque(maxlen=TIMINGS)
        super().__init__(state=state, **traits)
        self.observe(self._remember, "mask")
        self.on_msg(self._received)

    # ---- what a person uses

    def undo(self) -> None:
        """Go back to the mask before; nothing happens where there is none."""
        self._step(self._past, self._future)

    def redo(self) -> None:
        """Take `undo` back."""
        self._step(self._future, self._past)

    @property
    def stale_frames(self) -> int:
        """How many questions were overtaken by a newer one before their map was computed."""
        return 0 if self._frames is None else self._frames.dropped

    # ---- history

    def _step(self, source: Any, target: Any) -> None:
        if not source:
            return
        target.append(self.mask)
        self._stepping = True
        try:
            self.mask = source.pop()
        finally:
            self._stepping = False
        self._tell_history()

    def _remember(self, change: Any) -> None:
        if self._stepping or visible(change["old"]) == visible(change["new"]):
            return
        self._past.append(change["old"])
        self._future.clear()
        # Perhaps on the thread of a message, which may not send.
        self.delivery.post(("history", id(self)), lambda _: self._tell_history(), urgent=True)

    def _tell_history(self) -> None:
        with self.hold_sync():
            self.can_undo, self.can_redo = bool(self._past), bool(self._future)

    # ---- messages, on whatever thread brings them

    def _received(self, widget: Any, content: Any, buffers: Any) -> None:
        kind = content.get("kind")
        if kind == "drag":
            self._dragged(content)
        elif kind == "ready" and self._frames is not None:
            self._frames.warm()
        elif kind in ("undo", "redo"):
            step = self.undo if kind == "undo" else self.redo
            # Each press counts, also those that wait together.
            self.delivery.post((kind, id(self), next(self._presses)), lambda _: step(), urgent=True)

    def _dragged(self, content: DragMessage) -> None:
        received = time.perf_counter()
        serial = int(content["serial"])
        # Messages may overtake each other where several threads take them in.
        if self._frames is None or self._map is None or self.sequence is None or serial <= self._latest:
            return
        self._latest = serial
        mask = Mask.showing(self.sequence, [(first, last) for first, last in content["fragments"]])

        def come(values: np.ndarray) -> None:
            self.delivery.post(
                ("frame", id(self)), lambda _: self._send_frame(serial, values, received), urgent=True
            )

        def failed(error: BaseException) -> None:
            self.delivery.post(("frame", id(self)), lambda _: self._tell_failure(error), urgent=True)

        self._frames.ask(mask, come, failed)

    def _tell_failure(self, error: BaseException) -> None:
        reason = str(error) if isinstance(error, CatjacError) else f"{type(error).__name__}: {error}"
        self.note = f"The map under this mask could not be computed. {reason}"

    def _send_frame(self, serial: int, values: np.ndarray, received: float) -> None:
        assert self._map is not None
        message: FrameMessage = {
            "kind": "frame",
            "serial": serial,
            "label": MASKED_HEAD_LABEL,
            "caption": MASKED_HEAD_CAPTION,
            "quantity": "probability",
        }
        buffer = packed(values)
        self._map.send(message, buffers=[buffer.data.cast("B")])
        self.timings.append(FrameTiming(serial, time.perf_counter() - received, buffer.nbytes))


def packed(probabilities: np.ndarray) -> np.ndarray:
    """Make a symmetric map small for its way to the browser: a quarter of float32, and as exact as is read.

    Parameters
    ----------
    probabilities
        (L, L), symmetric, in 0 … 1.

    Returns
    -------
    np.ndarray
        little-endian uint16, (L (L + 1) / 2,): the upper triangle with the diagonal, row by row, in steps of
        1/65535.
    """
    upper = probabilities[np.triu(np.ones(probabilities.shape, dtype=bool))]
    return np.rint(65535 * np.clip(upper, 0.0, 1.0)).astype("<u2")


def visible(mask: Mask | None) -> tuple[tuple[int, int], ...] | None:
    """Visible fragments; None where nothing is masked, however that is written."""
    return mask.fragments if mask is not None and mask else None


def frames_of(sequence: Sequence, model: Any) -> tuple[Frames | None, str]:
    """Make the contact head's frames, or None and what to say of it.

    Nothing is said where the model cannot be told, which its job will explain.
    """
    from catjac_widgets.analysis.contacts.head import contact_probabilities_of
    from catjac_widgets.engine.jobs.frames import Frames
    from catjac_widgets.language_models.registry import identify

    try:
        identity = identify(model)
        if not identity.has_contact_head:
            return None, no_head(identity.name)
        return Frames(contact_probabilities_of(sequence.residues), model), ""
    except CatjacError:
        return None, ""


def no_head(model_name: str) -> str:
    """Say what a drag shows with a model that has no contact head."""
    return (
        f"{model_name} has no fitted contact head, so the map stands still while you drag; "
        "the Jacobian under the new mask follows when you let go."
    )
