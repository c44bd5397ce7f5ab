"""Which panels an explorer has, how they lie in a cell, and what the slower ones are told."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import ipywidgets

from catjac_widgets.errors import CatjacError, UsageError
from catjac_widgets.widgets.recovery_view import RecoveryCurve
from catjac_widgets.widgets.sensitivity_view import TRACKS, Sensitivity
from catjac_widgets.widgets.structure_view import StructureView

if TYPE_CHECKING:
    import xarray as xr

    from catjac_widgets.sequences import Sequence
    from catjac_widgets.widgets.explorer import Explorer

#: Names of the panels, in the order in which they lie.
PANELS = ("sequence", "map", "slice", "sensitivity", "recovery", "structure")

#: What an explorer shows that nobody asked for more: what needs neither bokeh nor nglview.
PLAIN = PANELS[:3]


def check_panels(panels: Iterable[str]) -> tuple[str, ...]:
    """Return names of panels as a tuple.

    Raises
    ------
    UsageError
        For a name that is no panel's.
    """
    wanted = (panels,) if isinstance(panels, str) else tuple(panels)
    for name in wanted:
        if name not in PANELS:
            raise UsageError(f"There is no panel {name!r}; there are {', '.join(PANELS)}.")
    return wanted


def readable_structure(structure: Any, sequence: Sequence) -> Any:
    """Read a path or an id once, for all who need the structure; anything else stays what it is.

    Raises
    ------
    StructureError
        If it cannot be read or does not fit the sequence.
    """
    if isinstance(structure, str | os.PathLike):
        from catjac_widgets.structures.experimental import structure as read_structure

        return read_structure(structure, sequence=sequence)
    return structure


class Panels:
    """The panels beside map, slice and sequence, told of the Jacobian when it is complete.

    Parameters
    ----------
    explorer
        Whose state they follow; its map and its status are watched.
    wanted
        Names out of `PANELS`.
    structure
        A `Structure`, or anything without atoms, which makes no panel.
    model
        For the recovery curves.
    """

    def __init__(self, explorer: Explorer, wanted: tuple[str, ...], structure: Any, model: Any) -> None:
        self._explorer = explorer
        self.sensitivity = Sensitivity(state=explorer) if "sensitivity" in wanted else None
        self.recovery = RecoveryCurve(model=model, state=explorer) if "recovery" in wanted else None
        self.structure: StructureView | None = None
        if "structure" in wanted and hasattr(structure, "to_pdb"):
            self.structure = StructureView(structure, state=explorer)
        made = {
            "map": explorer.contact_map,
            "slice": explorer.jacobian_slice,
            "sensitivity": self.sensitivity,
            "recovery": self.recovery,
            "structure": self.structure,
        }
        shown = [made[name] for name in PANELS if name in wanted and made.get(name) is not None]
        self.box = ipywidgets.Box(shown)
        self.box.add_class("catjac-views")
        explorer.observe(lambda change: self._told(), "status")
        if self.structure is not None:
            explorer.contact_map.observe(lambda change: self._later(), "values")

    def close(self) -> None:
        """Close every comm of these panels."""
        for view in (self.sensitivity, self.recovery, self.structure):
            if view is not None:
                view.close()
        self.box.layout.close()
        self.box.close()

    def _told(self) -> None:
        if self._explorer.status == "done" and (self.sensitivity or self.structure):
            # After what is cheap to show: the whole Jacobian is read once.
            self._explorer.delivery.post("summary", self._show, prepare=self._summary)

    def _summary(self) -> xr.Dataset | None:
        from catjac_widgets.analysis.summaries import sensitivity

        try:
            return sensitivity(self._explorer.job.result())
        except CatjacError:
            return None  # The explorer shows why; a mask may have changed meanwhile.

    def _show(self, summary: xr.Dataset | None) -> None:
        if summary is None:
            return
        if self.sensitivity is not None:
            self.sensitivity.show(summary)
        if self.structure is not None:
            for name, label, _ in TRACKS:
                if name in summary:
                    self.structure.add_track(label, summary[name].values)

    def _later(self) -> None:
        # What the new values are is said only after them.
        self._explorer.delivery.post("structure's contacts", lambda _: self._draw())

    def _draw(self) -> None:
        # While rows come in there are no scores to rank yet.
        view, contact_map = self.structure, self._explorer.contact_map
        if view is not None and contact_map.values is not None and contact_map.quantity != "norm":
            view.draw_contacts(contact_map.values)
