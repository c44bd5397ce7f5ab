"""The explorer: linked views of one protein under one model, fed by a job in the background."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets
import traitlets

from catjac_widgets.errors import JacobianError, UsageError
from catjac_widgets.masks import as_mask
from catjac_widgets.sequences import Sequence, as_sequence
from catjac_widgets.widgets.contact_map import ContactMap, native_contacts
from catjac_widgets.widgets.jacobian_slice import Block, JacobianSlice
from catjac_widgets.widgets.job_feed import ENDED, JobFeed
from catjac_widgets.widgets.job_status import JobStatus
from catjac_widgets.widgets.state import Pair, SharedState, refuse_unknown

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from catjac_widgets.engine.job import Job, Progress
    from catjac_widgets.masks import Mask

STATUSES = ("queued", "running", *ENDED)


class Explorer(SharedState, ipywidgets.VBox):
    """A contact map that fills while the model runs, and the 20 × 20 block of the pair that is clicked.

    Made by `explore`. It is the shared state of its views: `observe`, `jslink` and assignment work on it.

    Attributes
    ----------
    selection, hover, mask, min_separation, colour_map, colour_percentile
        See `SharedState`.
    status
        "queued", "running", "done", "cancelled" or "failed"; "done" means that the map is final.
    progress
        Dict with rows_done, rows_total, seconds, seconds_left and message.
    error, notice
        A sentence each, or "".
    contact_map, jacobian_slice, job_status
        The views.
    """

    status = traitlets.Enum(STATUSES, "queued").tag(sync=True)
    progress = traitlets.Dict().tag(sync=True)
    error = traitlets.Unicode("").tag(sync=True)
    notice = traitlets.Unicode("").tag(sync=True)
    model_name = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        sequence: Sequence,
        start: Callable[[], Job],
        *,
        native: np.ndarray | None = None,
        head: Callable[[], Future[Any]] | None = None,
        **traits: Any,
    ) -> None:
        refuse_unknown(self, traits)
        super().__init__(sequence=sequence, **traits)
        self.add_class("catjac-explorer")
        self._start = start
        self._feed: JobFeed | None = None
        self.contact_map = ContactMap(state=self, native=native, label="No map yet")
        self.jacobian_slice = JacobianSlice(state=self, find=self._block)
        self.job_status = JobStatus(state=self, cancel=self.cancel, resume=self.resume)
        self._views = ipywidgets.Box([self.contact_map, self.jacobian_slice])
        self._views.add_class("catjac-views")
        self.children = (self.job_status, self._views)
        self._follow(start())
        if head is not None and self._feed is not None:
            self._feed.show_head(head())

    # ---- what a person uses

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
        from catjac_widgets.analysis.contact_maps import contacts

        return contacts(self.job.result())

    def slice(self) -> xr.DataArray:
        """Return the selected pair's block, dims (aa_in, aa_out), raw logits; NaN while its row is to come.

        Raises
        ------
        UsageError
            If no pair is selected.
        """
        if self.selection is None:
            raise UsageError("No pair is selected; click one on the map or set ex.selection = (i, j).")
        i, j = self.selection
        return self.jacobian.sel(pos_in=i, pos_out=j)

    def cancel(self) -> None:
        """Stop after the batch in flight; rows done are kept."""
        self.job.cancel()

    def resume(self) -> None:
        """Go on after `cancel` or a failure; rows that are there are not computed again."""
        if self.status in ("cancelled", "failed"):
            feed, self._feed = self._live_feed(), None
            feed.close()
            try:
                self._follow(self._start())
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
        feed = self._live_feed()
        if not feed.job.wait(timeout):
            raise TimeoutError(f"The Jacobian was not ready after {timeout:g} s; it goes on.")
        # Sent from here, so that a notebook that runs unattended takes the final state down with this cell.
        while not feed.finished.wait(0.02):
            self.delivery.deliver()
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
        for view in (self.contact_map, self.jacobian_slice, self.job_status):
            view.close()
        self._views.layout.close()
        self._views.close()
        self.layout.close()
        super().close()

    # ---- how it works

    def _live_feed(self) -> JobFeed:
        if self._feed is None:
            raise UsageError("This explorer is closed; call catjac.explore again.")
        return self._feed

    def _follow(self, job: Job) -> None:
        # Until the feed reports, say what is known; a new run forgets the former error.
        with self.hold_sync():
            self.error = ""
            self.status = "queued"
            self.progress = as_dict(job.progress)
        self._feed = JobFeed(job, self.contact_map, self.jacobian_slice, self._report)

    def _report(self, status: str, progress: Progress, error: str) -> None:
        with self.hold_sync():
            self.status, self.progress, self.error = status, as_dict(progress), error

    def _block(self, pair: Pair) -> Block:
        return self._live_feed().block(pair)


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
) -> Explorer:
    """Explore a protein's Jacobian while it is computed; returns at once.

    Parameters
    ----------
    sequence
        Residues, FASTA text, a path, a `Sequence`, or one of `catjac.examples()`, which brings its structure.
    model
        As of `catjac.jacobian`; a model that is given by name is loaded in the background.
    structure
        Native contacts to ring: `catjac.structure(…)`, a path, "pdb:…", or a square array (1, 0, NaN
        unresolved).
    min_separation
        Pairs nearer than that along one chain are dimmed and not counted.
    selection
        Pair (i, j) of 1-based positions to begin with.
    colour_map
        "ocean", "ember" or "graphite".
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
    from catjac_widgets.engine.jacobians import submit
    from catjac_widgets.engine.worker import Priority

    if hasattr(sequence, "sequence") and not isinstance(sequence, Sequence):  # an example protein
        structure = getattr(sequence, "structure", None) if structure is None else structure
        sequence = sequence.sequence
    known = as_sequence(sequence, unknown=unknown)
    hidden = as_mask(mask, known)
    native = None if structure is None else native_contacts(structure, known)

    def start() -> Job:
        return submit(
            known,
            model,
            mask=hidden,
            variant=variant,
            numerics=numerics,
            batch_size=batch_size,
            linker=linker,
            cache=cache,
            # Behind the attention head's one pass, which fills the screen first.
            priority=Priority.BACKGROUND,
        )

    # The first one is made here, so that what is wrong with the request is raised before there is a widget.
    jobs = [start()]
    first = jobs[0]
    try:
        return Explorer(
            known,
            lambda: jobs.pop() if jobs else start(),
            native=native,
            head=_head(known, model, first, hidden),
            notice=_notice(first, known),
            model_name=first.plan.model,
            mask=hidden if hidden else None,
            min_separation=min_separation,
            selection=selection,
            colour_map=colour_map,
        )
    except BaseException:
        first.cancel()
        raise


def _head(sequence: Sequence, model: Any, job: Job, mask: Mask) -> Callable[[], Future[Any]] | None:
    """Make a call that computes the attention head's map; None where J is in the cache already."""
    from catjac_widgets.engine.store import cache
    from catjac_widgets.engine.worker import Priority, worker_for
    from catjac_widgets.language_models.devices import likely_device
    from catjac_widgets.language_models.protocol import ContactHead
    from catjac_widgets.language_models.registry import resolve_model

    entry = cache.find(job.plan)
    if entry is not None and entry.done().issuperset(job.plan.wanted):
        return None
    by_name = isinstance(model, str | Path)

    def compute() -> Any:
        from catjac_widgets.analysis.attention import contact_head

        loaded = resolve_model(model)
        if not isinstance(loaded, ContactHead):
            return None
        return contact_head(sequence, loaded, mask=mask if mask else None)

    worker = worker_for(likely_device() if by_name else resolve_model(model).device)
    return lambda: worker.submit_call(compute, Priority.SCREEN)


def _notice(job: Job, sequence: Sequence) -> str:
    """Say what the embedded model has to say about a protein that it does not know."""
    if job.plan.model != "mini":
        return ""
    try:
        from catjac_widgets.language_models.embedded import familiarity
    except ImportError:
        return ""
    for chain in sequence.chains:
        known = familiarity(chain.residues)
        if not known.known:
            return known.sentence
    return ""
