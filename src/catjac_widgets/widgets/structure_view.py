"""The structure: coloured by a track, contacts as lines, residues to click."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np
import traitlets

from catjac_widgets.errors import UsageError
from catjac_widgets.sequences import Sequence, as_sequence
from catjac_widgets.widgets.map_layers import square
from catjac_widgets.widgets.state import SHARED, Pair, SharedState, refuse_unknown
from catjac_widgets.widgets.structure_head import StructureHead
from catjac_widgets.widgets.structure_scene import Cylinder, Scene

if TYPE_CHECKING:
    import xarray as xr

MISSING = (
    "nglview, which draws the structure, is not installed where the kernel runs; "
    'run: %pip install "nglview!=4.0.1"'
)

#: Pixels; nglview must be told, or it has no width inside other boxes.
WIDTH, HEIGHT = 440, 360

#: From little to much, on light and on dark ground.
COLOURS = [0xC3CAD4, 0x8FB3DC, 0x3B7DD8, 0x7A4FC0, 0xC2307A]

POSITION = "position along the chain"


class StructureView(SharedState, ipywidgets.VBox):
    """A structure by nglview, linked to the other views in both directions.

    Clicking a residue chooses it; clicking another one next makes the two the selected pair. What is
    selected elsewhere is shown with all its atoms.

    Parameters
    ----------
    structure
        `catjac.structure(…)`, a path, "pdb:" and an id, or one of `catjac.examples()`.
    sequence
        Whose residues are meant; the state's, or the structure's own, by default.
    contacts
        Map (L, L) whose L highest pairs are drawn: green where in contact, red where not.
    tracks
        {name: (L,)} to colour by.
    state
        Another widget whose selection and chosen residues to share.
    width, height
        Of the picture, in pixels.
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
        width: int = WIDTH,
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
        self._lines: Any = None
        self._clicked: int | None = None
        self._build(width, height)
        for name, values in (tracks or {}).items():
            self.add_track(name, values)
        if contacts is not None:
            self.draw_contacts(contacts)
        self.observe(lambda change: self._later("mark", self._mark), ["selection", "residues"])
        self.observe(lambda change: self._later("colour", self._colour), "colour_by")
        self.observe(lambda change: self._draw_again(), ["show_contacts", "min_separation"])
        self._mark(None)

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
        self.head.tracks = [POSITION, *self.tracks]
        if first or self.colour_by == name:
            if self.colour_by == name:
                self._later("colour", self._colour)
            self.colour_by = name

    def draw_contacts(self, contacts: xr.DataArray | np.ndarray | None) -> None:
        """Draw the L highest pairs of a map as lines; None takes them away.

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
        self._draw_again()

    def close(self) -> None:
        """Close every comm of this view and let go of the shared state."""
        if self.comm is None:
            return
        for link in self._links:
            link.unlink()
        self._links = []
        if not self._follows:
            self.delivery.close()
        for child in self.children:
            child.layout.close()
            child.close()
        self.layout.close()
        super().close()

    # ---- how it works

    def open(self) -> None:
        """Open the comm; what is shared is synced by the widget that holds it."""
        self.keys = [name for name in self.traits(sync=True) if name not in SHARED]
        super().open()

    def _build(self, width: int, height: int) -> None:
        self.head: Any = StructureHead(
            title=self.scene.structure.name,
            caption=self._caption(),
            tracks=[POSITION],
            colour_by=self.colour_by,
            show_contacts=self.show_contacts,
        )
        self._links += [
            traitlets.link((self, name), (self.head, name)) for name in ("colour_by", "show_contacts")
        ]
        self.children = (self.head,)
        try:
            import nglview
        except ImportError:
            self.problem = self.head.problem = MISSING
            return
        self.view = nglview.NGLWidget(width=f"{width}px", height=f"{height}px")
        self.view.layout.width, self.view.layout.height = f"{width}px", f"{height}px"
        shown: Any = (self.head, self.view)
        self.children = shown
        self._load()
        self.view.observe(self._picked, "picked")
        self.head.observe(lambda change: self._later("ground", self._paint_ground), "ground")

    def _caption(self) -> str:
        missing = self.scene.unresolved
        if not missing:
            return "click a residue to choose it, a second one for the pair"
        return f"{missing} of {len(self.scene.sequence)} residues are not resolved"

    def _paint_ground(self, _: Any) -> None:
        self.view.stage.set_parameters(background_color=self.head.ground)

    def _later(self, what: str, send: Any, prepare: Any = None) -> None:
        if self.view is not None:
            self.delivery.post((what, id(self)), send, prepare=prepare)

    def _load(self) -> None:
        """Show the structure in the colours of the chosen track."""
        import nglview

        text = self.scene.pdb_text(self.tracks.get(self.colour_by))
        self.view.add_structure(nglview.TextStructure(text, ext="pdb"), default_representation=False)
        self.view.add_representation(
            "cartoon",
            selection="protein",
            name="chain",
            color_scheme="bfactor",
            color_scale=COLOURS,
            color_domain=[0, 100],
            component=0,
        )
        self.view.center(component=0)

    def _colour(self, _: Any) -> None:
        # The track is in the text's B-factors; the camera stays where it is.
        self._remove_lines()
        for component in list(self.view._ngl_component_ids):
            self.view.remove_component(component)
        self._load()
        self._mark(None)
        self._show_lines(self._cylinders())

    def _mark(self, _: Any) -> None:
        """Show what is selected with all its atoms."""
        if self.view is None:
            return
        positions = {position for first, last in self.residues for position in range(first, last + 1)}
        positions |= set(self.selection or ())
        self.view._remove_representations_by_name("chosen", component=0)
        atoms = self.scene.atoms_of(sorted(positions))
        if len(atoms):
            self.view.add_representation(
                "ball+stick", selection="@" + ",".join(map(str, atoms)), name="chosen", component=0
            )

    def _draw_again(self) -> None:
        self._later("lines", self._show_lines, prepare=self._cylinders)

    def _cylinders(self) -> list[Cylinder]:
        if self._contacts is None or not self.show_contacts:
            return []
        return self.scene.cylinders(self._contacts, self.min_separation)

    def _remove_lines(self) -> None:
        if self._lines is not None:
            self.view.remove_component(self._lines)
            self._lines = None

    def _show_lines(self, lines: list[Cylinder]) -> None:
        self._remove_lines()
        if lines:
            self._lines = self.view._add_shape(lines, name="contacts")

    def _picked(self, change: Any) -> None:
        atom = (change["new"] or {}).get("atom1")
        if atom is None or "index" not in atom:
            return
        position = self.scene.position_of(int(atom["index"]))
        if position is not None:
            self.delivery.post(("picked", id(self)), lambda _: self.choose(position), urgent=True)

    def choose(self, position: int) -> None:
        """Choose a residue, as a click does: the second of two becomes the pair with the first."""
        before, self._clicked = self._clicked, position
        chosen: tuple[Pair, ...] = ((before, before),) if before is not None else ()
        if before is not None and before != position and self.residues == chosen:
            self._clicked = None
            self.residues = ()
            self.selection = (before, position)
        else:
            self.residues = ((position, position),)
