"""The explorer: linked views of one protein under one model, fed by a job in the background."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import ipywidgets
import traitlets

from catjac_widgets.errors import CatjacError, JacobianError, UsageError
from catjac_widgets.proteins.masks import as_mask
from catjac_widgets.proteins.reading import read_protein
from catjac_widgets.proteins.sequences import Sequence
from catjac_widgets.structures.numbering import structure_names
from catjac_widgets.widgets.base.state import Brush, Pair, SharedState, refuse_unknown
from catjac_widgets.widgets.contact_map.view import ContactMap, native_contacts
from catjac_widgets.widgets.explorer.head_maps import HeadMaps, head_of, head_under
from catjac_widgets.widgets.explorer.job_feed import ENDED, JobFeed
from catjac_widgets.widgets.explorer.job_status import JobStatus
from catjac_widgets.widgets.explorer.panels import (
    PANELS,
    Panels,
    PanelsTrait,
    check_panels,
    panel_view,
    readable_structure,
)
from catjac_widgets.widgets.jacobian_slice.mean_block import BrushedMean, MeanBlock, label_mean
from catjac_widgets.widgets.jacobian_slice.values import Row
from catjac_widgets.widgets.jacobian_slice.view import JacobianSlice
from catjac_widgets.widgets.recovery.view import unfamiliar
from catjac_widgets.widgets.sequence_mask.view import SequenceMask, visible

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from catjac_widgets.engine.jobs.job import Job, Progress
    from catjac_widgets.engine.jobs.steps import SteppedTask
    from catjac_widgets.proteins.masks import Mask

STATUSES = ("queued", "running", *ENDED, "idle")

#: What the map's label says between a change of the mask and the first values under it.
FORMER = ", under the former mask"


class Explorer(SharedState, ipywidgets.VBox):
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
    sequence_mask, contact_map, jacobian_slice, job_status
        The views.
    panels
        Names of the panels that are shown, out of "sequence", "map", "slice", "sensitivity", "recovery" and
        "structure"; assign to show and hide.
    sensitivity, recovery_curve, structure_view
        More views, or None for a panel that was never shown.
    """

    status = traitlets.Enum(STATUSES, "queued").tag(sync=True)
    progress = traitlets.Dict().tag(sync=True)
    error = traitlets.Unicode("").tag(sync=True)
    notice = traitlets.Unicode("").tag(sync=True)
    model_name = traitlets.Unicode("").tag(sync=True)
    panels = PanelsTrait().tag(sync=True)

    def __init__(
        self,
        sequence: Sequence,
        start: Callable[[Mask], Job],
        *,
        native: np.ndarray | None = None,
        head: Callable[[Job], Future[Any] | None] | None = None,
        head_under: Callable[[Mask], Future[Any]] | None = None,
        preview: Callable[[Job, Callable[[int, np.ndarray], None]], SteppedTask[Any] | None] | None = None,
        model: Any = None,
        structure: Any = None,
        **traits: Any,
    ) -> None:
        refuse_unknown(self, traits)
        names = structure_names(structure, sequence)
        super().__init__(sequence=sequence, **{"structure_sequence": names, **traits})
        self.add_class("catjac-explorer")
        self._start = start
        self._head, self._preview = head, preview
        self._feed: JobFeed | None = None
        self._absent = ""
        self.contact_map = ContactMap(state=self, native=native, label="No map yet")
        self.jacobian_slice = JacobianSlice(state=self, find=self._row, jacobian=lambda: self.jacobian)
        self._brushed = BrushedMean(self.jacobian_slice, self._mean_block)
        self.sequence_mask = SequenceMask(state=self, model=model, contact_map=self.contact_map)
        self._own_note = self.sequence_mask.note
        self.job_status = JobStatus(state=self, cancel=self.cancel, resume=self.resume)
        self._panels = Panels(self, structure, model)
        self._follow(start(self._mask_now))
        self.observe(self._mask_set, "mask")
        if head_under is not None and self.sequence_mask.previews:
            HeadMaps(self, self.contact_map, head_under)

    # ---- what a person uses

    sensitivity = panel_view("sensitivity")
    recovery_curve = panel_view("recovery")
    structure_view = panel_view("structure")

    @property
    def job(self) -> Job:
        """The job that computes, or computed, the Jacobian."""
        return self._live_feed().job

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
        mean = self._live_feed().mean_block(self.brush)
        mean.read(float("inf"))
        return label_mean(mean)

    def map_names(self) -> tuple[str, ...] | None:
        """Names that `maps_shown` may have."""
        # While it is made nobody knows yet.
        return self.contact_map.map_names() if hasattr(self, "contact_map") else None

    def cancel(self) -> None:
        """Stop after the batch in flight; rows done are kept."""
        if not self._absent:
            self.job.cancel()

    def resume(self) -> None:
        """Go on after `cancel` or a failure; rows that are there are not computed again."""
        if self.status in ("cancelled", "failed") and self._feed is not None:
            feed, self._feed = self._live_feed(), None
            feed.close()
            try:
                self._follow(self._start(self._mask_now), impression=False)
            finally:
                # A request that is refused now leaves the former job in place.
                self._feed = self._feed or feed

    def wait(self, timeout: float | None = None) -> Explorer:
        """Wait until the map is final (or the work stopped), and return this explorer.

        Raises
        ------
        TimeoutError
            If that takes longer than `timeout` seconds; the work goes on.
        """
        self.delivery.deliver()  # a mask that was let go of in the browser may still wait
        if self._absent:
            return self
        feed = self._live_feed()
        if not feed.job.wait(timeout):
            raise TimeoutError(f"The Jacobian was not ready after {timeout:g} s; it goes on.")
        # Sent from here, so that a notebook that runs unattended takes the final state down with this cell.
        while not feed.finished.wait(0.02):
            self.delivery.deliver()
        self.delivery.deliver()
        self._panels.settle()
        # Panels that are new have asked for what they show.
        self.delivery.deliver()
        # What was sent between two cells is in nobody's record then.
        self._panels.send_again()
        return self

    def close(self) -> None:
        """Stop the work, let go of the job and close every comm of this explorer."""
        if self.comm is None:
            return  # closed before, or refused while it was made
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.job.cancel()
            feed.close()
        self.delivery.close()
        self._panels.close()
        self.job_status.close()
        self.layout.close()
        super().close()

    # ---- how it works

    def _live_feed(self) -> JobFeed:
        if self._feed is None:
            raise UsageError(self._absent or "This explorer is closed; call catjac.explore again.")
        return self._feed

    @property
    def _mask_now(self) -> Mask:
        assert self.sequence is not None
        return as_mask(self.mask, self.sequence)

    def _mask_set(self, change: Any) -> None:
        if visible(change["old"]) == visible(change["new"]):
            return
        if self.receiving:
            # A message's thread only posts.
            self.delivery.post("mask", lambda _: self._begin_again(), urgent=True)
        else:
            self._begin_again()

    def _begin_again(self) -> None:
        """Let go of the job under the former mask and start the one under this mask."""
        mask = self._mask_now
        with self.delivery.lock:
            if self.comm is None:
                return  # closed meanwhile
            feed, self._feed = self._feed, None
            if feed is not None:
                feed.keep()
                feed.close()
                feed.job.cancel()
            if not self._absent and not self.contact_map.label.endswith(FORMER):
                self.contact_map.label += FORMER
            try:
                job = self._start(mask)
            except CatjacError as error:
                # Nothing to compute, for instance because everything is masked; the head still has its map.
                self._absent = str(error)
                self._brushed.renew()
                with self.hold_sync():
                    self.status, self.error = "idle", ""
                    self.progress = {"message": "nothing to compute"}
            else:
                self._absent = ""
                self._follow(job)
            self.sequence_mask.note = self._absent or self._own_note
            self.jacobian_slice.renew()

    def _follow(self, job: Job, *, impression: bool = True) -> None:
        # Until the feed reports, say what is known; a new run forgets the former error.
        with self.hold_sync():
            self.error = ""
            self.status = "queued"
            self.progress = as_dict(job.progress)
        self._feed = JobFeed(job, self.contact_map, self.jacobian_slice, self._report, self._brushed)
        self._brushed.renew()
        first = self._head(job) if impression and self._head is not None else None
        if first is not None:
            self._feed.show_head(first)
        start = self._preview
        if start is not None:
            self._feed.show_preview(lambda come: start(job, come))

    def _report(self, status: str, progress: Progress, error: str) -> None:
        with self.hold_sync():
            self.status, self.progress, self.error = status, as_dict(progress), error

    def _mean_block(self, brush: Brush) -> MeanBlock:
        return self._live_feed().mean_block(brush)

    def _row(self, position: int) -> Row:
        if self._absent:
            return Row(position, "masked", self._absent)
        return self._live_feed().row(position)


def as_dict(progress: Progress) -> dict[str, Any]:
    """Progress as the front end reads it."""
    return {
        key: dataclasses.asdict(progress)[key]
        for key in ("rows_done", "rows_total", "seconds", "seconds_left", "message")
    }


def explore(
    sequence: Any,
    model: Any = "mini",
    *,
    structure: Any = None,
    mask: Mask | np.ndarray | None = None,
    variant: str = "full",
    min_separation: int = 6,
    selection: Pair | None = None,
    numerics: str = "exact",
    batch_size: int | None = None,
    linker: str = "",
    unknown: Mapping[str, str] | None = None,
    cache: bool = True,
    colour_map: str = "ocean",
    panels: Iterable[str] = PANELS,
) -> Explorer:
    """Explore a protein's Jacobian while it is computed; returns at once.

    Parameters
    ----------
    sequence
        Residues, FASTA text, a path, a `Sequence`, or one of `catjac.examples()`, which brings its structure.
    model
        As of `catjac.jacobian`; a model that is given by name is loaded in the background.
    structure
        Native contacts to ring, and the structure to show: `catjac.structure(…)`, a path, "pdb:…"; or a
        square array (1, 0, NaN unresolved), which is only ringed.
    min_separation
        Pairs nearer than that along one chain are dimmed and not counted.
    selection
        Pair (i, j) of 1-based positions to begin with.
    colour_map
        "ocean", "ember" or "graphite".
    panels
        What to show at first: some of "sequence", "map", "slice", "sensitivity", "recovery", "structure".
    mask, variant, numerics, batch_size, linker, unknown, cache
        See `catjac.jacobian`.

    Returns
    -------
    Explorer
        A widget: shown by being the cell's last value.

    Raises
    ------
    CatjacError
        As `catjac.jacobian`, for what can be told before the work starts; the rest is shown in the widget.
    """
    from catjac_widgets.analysis.previews.in_background import start_preview
    from catjac_widgets.engine.api import submit_request
    from catjac_widgets.engine.plans.request import make_request
    from catjac_widgets.language_models.registry import identify

    identity = identify(model)
    protein = read_protein(sequence, letters=identity.letters, unknown=unknown)
    structure = protein.structure if structure is None else structure
    request = make_request(
        protein.sequence,
        model,
        identity=identity,
        mask=mask,
        variant=variant,
        numerics=numerics,
        batch_size=batch_size,
        linker=linker,
        cache=cache,
    )
    known, model, hidden = request.sequence, request.model, request.mask
    panels = check_panels(panels)
    structure = readable_structure(structure, known)
    native = None if structure is None else native_contacts(structure, known)

    def start(mask: Mask) -> Job:
        # In the background: behind the attention head's one pass, which fills the screen first.
        return submit_request(dataclasses.replace(request, mask=mask))

    # The first one is made here, so that what is wrong with the request is raised before there is a widget.
    first = start(hidden)
    jobs = [first]
    try:
        return Explorer(
            known,
            lambda mask: jobs.pop() if jobs else start(mask),
            native=native,
            head=lambda job: head_of(known, model, job),
            head_under=lambda mask: head_under(known, model, mask),
            # Rows are less urgent than the attention head and the preview, which fill the screen first.
            preview=start_preview,
            model=model,
            structure=structure,
            panels=panels,
            # What the embedded model has to say about a protein that it does not know.
            notice=unfamiliar(known) if first.plan.model == "mini" else "",
            model_name=first.plan.model,
            mask=hidden if hidden else None,
            min_separation=min_separation,
            selection=selection,
            colour_map=colour_map,
        )
    except BaseException:
        first.cancel()
        raise
