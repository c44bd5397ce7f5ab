"""Which panels an explorer has, how they lie in a cell, and what the slower ones are told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np
import traitlets

from catjac_widgets.errors import CatjacError, UsageError
from catjac_widgets.widgets.base.bokeh_panel import send_script
from catjac_widgets.widgets.explorer.panel_toggles import PanelToggles
from catjac_widgets.widgets.recovery.view import RecoveryCurve
from catjac_widgets.widgets.sensitivity.view import TRACKS, Sensitivity
from catjac_widgets.widgets.structure.view import StructureView

if TYPE_CHECKING:
    import xarray as xr

    from catjac_widgets.proteins.sequences import Sequence
    from catjac_widgets.widgets.explorer.view import Explorer

#: Names of the panels, in the order in which they lie.
PANELS = ("sequence", "map", "slice", "sensitivity", "recovery", "structure")

#: What the button of each says.
NAMES = ("Sequence", "Contacts", "Block", "Residues", "Recovery", "Structure")

#: Those whose libraries take seconds to import: they follow the first picture of the map.
SLOW = ("sensitivity", "recovery", "structure")

#: About how high each is in a column, in pixels.
HEIGHTS = {"map": 690, "slice": 600, "sensitivity": 330, "recovery": 400, "structure": 570}

NO_STRUCTURE = 'No structure was given; catjac.explore(…, structure="pdb:1UBQ") shows one.'
NO_ATOMS = "Contacts were given without atoms, so there is no structure to show."


class PanelsTrait(traitlets.TraitType[Any, Any]):
    """Names of panels, in the order of `PANELS`, each once."""

    info_text = f"names out of {', '.join(PANELS)}"
    default_value = PANELS

    def validate(self, obj: Any, value: Any) -> tuple[str, ...]:
        """Refuse what is no panel's name."""
        return check_panels(value)


def check_panels(panels: Iterable[str]) -> tuple[str, ...]:
    """Return names of panels in the order of `PANELS`, each once.

    Raises
    ------
    UsageError
        For a name that is no panel's.
    """
    try:
        wanted = (panels,) if isinstance(panels, str) else tuple(panels)
    except TypeError:
        wanted = (panels,)  # type: ignore[assignment]
    for name in wanted:
        if name not in PANELS:
            raise UsageError(f"There is no panel {name!r}; there are {', '.join(PANELS)}.")
    return tuple(name for name in PANELS if name in wanted)


def panel_view(name: str) -> Any:
    """Make an explorer's property: the view of a panel, None while it was never shown."""
    return property(lambda explorer: explorer._panels.view(name))


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


def in_columns(names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Deal panels out to two columns of heights as even as can be, the first two side by side."""
    first, rest = names[:2], names[2:]
    best: tuple[list[str], list[str]] = ([], [])
    least = float("inf")
    for places in itertools.product((0, 1), repeat=len(rest)):
        columns: tuple[list[str], list[str]] = ([], [])
        for name, place in zip(names, (*range(len(first)), *places), strict=True):
            columns[place].append(name)
        highest = max(sum(HEIGHTS[name] for name in column) for column in columns)
        if highest < least:
            best, least = columns, highest
    return best


def loop_of_the_kernel() -> asyncio.AbstractEventLoop | None:
    """Find the loop on which the kernel does things between two cells; None outside a running cell."""
    from IPython import get_ipython

    if getattr(get_ipython(), "kernel", None) is None:
        return None
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def offer_script() -> None:
    """Put bokeh's script into the running cell's output, where there is bokeh."""
    with contextlib.suppress(ImportError):
        send_script()


class Panels:
    """What lies in an explorer, made when it is first shown, and told of the Jacobian when that is complete.

    In a kernel the slow ones are made when the map has its first values, so that a person need not wait for
    them to see it; asking for one in Python makes it at once.

    Parameters
    ----------
    explorer
        Whose state they follow; its map, its status and its `panels` are watched.
    structure
        A `Structure`, or anything without atoms, which makes no panel.
    model
        For the recovery curves.

    Attributes
    ----------
    made
        The views by the names of their panels.
    """

    def __init__(self, explorer: Explorer, structure: Any, model: Any) -> None:
        self._explorer = explorer
        self._structure = structure
        self._model = model
        self.made: dict[str, Any] = {
            "sequence": explorer.sequence_mask,
            "map": explorer.contact_map,
            "slice": explorer.jacobian_slice,
        }
        self._shown: frozenset[str] = frozenset()
        self._loop = loop_of_the_kernel()
        self._early = self._loop is not None
        self._summarised: xr.Dataset | None = None
        self.toggles = PanelToggles(state=explorer, choices=list(zip(PANELS, NAMES, strict=True)))
        self.columns = (ipywidgets.Box(), ipywidgets.Box())
        for column in self.columns:
            column.add_class("catjac-column")
        self.box = ipywidgets.Box(self.columns)
        self.box.add_class("catjac-views")
        if not hasattr(structure, "to_pdb"):
            self.toggles.absent = {"structure": NO_STRUCTURE if structure is None else NO_ATOMS}
        if not {"sensitivity", "recovery"}.isdisjoint(explorer.panels):
            # Now, while the cell runs: what is put into its output later is not saved with it.
            offer_script()
        self.arrange()
        explorer.observe(lambda change: self._told(), "status")
        explorer.contact_map.observe(lambda change: self._later(), "values")
        explorer.observe(lambda change: self._arrange_soon(), "panels")

    def arrange(self) -> None:
        """Show the panels that are wanted and no others; one that was never shown is made now."""
        before = self._shown
        shown = [name for name in PANELS if name in self._explorer.panels]
        if self._early:
            shown = [name for name in shown if name not in SLOW]
        views = {name: view for name in shown if (view := self._view(name)) is not None}
        track = [views.pop("sequence")] if "sequence" in views else []
        for column, names in zip(self.columns, in_columns(tuple(views)), strict=True):
            lying = tuple(views[name] for name in names)
            if column.children != lying:
                column.children = lying
        self._explorer.children = (self._explorer.job_status, self.toggles, *track, self.box)
        self._shown = frozenset(name for name in shown if name in self.made)
        if self._shown - before:
            self._told()
            self._later()

    def view(self, name: str) -> Any:
        """Return the view of a panel, made now if it is wanted; None where it was never shown."""
        if name not in self.made and name in self._explorer.panels:
            self.settle()
        return self.made.get(name)

    def settle(self) -> None:
        """Show the slow panels too, from now on."""
        with self._explorer.delivery.lock:
            if self._early and self._explorer.comm is not None:
                self._early = False
                self.arrange()

    def send_again(self) -> None:
        """Send the state of what is shown once more."""
        with self._explorer.delivery.lock:
            if self._explorer.comm is not None:
                self._explorer.send_state()
                for name in self._shown:
                    self.made[name].send_state()

    def close(self) -> None:
        """Close every comm of these panels."""
        for view in self.made.values():
            view.close()
        self.toggles.close()
        for box in (*self.columns, self.box):
            box.layout.close()
            box.close()

    def _view(self, name: str) -> Any:
        if name not in self.made and name not in self.toggles.absent:
            self._make(name)
        return self.made.get(name)

    def _make(self, name: str) -> None:
        if name == "sensitivity":
            self.made[name] = Sensitivity(state=self._explorer)
        elif name == "recovery":
            self.made[name] = RecoveryCurve(model=self._model, state=self._explorer)
        elif name == "structure":
            try:
                self.made[name] = StructureView(self._structure, state=self._explorer, height=480)
            except CatjacError as error:
                self.toggles.absent = {**self.toggles.absent, name: str(error)}

    def _arrange_soon(self) -> None:
        if self._explorer.receiving:
            # A message's thread only posts.
            self._explorer.delivery.post("panels", lambda _: self.arrange(), urgent=True)
        else:
            self.arrange()

    def _told(self) -> None:
        if self._early and self._explorer.status in ("done", "cancelled", "failed", "idle"):
            self._settle_soon()
        if self._explorer.status != "done":
            self._summarised = None
        elif self._shown & {"sensitivity", "structure"}:
            # After what is cheap to show: the whole Jacobian is read once.
            self._explorer.delivery.post("summary", self._show, prepare=self._summary)

    def _summary(self) -> xr.Dataset | None:
        from catjac_widgets.analysis.summaries import sensitivity

        if self._summarised is None:
            try:
                self._summarised = sensitivity(self._explorer.job.result())
            except CatjacError:
                return None  # The explorer shows why; a mask may have changed meanwhile.
        return self._summarised

    def _show(self, summary: xr.Dataset | None) -> None:
        if summary is None:
            return
        if "sensitivity" in self._shown:
            self.made["sensitivity"].show(summary)
        if "structure" in self._shown:
            view = self.made["structure"]
            for name, label, _ in TRACKS:
                if name in summary:
                    view.add_track(label, summary[name].values)
            if "entropy" in summary:
                # Of 20 letters, as sequence logos count it.
                view.add_track("conservation", np.log(20) - summary["entropy"].values)

    def _settle_soon(self) -> None:
        # On the main thread, where imports belong, as soon as no cell runs.
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # The loop is closed: the kernel goes down.
                self._loop.call_soon_threadsafe(self.settle)

    def _later(self) -> None:
        if self._early and self._explorer.contact_map.values is not None:
            self._settle_soon()
        # What the new values are is said only after them.
        if "structure" in self._shown:
            self._explorer.delivery.post("structure's contacts", lambda _: self._draw())

    def _draw(self) -> None:
        # While rows come in there are no scores to rank yet.
        contact_map = self._explorer.contact_map
        if "structure" in self._shown and contact_map.values is not None and contact_map.quantity != "norm":
            self.made["structure"].draw_contacts(contact_map.values)
