"""The panels of one explorer: made when they are first shown, laid out, and told what the Jacobian says."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets

from catjac_widgets.errors import CatjacError
from catjac_widgets.widgets.base.panels import Panel, PanelContext
from catjac_widgets.widgets.explorer.columns import in_columns
from catjac_widgets.widgets.explorer.panel_toggles import PanelToggles
from catjac_widgets.widgets.explorer.registry import all_panels
from catjac_widgets.widgets.explorer.state import ENDED, ExplorerState, sentence

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from catjac_widgets.engine.jobs.job import Job

_LOG = logging.getLogger("catjac.widgets")


def loop_of_the_kernel() -> asyncio.AbstractEventLoop | None:
    """Find the loop on which the kernel does things between two cells; None outside a running cell."""
    from IPython import get_ipython

    if getattr(get_ipython(), "kernel", None) is None:
        return None
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Panels:
    """What lies in an explorer.

    In a kernel the slow panels are made when the map has its first values, so that a person need not wait for
    them to see it; asking for one in Python makes it at once.

    Parameters
    ----------
    state
        Whose `panels` and `status` to follow.
    context
        What panels are made with.
    lay
        Called with the widgets that lie one below the other, whenever these are others.
    scores
        Called for the scores of the map that is shown; None while there are none to rank.
    finished
        Called for the job whose Jacobian is complete and shown; None while there is none.

    Attributes
    ----------
    made
        The views by the names of their panels.
    toggles
        The row of buttons.
    columns, box
        The two columns, and what holds them.
    """

    def __init__(
        self,
        state: ExplorerState,
        context: PanelContext,
        *,
        lay: Callable[[tuple[Any, ...]], None],
        scores: Callable[[], np.ndarray | None],
        finished: Callable[[], Job | None],
    ) -> None:
        self._state, self._context = state, context
        self._lay, self._scores, self._finished = lay, scores, finished
        # One that is registered later is for explorers that are made later.
        self._known = {panel.name: panel for panel in all_panels()}
        self._shown: frozenset[str] = frozenset()
        self._loop = loop_of_the_kernel()
        self._early = self._loop is not None
        self._closed = False
        self._summarised: tuple[Job, xr.Dataset] | None = None
        self.made: dict[str, Any] = {}
        self.toggles = PanelToggles(
            state=state, choices=[(panel.name, panel.title) for panel in self._known.values()]
        )
        self.toggles.absent = {
            name: why for name, panel in self._known.items() if (why := panel.absent(context))
        }
        self.columns = (ipywidgets.Box(), ipywidgets.Box())
        for column in self.columns:
            column.add_class("catjac-column")
        self.box = ipywidgets.Box(self.columns)
        self.box.add_class("catjac-views")
        for panel in self._known.values():
            if panel.eager:
                self._make(panel)

    def begin(self) -> None:
        """Lay out what is wanted, and follow the state from now on."""
        for begin in dict.fromkeys(panel.in_cell for panel in self._wanted()):
            if begin is not None:
                # Now, while the cell runs: what is put into its output later is not saved with it.
                begin()
        self.arrange()
        self._state.observe(lambda change: self._told(), "status")
        self._state.observe(lambda change: self._arrange_soon(), "panels")

    def arrange(self) -> None:
        """Show the panels that are wanted and no others; one that was never shown is made now."""
        before = self._shown
        shown = [panel for panel in self._wanted() if not (self._early and panel.slow)]
        shown = [panel for panel in shown if self._make(panel) is not None]
        wide = [self.made[panel.name] for panel in shown if panel.wide]
        for column, panels in zip(
            self.columns, in_columns([panel for panel in shown if not panel.wide]), strict=True
        ):
            lying = tuple(self.made[panel.name] for panel in panels)
            if column.children != lying:
                column.children = lying
        self._lay((self.toggles, *wide, self.box))
        self._shown = frozenset(panel.name for panel in shown)
        if self._shown - before:
            self._told()
            self._tell_scores()

    def attribute(self, name: str) -> Panel | None:
        """Find the panel whose view the explorer offers as an attribute of that name."""
        return next(
            (panel for panel in self._known.values() if name == (panel.attribute or panel.name)), None
        )

    def attributes(self) -> list[str]:
        """Name those attributes."""
        return [panel.attribute or panel.name for panel in self._known.values()]

    def view(self, name: str) -> Any:
        """Return the view of a panel, made now if it is wanted; None where it was never shown."""
        if name not in self.made and name in self._state.panels:
            self.settle()
        return self.made.get(name)

    def settle(self) -> None:
        """Show the slow panels too, from now on."""
        if self._early and not self._closed:
            self._load()
        with self._state.delivery.lock:
            if self._early and not self._closed:
                self._early = False
                self.arrange()

    def use_model(self, model: Any) -> None:
        """Give the panels another model, those that are made and those that will be."""
        self._context = dataclasses.replace(self._context, model=model)
        for name, view in self.made.items():
            use = self._known[name].use_model
            if use is not None:
                use(view, model)

    def send_again(self) -> None:
        """Send the state of what is shown once more."""
        with self._state.delivery.lock:
            if not self._closed:
                for name in self._shown:
                    self.made[name].send_state()

    def map_changed(self) -> None:
        """Tell who draws contacts that the map has other values."""
        if self._early:
            self._settle_soon()
        self._tell_scores()

    def close(self) -> None:
        """Close every comm of these panels."""
        self._closed = True
        for view in self.made.values():
            view.close()
        self.toggles.close()
        for box in (*self.columns, self.box):
            box.layout.close()
            box.close()

    # ---- how it works

    def _wanted(self) -> list[Panel]:
        return [panel for name, panel in self._known.items() if name in self._state.panels]

    def _showing(self) -> list[Panel]:
        return [panel for name, panel in self._known.items() if name in self._shown]

    def _make(self, panel: Panel) -> Any:
        if panel.name not in self.made and panel.name not in self.toggles.absent:
            try:
                self.made[panel.name] = panel.make(self._context)
            except Exception as error:
                if panel.eager:
                    raise
                if not isinstance(error, CatjacError):
                    _LOG.exception("the panel %s could not be made", panel.name)
                self.toggles.absent = {**self.toggles.absent, panel.name: sentence(error)}
        return self.made.get(panel.name)

    def _load(self) -> None:
        """Do what takes long before panels can be made."""
        for panel in self._wanted():
            if panel.load is not None and panel.name not in {*self.made, *self.toggles.absent}:
                panel.load()

    def _arrange_soon(self) -> None:
        if self._state.in_turn:
            self._state.delivery.post("panels", self._arrange, prepare=self._load, urgent=True)
        else:
            self.arrange()

    def _arrange(self, _: None) -> None:
        if not self._closed:
            self.arrange()

    def _settle_soon(self) -> None:
        # On the main thread, where imports belong, as soon as no cell runs.
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # The loop is closed: the kernel goes down.
                self._loop.call_soon_threadsafe(self.settle)

    def _told(self) -> None:
        if self._early and self._state.status in (*ENDED, "idle"):
            self._settle_soon()
        if self._state.status != "done":
            self._summarised = None  # a job holds its Jacobian
        elif any(panel.show_summary for panel in self._showing()):
            # After what is cheap to show: the whole Jacobian may have to be read.
            self._state.delivery.post("summary", self._show_summary, prepare=self._summary)

    def _summary(self) -> tuple[Job, xr.Dataset] | None:
        from catjac_widgets.analysis.summaries import sensitivity

        job, known = self._finished(), self._summarised
        if job is None or (known is not None and known[0] is job):
            return None if job is None else known
        try:
            return job, sensitivity(job.result())
        except CatjacError:
            return None  # The explorer shows why.

    def _show_summary(self, found: tuple[Job, xr.Dataset] | None) -> None:
        # The mask may have changed meanwhile.
        if found is None or found[0] is not self._finished():
            return
        self._summarised = found
        for panel in self._showing():
            if panel.show_summary is not None:
                panel.show_summary(self.made[panel.name], found[1])

    def _tell_scores(self) -> None:
        if any(panel.show_contacts for panel in self._showing()):
            # What the new values are is said only after them.
            self._state.delivery.post("contacts of panels", lambda _: self._show_scores())

    def _show_scores(self) -> None:
        scores = self._scores()
        for panel in self._showing():
            if panel.show_contacts is not None and scores is not None:
                panel.show_contacts(self.made[panel.name], scores)
