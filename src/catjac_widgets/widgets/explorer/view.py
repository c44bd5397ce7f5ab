"""The explorer: linked views of one protein under one model, fed by a job in the background."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import ipywidgets

from catjac_widgets.errors import JacobianError, UsageError
from catjac_widgets.structures.numbering import structure_names
from catjac_widgets.widgets.base.frames import Frame
from catjac_widgets.widgets.base.panels import PanelContext
from catjac_widgets.widgets.base.state import refuse_unknown, visible
from catjac_widgets.widgets.base.traits import HEAD, UNMASKED_HEAD, Brush
from catjac_widgets.widgets.contact_map.view import ContactMap
from catjac_widgets.widgets.explorer.current_job import FORMER_MODEL, STARTING, CurrentJob
from catjac_widgets.widgets.explorer.head_maps import HeadMaps
from catjac_widgets.widgets.explorer.job_feed import StartPreview
from catjac_widgets.widgets.explorer.job_status import JobStatus
from catjac_widgets.widgets.explorer.model_menu import SMALLEST
from catjac_widgets.widgets.explorer.model_switch import ModelSwitch
from catjac_widgets.widgets.explorer.panels import Panels
from catjac_widgets.widgets.explorer.session import Session
from catjac_widgets.widgets.explorer.state import ExplorerState
from catjac_widgets.widgets.jacobian_slice.mean_block import MeanBlock, label_mean
from catjac_widgets.widgets.jacobian_slice.values import Row
from catjac_widgets.widgets.jacobian_slice.view import JacobianSlice
from catjac_widgets.widgets.sequence_mask.view import SequenceMask

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from catjac_widgets.engine.jobs.job import Job
    from catjac_widgets.proteins.masks import Mask
    from catjac_widgets.proteins.sequences import Sequence


class Explorer(ExplorerState, ipywidgets.VBox):
    """A contact map that fills while the model runs, the mask that it runs under, and the block of a pair.

    Made by `explore`. It is the shared state of its views: `observe`, `jslink` and assignment work on it.
    Setting `mask` (or letting go of a fragment on the track) starts the Jacobian under that mask; rows of the
    former one stay in the cache, so that going back is quick.

    Attributes
    ----------
    selection, hover, brush, mask, min_separation, colour_map, colour_percentile, maps_shown, numbering
        See `SharedState`.
    status
        "queued", "running", "done", "cancelled" or "failed"; "done" means that the map is final, "idle"
        that there is nothing to compute because everything is masked.
    progress
        Dict with rows_done, rows_total, seconds, seconds_left and message.
    error, notice
        A sentence each, or "".
    model, model_name
        Assign another model (a name, a path, a loaded one) to `model`: it is prepared in the background, and
        takes the place of the one that is shown, under the same mask, selection and structure. The finished
        map of the one before stays as "former", to compare.
    sequence_mask, contact_map, jacobian_slice, job_status
        The views.
    panels
        Names of the panels that are shown; assign to show and hide. There are "sequence", "map", "slice",
        "sensitivity", "recovery", "structure" and whatever was registered (`register_panel`).
    sensitivity, recovery_curve, structure_view, …
        The views of further panels, or None for one that was never shown.
    """

    def __init__(
        self,
        sequence: Sequence,
        start: Callable[[Mask], Job],
        *,
        native: np.ndarray | None = None,
        head: Callable[[Job], Future[Any] | None] | None = None,
        head_under: Callable[[Mask], Future[Any] | None] | None = None,
        preview: StartPreview | None = None,
        reopen: Callable[[Any], Session] | None = None,
        model: Any = None,
        structure: Any = None,
        notice: str = "",
        **traits: Any,
    ) -> None:
        refuse_unknown(self, traits)
        names = structure_names(structure, sequence)
        super().__init__(sequence=sequence, **{"structure_sequence": names, **traits})
        self.add_class("catjac-explorer")
        self._current: CurrentJob | None = None
        self._taking_up = False
        self.set_trait("model", model)
        self.tell("familiarity", notice)
        self._panels = Panels(
            self,
            PanelContext(
                state=self,
                model=model,
                structure=structure,
                native=native,
                find=self._row,
                jacobian=lambda: self.jacobian,
                mean_block=self._mean_block,
            ),
            lay=self._lay,
            scores=self._scores,
            finished=lambda: None if self._current is None else self._current.finished,
        )
        self.contact_map: ContactMap = self._panels.view("map")
        self.jacobian_slice: JacobianSlice = self._panels.view("slice")
        self.sequence_mask: SequenceMask = self._panels.view("sequence")
        self._current = CurrentJob(
            self, self.contact_map, self.jacobian_slice, start, head=head, preview=preview
        )
        self._switch = (
            None
            if reopen is None
            else ModelSwitch(
                self, reopen, begin=self._leave_model, take_up=self._take_up_model, go_back=self._go_back
            )
        )
        self.job_status = JobStatus(
            state=self,
            cancel=self.cancel,
            resume=self._resume_soon,
            choose=None if self._switch is None else self._switch.ask,
        )
        self.contact_map.observe(lambda change: self._panels.map_changed(), "values")
        self.observe(lambda change: self._explain(), "status")
        self._panels.begin()
        self._job.begin()
        self.observe(self._mask_set, "mask")
        self.job_status.offer = SMALLEST if notice and self._switch is not None else ""
        self.observe(self._model_set, "model")
        self._heads = HeadMaps(self, self.contact_map, head_under if self.sequence_mask.previews else None)

    # ---- what a person uses

    def __getattr__(self, name: str) -> Any:
        """Return the view of the panel registered under this attribute; None while it was never shown."""
        panels = self.__dict__.get("_panels")
        panel = None if panels is None else panels.attribute(name)
        if panels is None or panel is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return panels.view(panel.name)

    def __dir__(self) -> list[str]:
        """Name the panels' views too."""
        panels = self.__dict__.get("_panels")
        return [*super().__dir__(), *(panels.attributes() if panels is not None else ())]

    @property
    def job(self) -> Job:
        """The job that computes, or computed, the Jacobian."""
        return self._job.feed.job

    @property
    def jacobian(self) -> xr.DataArray:
        """The Jacobian; rows that are still to come are NaN and its attribute ``complete`` is 0."""
        return self.job.partial

    @property
    def contacts(self) -> xr.DataArray:
        """``catjac.contacts(J)`` of the finished Jacobian.

        Raises
        ------
        JacobianError
            While rows are missing.
        """
        if self.job.progress.state != "done":
            done = self.job.progress
            raise JacobianError(
                f"The contact map needs all rows and {done.rows_done} of {done.rows_total} are there; "
                "call ex.wait() first."
            )
        from catjac_widgets.analysis.contacts.maps import contacts

        return contacts(self.job.result())

    @property
    def slice(self) -> xr.DataArray:
        """What the slice view shows now, with labels; NaN while its row is to come. See `JacobianSlice`.

        Raises
        ------
        UsageError
            If no pair is selected.
        JacobianError
            For a quantity that this Jacobian does not have: the fast variant has no epistasis.
        """
        return self.jacobian_slice.slice

    def brush_block(self) -> xr.DataArray:
        """Return the mean of the raw blocks of the brush's pairs i ≠ j, dims (aa_in, aa_out), in logits.

        Rows that are not computed or masked are left out; `attrs` say how many pairs and rows are in it.

        Raises
        ------
        UsageError
            If nothing is brushed, or no pair of it is there.
        """
        if self.brush is None:
            raise UsageError("No block is brushed; drag over the map or set ex.brush = ((i, i), (j, j)).")
        mean = self._job.feed.mean_block(self.brush)
        mean.read(float("inf"))
        return label_mean(mean)

    def map_names(self) -> tuple[str, ...] | None:
        """Names that `maps_shown` may have."""
        # While it is made nobody knows yet.
        return self.contact_map.map_names() if hasattr(self, "contact_map") else None

    def cancel(self) -> None:
        """Stop after the batch in flight; rows done are kept. Another model that is prepared is let go of."""
        if self._switch is not None and self._switch.running:
            self._switch.cancel()
        else:
            self._job.cancel()

    def resume(self) -> None:
        """Go on after `cancel` or a failure; rows that are there are not computed again."""
        if self._stopped:
            self._job.resume()

    def wait(self, timeout: float | None = None) -> Explorer:
        """Wait until the map is final (or the work stopped), and return this explorer.

        Raises
        ------
        TimeoutError
            If that takes longer than `timeout` seconds; the work goes on.
        """
        # A mask that was let go of in the browser may still wait to be taken up.
        self.delivery.flush(timeout)
        if self._switch is not None:
            self._switch.wait(timeout)
        if self._job.why_none:
            return self
        late = TimeoutError(f"The Jacobian was not ready after {timeout or 0:g} s; it goes on.")
        if self._job.starting:
            raise late
        feed = self._job.feed
        if not feed.job.wait(timeout):
            raise late
        # Sent from here, so that a notebook that runs unattended takes the final state down with this cell.
        while not feed.finished.wait(0.02):
            self.delivery.deliver()
        self.delivery.flush()
        self._panels.settle()
        # Panels that are new have asked for what they show.
        self.delivery.flush()
        # What was sent between two cells is in nobody's record then.
        with self.delivery.lock:
            if self.comm is not None:
                self.send_state()
        self._panels.send_again()
        return self

    def close(self) -> None:
        """Stop the work, let go of the job and close every comm of this explorer."""
        if self.comm is None:
            return  # closed before, or refused while it was made
        if self._switch is not None:
            self._switch.cancel()
        self._job.close()
        self.delivery.close()
        self._panels.close()
        self.job_status.close()
        self.layout.close()
        super().close()

    # ---- how it works

    shows_frames = True

    def show_frame(self, frame: Frame) -> int:
        """See `SharedState`: the contact map shows it."""
        return self.contact_map.show_frame(frame)

    @property
    def _job(self) -> CurrentJob:
        if self._current is None:  # a view asks while the explorer is being made
            raise UsageError(STARTING)
        return self._current

    @property
    def _stopped(self) -> bool:
        return self.status in ("cancelled", "failed")

    def _resume_soon(self) -> None:
        if self._stopped:
            self._job.resume_soon()

    def _mask_set(self, change: Any) -> None:
        if visible(change["old"]) == visible(change["new"]):
            return
        if self.in_turn:
            self.delivery.post("mask", lambda _: self._job.begin_soon(), urgent=True)
        else:
            self._job.begin()

    # Another model.

    def _model_set(self, change: Any) -> None:
        if self._taking_up or change["new"] is change["old"]:
            return
        if self._switch is None:
            raise UsageError("This explorer was made with one model; make another one by catjac.explore.")
        # Until it is there, the trait says which one is shown.
        self._tell_model(change["old"])
        self._switch.ask(change["new"])

    def _tell_model(self, model: Any) -> None:
        self._taking_up = True
        try:
            self.model = model
        finally:
            self._taking_up = False

    def _leave_model(self) -> None:
        self._job.hold("preparing another model")

    def _take_up_model(self, session: Session) -> None:
        former = self.contact_map.layer() if self._job.was_final else None
        label = f"{self.model_name}: {self.contact_map.label.removesuffix(FORMER_MODEL)}"
        with self.hold_sync():
            self._tell_model(session.model)
            self.model_name = session.name
            self.tell("familiarity", session.notice)
            self.job_status.offer = SMALLEST if session.notice else ""
        shown = self.contact_map
        shown.former = None if former is None else dataclasses.replace(former, label=label)
        # What the former model gave is no longer offered.
        gone = {HEAD, UNMASKED_HEAD, "unmasked"} | ({"former"} if former is None else set())
        self.maps_shown = tuple("map" if name in gone else name for name in self.maps_shown)
        shown.head = shown.unmasked = shown.unmasked_head = None
        self._job.use(session.start, session.head, session.preview)
        self._panels.use_model(session.model)
        self._heads.use(session.head_under if self.sequence_mask.previews else None)
        self._job.begin_soon()

    def _go_back(self) -> None:
        self._job.begin_soon()

    def _explain(self) -> None:
        self.sequence_mask.say("mask", self._job.why_none if self.status == "idle" else "")

    def _lay(self, lying: tuple[Any, ...]) -> None:
        self.children = (self.job_status, *lying)

    def _scores(self) -> np.ndarray | None:
        # While rows come in there are no scores to rank yet.
        return None if self.contact_map.quantity == "norm" else self.contact_map.values

    def _mean_block(self, brush: Brush) -> MeanBlock:
        return self._job.feed.mean_block(brush)

    def _row(self, position: int) -> Row:
        if self._current is None or self._current.starting:
            return Row(position, "waiting", "The Jacobian under this mask is about to be computed.")
        if self._current.why_none:
            return Row(position, "masked" if self.status == "idle" else "error", self._current.why_none)
        return self._current.feed.row(position)
