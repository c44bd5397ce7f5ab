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
from catjac_widgets.widgets.base.frames import Frame
from catjac_widgets.widgets.base.sentences import Sentences, reason
from catjac_widgets.widgets.base.state import STATIC, SharedState, View, visible

if TYPE_CHECKING:
    from catjac_widgets.engine.jobs.frames import Frames

MASKED_HEAD_LABEL = "contact head, masked"
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
        Where to show it; the `state` itself where that can (a `ContactMap`, the explorer).
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
    maskable
        Whether there are masks to be made by hand: not with a model that has no mask token.
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
    maskable = traitlets.Bool(True).tag(sync=True)
    can_undo = traitlets.Bool(False).tag(sync=True)
    can_redo = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        sequence: Sequence | str | None = None,
        *,
        model: Any = None,
        contact_map: SharedState | None = None,
        state: SharedState | None = None,
        **traits: Any,
    ) -> None:
        if sequence is not None:
            traits["sequence"] = as_sequence(sequence)
        known = traits.get("sequence") or (state.sequence if state is not None else None)
        if known is None:
            raise UsageError("There is no sequence to mask; give one, or a state that has one.")
        shows = contact_map or state
        self._map = shows if shows is not None and shows.shows_frames else None
        self._frames: Frames | None = None
        told = ""
        if model is not None and self._map is not None:
            self._frames, maskable, told = frames_of(known, model)
            traits = {"previews": self._frames is not None, "maskable": maskable} | traits
        self._past: deque[Mask | None] = deque(maxlen=HISTORY)
        self._future: list[Mask | None] = []
        self._stepping = False
        self._presses = itertools.count()
        self._latest = 0
        self.timings: deque[FrameTiming] = deque(maxlen=TIMINGS)
        super().__init__(state=state, **traits)
        self._notes = Sentences(self.note)
        self.say("model", told)
        self.observe(self._remember, "mask")
        self.on_msg(self._received)

    # ---- what a person uses

    def use_model(self, model: Any) -> None:
        """Show another model's contact head while a fragment is dragged."""
        assert self.sequence is not None
        self._frames, self.maskable, note = frames_of(self.sequence, model)
        self.previews = self._frames is not None
        self.say("model", note)

    def undo(self) -> None:
        """Go back to the mask before; nothing happens where there is none."""
        self._step(self._past, self._future)

    def redo(self) -> None:
        """Take `undo` back."""
        self._step(self._future, self._past)

    def say(self, source: str, sentence: str) -> None:
        """Add a sentence to `note`, in place of what the same source said before; "" takes it back."""
        self.note = self._notes.say(source, sentence)

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
        # The map on the page is of an older mask: say so, until it is not.
        self.say("frame", f"The map under this mask could not be computed. {reason(error)}")

    def _send_frame(self, serial: int, values: np.ndarray, received: float) -> None:
        assert self._map is not None
        size = self._map.show_frame(Frame(serial, values, MASKED_HEAD_LABEL, MASKED_HEAD_CAPTION))
        self.timings.append(FrameTiming(serial, time.perf_counter() - received, size))
        self.say("frame", "")


def frames_of(sequence: Sequence, model: Any) -> tuple[Frames | None, bool, str]:
    """Make the contact head's frames, or None; whether residues can be hidden; and what to say of it.

    Nothing is said where the model cannot be told, which its job will explain.
    """
    from catjac_widgets.analysis.contacts.head import contact_probabilities_of
    from catjac_widgets.engine.jobs.frames import Frames
    from catjac_widgets.language_models.registry import identify

    try:
        identity = identify(model)
        if not identity.has_mask_token:
            return None, False, f"{identity.name} has no mask token: no residue can be hidden from it."
        if not identity.has_contact_head:
            return None, True, no_head(identity.name)
        return Frames(contact_probabilities_of(sequence.residues), model), True, ""
    except CatjacError:
        return None, True, ""


def no_head(model_name: str) -> str:
    """Say what a drag shows with a model that has no contact head."""
    return (
        f"{model_name} has no fitted contact head, so the map stands still while you drag; "
        "the Jacobian under the new mask follows when you let go."
    )
