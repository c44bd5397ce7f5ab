"""What the views share: one object holds it, each view follows it, none talks to another.

A view alone is its own state. Views that are shown together are given one ``state`` (the explorer is one); in
the browser they read and write that widget's model directly, so that hover, selection and separation need no
kernel.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

from catjac_widgets.errors import OptionError, SequenceError, UsageError
from catjac_widgets.proteins.masks import Mask, as_mask
from catjac_widgets.proteins.sequences import Sequence
from catjac_widgets.widgets.base.delivery import Delivery
from catjac_widgets.widgets.base.frames import Frame
from catjac_widgets.widgets.base.traits import Brush, BrushTrait, MapsTrait, Pair, PairTrait, ResiduesTrait

STATIC = Path(__file__).parents[1] / "static"

COLOUR_MAPS = ("ocean", "ember", "graphite")

#: Whose residue numbers are shown: 1 … L over all chains, or the structure's own with insertion codes.
NUMBERINGS = ("position", "structure")


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
        Percentile of a map's counted values at which its colour scale ends; each map has a scale of its own.
    brush
        Block of pairs chosen on the map: ((first, last), (first, last)) of rows and columns, or None. Setting
        `selection` ends it, so that what was chosen last is what the slice shows.
    maps_shown
        Names of the maps (above, below) the diagonal: "map" (what is computed now), "head" (the contact
        head's), "unmasked" and "unmasked head" (the same without a mask), "former" (the finished map under
        the mask before), "native" (contacts of the structure), or a name given to `ContactMap.add_map`.
    numbering
        "position" (1 … L over all chains) or "structure" (the structure's own numbers, with insertion codes);
        to begin with whichever `Sequence.labels` has.
    structure_sequence
        The same residues as the structure names and numbers them; None where the sequence's own numbers are
        those. Residues that it does not resolve bear their position in brackets.
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
    brush = BrushTrait().tag(sync=True)
    maps_shown = MapsTrait().tag(sync=True)
    numbering = traitlets.Enum(NUMBERINGS).tag(sync=True)
    structure_sequence = traitlets.Instance(Sequence, allow_none=True).tag(
        sync=True,
        to_json=_sequence_to_json,
        from_json=lambda value, widget: widget.structure_sequence,
    )

    @traitlets.default("numbering")
    def _numbering_of_the_labels(self) -> str:
        sequence = self.sequence
        own = sequence is not None and sequence.numbers != tuple(map(str, sequence.positions))
        return "structure" if own and self.structure_sequence is None else "position"

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

    @traitlets.validate("brush")
    def _block_within_sequence(self, proposal: Any) -> Brush | None:
        brush: Brush | None = proposal["value"]
        if brush is not None and self.sequence is not None:
            length = len(self.sequence)
            for first, last in brush:
                if first < 1 or last > length:
                    raise SequenceError(
                        f"The block {first}–{last} does not lie within 1–{length}; give runs counted from 1."
                    )
        return brush

    @traitlets.observe("selection")
    def _pair_ends_brush(self, change: Any) -> None:
        # Values given together when a widget is made stay together: then it has no comm yet.
        if change["new"] is not None and self.brush is not None and getattr(self, "comm", None) is not None:
            self.brush = None

    @traitlets.validate("maps_shown")
    def _maps_there_are(self, proposal: Any) -> tuple[str, str]:
        names: tuple[str, str] = proposal["value"]
        known = self.map_names()
        for name in names:
            if known is not None and name not in known:
                raise UsageError(
                    f"There is no map {name!r}; there are {', '.join(known)}, and add_map(name, values)."
                )
        return names

    def map_names(self) -> tuple[str, ...] | None:
        """Names that `maps_shown` may have; None where nobody knows."""
        return None

    @traitlets.validate("structure_sequence")
    def _of_the_same_length(self, proposal: Any) -> Sequence | None:
        names: Sequence | None = proposal["value"]
        if names is not None and self.sequence is not None and len(names) != len(self.sequence):
            raise SequenceError(
                f"The structure's names cover {len(names)} residues but the sequence has "
                f"{len(self.sequence)}; give one name a residue."
            )
        return names

    @property
    def residue_labels(self) -> tuple[str, ...]:
        """What the views call each residue under this numbering: "K24", or "B:K52A"."""
        sequence = self.sequence
        if sequence is None:
            return ()
        if self.numbering == "structure":
            return (self.structure_sequence or sequence).labels
        several = len(sequence.chains) > 1
        return tuple(
            f"{chain}:{letter}{position}" if several else f"{letter}{position}"
            for chain, letter, position in zip(
                sequence.chain_names, sequence.residues, sequence.positions, strict=True
            )
        )

    @traitlets.validate("mask")
    def _of_the_sequence(self, proposal: Any) -> Mask | None:
        mask: Mask | None = proposal["value"]
        if mask is None or self.sequence is None:
            return mask
        return as_mask(mask, self.sequence)

    #: Whether `show_frame` shows anything.
    shows_frames = False

    def show_frame(self, frame: Frame) -> int:
        """Show a map for as long as something is dragged; bytes sent, 0 where nothing here shows maps."""
        return 0

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
    def in_turn(self) -> bool:
        """Whether this thread takes in a message or sends: it holds the lock, so what is slow is posted."""
        return getattr(self, "_receiver", 0) == threading.get_ident() or self.delivery.sending


def visible(mask: Mask | None) -> tuple[Pair, ...] | None:
    """Visible fragments; None where nothing is masked, however that is written."""
    return mask.fragments if mask is not None and mask else None


#: Names of the shared traits.
SHARED = tuple(SharedState.class_own_traits())


def refuse_unknown(widget: traitlets.HasTraits, traits: dict[str, Any]) -> None:
    """Refuse keywords that are no traits of the widget.

    Raises
    ------
    OptionError
        Names the first one.
    """
    unknown = sorted(name for name in traits if not widget.has_trait(name))
    if unknown:
        raise OptionError(
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
    OptionError
        For a keyword that is no trait.
    """

    state = traitlets.Instance(SharedState, allow_none=True).tag(sync=True, **ipywidgets.widget_serialization)

    def __init_subclass__(cls, **options: Any) -> None:
        # Bundles are handed on as text: of a file, which it may watch for changes, anywidget tells every
        # widget for as long as the process lives, so that none is ever freed (its issue 929).
        for name in ("_esm", "_css"):
            bundle = cls.__dict__.get(name)
            if isinstance(bundle, Path) and os.environ.get("ANYWIDGET_HMR") != "1":
                setattr(cls, name, bundle.read_text(encoding="utf-8"))
        super().__init_subclass__(**options)

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
