"""The structure as a panel: lines for the map's contacts, residues coloured by what the Jacobian says."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from catjac_widgets.widgets.base.panels import Panel, PanelContext, register_panel
from catjac_widgets.widgets.base.tracks import TRACKS
from catjac_widgets.widgets.structure.view import StructureView

if TYPE_CHECKING:
    import xarray as xr

NO_STRUCTURE = 'No structure was given; catjac.explore(…, structure="pdb:1UBQ") shows one.'
NO_ATOMS = "Contacts were given without atoms, so there is no structure to show."

#: Pixels of the picture in the explorer.
HEIGHT = 480


def _make(context: PanelContext) -> StructureView:
    return StructureView(context.structure, state=context.state, height=HEIGHT)


def _load() -> None:
    with contextlib.suppress(ImportError):  # the view itself says what is missing
        import nglview  # noqa: F401


def _absent(context: PanelContext) -> str:
    if hasattr(context.structure, "to_pdb"):
        return ""
    return NO_STRUCTURE if context.structure is None else NO_ATOMS


def _colour(view: StructureView, summary: xr.Dataset) -> None:
    for name, label, _ in TRACKS:
        if name in summary:
            view.add_track(label, summary[name].values)
    if "conservation" in summary:
        view.add_track("conservation", summary["conservation"].values)


register_panel(
    Panel(
        "structure",
        "Structure",
        height=570,
        make=_make,
        order=60,
        attribute="structure_view",
        slow=True,
        load=_load,
        absent=_absent,
        show_summary=_colour,
        show_contacts=lambda view, scores: view.draw_contacts(scores),
    )
)
