"""The structure: coloured by a track, contacts as lines, residues to click."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np
import traitlets

from catjac_widgets.errors import UsageError
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Sequence
from catjac_widgets.widgets.base.arrays import square
from catjac_widgets.widgets.base.state import SHARED, SharedState, refuse_unknown
from catjac_widgets.widgets.structure.head import StructureHead
from catjac_widgets.widgets.structure.scene import SEPARATIONS, Scene, shade
from catjac_widgets.widgets.structure.viewer import make_viewer

if TYPE_CHECKING:
    import xarray as xr

MISSING = (
    "nglview, which draws the structure, is not installed where the kernel runs; "
    'run: %pip install "nglview!=4.0.1"'
)

#: Pixels; nglview must be told, or it has no width inside other boxes. The browser widens it to its box.
WIDTH, HEIGHT = 440, 360

POSITION, CHAIN = "sequence position", "chain"


class StructureView(SharedState, ipywidgets.VBox):
    """A structure by nglview, linked to the other views in both directions.

    Clicking a residue chooses it; clicking another one next makes the two the selected pair, and so does
    clicking a line. What is selected elsewhere is shown with all its atoms.

    Parameters
    ----------
    structure
        `catjac.structure(…)`, a path, "pdb:" and an id, or one of `catjac.examples()`.
    sequence
        Whose residues are meant; the state's, or the structure's own, by default.
    contacts
        Map (L, L) whose L highest pairs are drawn as lines, in one colour where they are in contact in this
        structure and in another where not.
    tracks
        {name: (L,)} to colour by.
    state
        Another widget whose selection and chosen residues to share.
    height
        Of the picture, in pixels; it is as wide as its box.
    **traits
        Initial values of any trait below or of `SharedState`.

    Attributes
    ----------
    colour_by
        Name of the track that colours.
    show_contacts
        Whether contact lines are drawn.
    problem
        A sentence where the structure cannot be shown; else "".
    view
        nglview's widget, for whatever else it can do; None where nglview is missing.

    Raises
    ------
    StructureError
        If the structure cannot be read, or does not fit the sequence.
    UsageError
        If a map or a track has another length.
    """

    colour_by = traitlets.Unicode(POSITION)
    show_contacts = traitlets.Bool(True)
    problem = traitlets.Unicode("")

    def __init__(
        self,
        structure: Any,
        *,
        sequence: Sequence | str | None = None,
        contacts: xr.DataArray | np.ndarray | None = None,
        tracks: dict[str, Any] | None = None,
        state: SharedState | None = None,
        height: int = HEIGHT,
        **traits: Any,
    ) -> None:
        refuse_unknown(self, traits)
        if hasattr(structure, "structure") and hasattr(structure, "sequence"):  # an example protein
            sequence = structure.sequence if sequence is None else sequence
            structure = structure.structure
        known = state.sequence if state is not None and state.sequence is not None else sequence
        self.scene = Scene(structure, None if known is None else as_sequence(known))
        self._links: list[traitlets.link] = []
        self._follows = state is not None
        if state is not None:
            self._delivery = state.delivery
            traits = {name: getattr(state, name) for name in SHARED} | traits
        super().__init__(**{**traits, "sequence": self.scene.sequence})
        if state is not None:
            self._links = [traitlets.link((state, name), (self, name)) for name in SHARED]
        self.add_class("catjac-structure")
        self.view: Any = None
        self.tracks: dict[str, np.ndarray] = {}
        self._contacts: np.ndarray | None = None
        self._build(self if state is None else state, height)
        try:
            for name, values in (tracks or {}).items():
                self.add_track(name, values)
            if contacts is not None:
                self.draw_contacts(contacts)
        except BaseException:
            self.close()  # Nobody will have it.
            raise
        self.observe(lambda change: self._more_pairs(), "min_separation")

    # ---- what a person uses

    def add_track(self, name: str, values: Any) -> None:
        """Offer a track to colour by, (L,) with NaN where unknown; the first one is used at once.

        Raises
        ------
        UsageError
            If it has another length than the sequence.
        """
        track = np.asarray(values, dtype=float)
        if track.shape != (len(self.scene.sequence),):
            raise UsageError(
                f"The track {name!r} has shape {track.shape} but the sequence {len(self.scene.sequence)} "
                "residues; give one value a residue."
            )
        first = not self.tracks
        self.tracks[name] = track
        self._offer()
        if first:
            self.colour_by = name

    def draw_contacts(self, contacts: xr.DataArray | np.ndarray | None) -> None:
        """Draw the L highest pairs of a map as lines, L counting resolved residues; None takes them away.

        Raises
        ------
        UsageError
            If the map is not that of the sequence.
        """
        scores = None if contacts is None else square(contacts)
        if scores is not None and len(scores) != len(self.scene.sequence):
            raise UsageError(
                f"The map has {len(scores)} residues but the sequence has {len(self.scene.sequence)}; "
                "give one that matches."
            )
        self._contacts = scores
        self.head.pairs = None if scores is None else self.scene.pairs(scores, self.min_separation)

    def close(self) -> None:
        """Close every comm of this view and let go of the shared state."""
        if self.comm is None:
            return
        for link in self._links:
            link.unlink()
        self._links = []
        if not self._follows:
            self.delivery.close()
        self.head.layout.close()
        self.head.close()
        if self.view is not None:
            self.view.close()
        self.layout.close()
        super().close()

    # ---- how it works

    def open(self) -> None:
        """Open the comm; what is shared is synced by the widget that holds it."""
        if self._follows:
            self.keys = [name for name in self.traits(sync=True) if name not in SHARED]
        super().open()

    def _build(self, state: SharedState, height: int) -> None:
        try:
            self.view = make_viewer(WIDTH, height)
        except ImportError:
            self.problem = MISSING
        scene = self.scene
        seen = self.view is not None
        self.head: Any = StructureHead(
            state=state,
            title=scene.structure.name,
            caption=self._caption(),
            problem=self.problem,
            viewer=self.view.model_id if seen else "",
            text=scene.pdb_text() if seen else "",
            atoms=scene.atoms,
            points=scene.points.astype(np.float32),
            height=height,
        )
        self._links += [
            traitlets.link((self, name), (self.head, name)) for name in ("colour_by", "show_contacts")
        ]
        self._offer()
        shown: Any = (self.head, self.view) if seen else (self.head,)
        self.children = shown

    def _offer(self) -> None:
        """Tell the browser what may colour."""
        place = np.arange(len(self.scene.sequence), dtype=float)
        offered = {POSITION: place}
        if len(self.scene.sequence.chains) > 1:
            offered[CHAIN] = self.scene.sequence.chain_index.astype(float)
        offered |= self.tracks
        with self.head.hold_sync():
            self.head.tracks = list(offered)
            self.head.shades = np.stack([shade(track) for track in offered.values()])

    def _caption(self) -> str:
        missing = self.scene.unresolved
        if not missing:
            return "click a residue to choose it, a second one for the pair"
        return f"{missing} of {len(self.scene.sequence)} residues are not resolved"

    def _more_pairs(self) -> None:
        if self._contacts is not None and self.min_separation > SEPARATIONS:
            self.draw_contacts(self._contacts)
