"""What the views share: one object holds it, each view follows it, none talks to another.

A view alone is its own state. Views that are shown together are given one ``state`` (the explorer is one); in
the browser they read and write that widget's model directly, so that hover, selection and separation need no
kernel.
"""

from __future__ import annotations

import operator
import threading
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

from catjac_widgets.errors import SequenceError
from catjac_widgets.masks import Mask, as_mask
from catjac_widgets.sequences import Sequence
from catjac_widgets.widgets.delivery import Delivery

STATIC = Path(__file__).parent / "static"

COLOUR_MAPS = ("ocean", "ember", "graphite")

Pair = tuple[int, int]


class PairTrait(traitlets.TraitType[Any, Any]):
    """Two 1-based positions, or None."""

    info_text = "a pair of 1-based positions (i, j), or None"
    default_value = None
    allow_none = True

    def validate(self, obj: Any, value: Any) -> Pair | None:
        """Make plain ints of whatever counts as two whole numbers."""
        try:
            i, j = (operator.index(position) for position in value)
        except (TypeError, ValueError):
            self.error(obj, value)
        return (i, j)


class ResiduesTrait(traitlets.TraitType[Any, Any]):
    """Runs (first, last) of 1-based positions, both ends included."""

    info_text = "a list of runs (first, last) of 1-based positions"
    default_value: tuple[Pair, ...] = ()

    def validate(self, obj: Any, value: Any) -> tuple[Pair, ...]:
        """Make tuples of plain ints of whatever counts as runs."""
        try:
            runs = tuple((operator.index(first), operator.index(last)) for first, last in value)
        except (TypeError, ValueError):
            self.error(obj, value)
        if any(first > last for first, last in runs):
            self.error(obj, value)
        return runs


def _sequence_to_json(sequence: Sequence | None, widget: Any) -> dict[str, Any] | None:
    if sequence is None:
        return None
    chains, first = [], 1
    for chain in sequence.chains:
        chains.append([chain.name, first, first + len(chain) - 1])
        first += len(chain)
    return {
        "name": sequence.name,
        "residues": sequence.residues,
        "numbers": list(sequence.numbers),
        "chains": chains,
    }


def _mask_to_json(mask: Mask | None, widget: Any) -> list[list[int]] | None:
    return None if mask is None else [list(fragment) for fragment in mask.fragments]


def _mask_from_json(fragments: Any, widget: SharedState) -> Mask | None:
    if fragments is None or widget.sequence is None:
        return None
    return Mask.showing(widget.sequence, [(first, last) for first, last in fragments])


class SharedState(traitlets.HasTraits):
    """The traits that views share.

    Attributes
    ----------
    sequence
        Whose residues the views name; the front end never changes it.
    selection, hover
        Pair (i, j) of 1-based positions, or None: i is substituted, j is read.
    residues
        Single residues that are chosen (brushed), beside the pair: runs (first, last), 1-based.
    mask
        Which residues the model did not see, or None.
    mask_preview
        Visible fragments while they are dragged in the browser, or None; `mask` follows when they are let go.
    min_separation
        Pairs nearer than that along one chain are dimmed and not counted.
    colour_map
        One of `COLOUR_MAPS`.
    colour_percentile
        Percentile of the counted values at which the colour scale ends.
    """

    sequence = traitlets.Instance(Sequence, allow_none=True).tag(
        sync=True, to_json=_sequence_to_json, from_json=lambda value, widget: widget.sequence
    )
    selection = PairTrait().tag(sync=True)
    hover = PairTrait().tag(sync=True)
    residues = ResiduesTrait().tag(sync=True)
    mask = traitlets.Instance(Mask, allow_none=True).tag(
        sync=True, to_json=_mask_to_json, from_json=_mask_from_json
    )
    mask_preview: traitlets.List[Any] = traitlets.List(allow_none=True, default_value=None).tag(
        sync=True, echo_update=False
    )
    min_separation = traitlets.Int(6, min=0).tag(sync=True)
    colour_map = traitlets.Enum(COLOUR_MAPS, "ocean").tag(sync=True)
    colour_percentile = traitlets.Float(99.5, min=0.0, max=100.0).tag(sync=True)

    @traitlets.validate("selection", "hover")
    def _within_sequence(self, proposal: Any) -> Pair | None:
        pair: Pair | None = proposal["value"]
        if pair is None or self.sequence is None:
            return pair
        length = len(self.sequence)
        for position in pair:
            if not 1 <= position <= length:
                raise SequenceError(
                    f"There is no position {position} in a sequence of {length} residues; "
                    "give (i, j) counted from 1."
                )
        return pair

    @traitlets.validate("residues")
    def _runs_within_sequence(self, proposal: Any) -> tuple[Pair, ...]:
        runs: tuple[Pair, ...] = proposal["value"]
        length = None if self.sequence is None else len(self.sequence)
        for first, last in runs:
            if first < 1 or (length is not None and last > length):
                raise SequenceError(
                    f"Residues {first}–{last} do not lie within 1–{length or '…'}; give runs counted from 1."
                )
        return runs

    @traitlets.validate("mask")
    def _of_the_sequence(self, proposal: Any) -> Mask | None:
        mask: Mask | None = proposal["value"]
        if mask is None or self.sequence is None:
            return mask
        return as_mask(mask, self.sequence)

    @property
    def delivery(self) -> Delivery:
        """The queue through which this state's views are told things; made when first needed."""
        if not hasattr(self, "_delivery"):
            self._delivery = Delivery()
        return self._delivery

    def _handle_msg(self, message: dict[str, Any]) -> None:
        # Messages may come in on any thread while deliver() sends from another.
        with self.delivery.lock:
            self._receiver = threading.get_ident()
            try:
                super()._handle_msg(message)  # type: ignore[misc]
            finally:
                self._receiver = 0

    @property
    def receiving(self) -> bool:
        """Whether this thread takes in a message of the front end, and so may do nothing that takes long."""
        return getattr(self, "_receiver", 0) == threading.get_ident()


#: Names of the shared traits.
SHARED = tuple(SharedState.class_own_traits())


def refuse_unknown(widget: traitlets.HasTraits, traits: dict[str, Any]) -> None:
    """Raise TypeError for keywords that are no traits of the widget."""
    unknown = sorted(name for name in traits if not widget.has_trait(name))
    if unknown:
        raise TypeError(
            f"{type(widget).__name__} has no option {unknown[0]!r}; see help({type(widget).__name__})."
        )


class View(SharedState, anywidget.AnyWidget):
    """Base of the views: an anywidget that follows its own shared traits or those of another widget.

    Parameters
    ----------
    state
        The widget whose shared traits to follow (any `SharedState`); None for a view that stands alone.
    **traits
        Initial values.

    Raises
    ------
    TypeError
        For a keyword that is no trait.
    """

    state = traitlets.Instance(SharedState, allow_none=True).tag(sync=True, **ipywidgets.widget_serialization)

    def __init__(self, *, state: SharedState | None = None, **traits: Any) -> None:
        refuse_unknown(self, traits)
        self._links: list[traitlets.link] = []
        if state is not None:
            self._delivery = state.delivery
            traits = {name: getattr(state, name) for name in SHARED} | traits
        super().__init__(state=state, **traits)
        if state is not None:
            self._links = [traitlets.link((state, name), (self, name)) for name in SHARED]

    def open(self) -> None:
        """Open the comm; a view that follows another widget syncs only what is its own."""
        if self.state is not None:
            # In the browser it reads the other widget's model; the copies here serve Python.
            self.keys = [name for name in self.traits(sync=True) if name not in SHARED]
        super().open()

    def close(self) -> None:
        """Close the comm and let go of the shared state."""
        if self.comm is None:
            return  # closed before, or refused while it was made
        for link in self._links:
            link.unlink()
        self._links = []
        if self.state is None:
            self.delivery.close()
        self.layout.close()
        super().close()
