"""The job under the mask of an explorer: started, shown, and replaced when the mask is another one.

Starting may take long (a registry that is busy, an entry on a slow disk). It happens outside the delivery's
lock, so that messages come in and other things go out meanwhile; what was started for a mask that is not the
mask any more is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import CatjacError, UsageError
from catjac_widgets.proteins.masks import Mask, as_mask
from catjac_widgets.widgets.explorer.job_feed import JobFeed, StartPreview
from catjac_widgets.widgets.explorer.state import ExplorerState, sentence

if TYPE_CHECKING:
    from catjac_widgets.engine.jobs.job import Job
    from catjac_widgets.widgets.contact_map.view import ContactMap
    from catjac_widgets.widgets.jacobian_slice.view import JacobianSlice

#: What the map's label says between a change of the mask and the first values under it.
FORMER = ", under the former mask"

#: And between another model and its first values.
FORMER_MODEL = ", of the former model"

STARTING = "The Jacobian under this mask is being started; call ex.wait() first."
CLOSED = "This explorer is closed; call catjac.explore again."


@dataclass(frozen=True)
class _Start:
    """A job that was started for a mask, or why that failed."""

    number: int
    job: Job | None = None
    error: Exception | None = None
    #: Whether it goes on where a former one stopped.
    resumed: bool = False


class CurrentJob:
    """Has the Jacobian computed under the mask of a state, and its views told.

    Parameters
    ----------
    state
        Whose `mask` to follow; its `status`, `progress` and `error` are set.
    contact_map, jacobian_slice
        The views to tell.
    start
        Called with a mask, returns its job; may take long.
    head
        Called with a job, returns the future map of the contact head under its mask, or None for none.
    preview
        See `StartPreview`.

    Attributes
    ----------
    why_none
        A sentence while there is no job and none comes, because everything is masked or starting it failed;
        else "".
    was_final
        Whether the map of the job before was complete when it was let go of.
    """

    def __init__(
        self,
        state: ExplorerState,
        contact_map: ContactMap,
        jacobian_slice: JacobianSlice,
        start: Callable[[Mask], Job],
        *,
        head: Callable[[Job], Future[Any] | None] | None = None,
        preview: StartPreview | None = None,
    ) -> None:
        self.why_none = ""
        self.was_final = False
        self._state, self._map, self._slice = state, contact_map, jacobian_slice
        self._start, self._head, self._preview = start, head, preview
        self._feed: JobFeed | None = None
        #: Counts what was asked for; whatever was started for a lower number is overtaken.
        self._number = 0
        self._cancelled = 0
        self._closed = False

    @property
    def feed(self) -> JobFeed:
        """What follows the job.

        Raises
        ------
        UsageError
            If there is none, or none yet.
        """
        if self._feed is None:
            raise UsageError(CLOSED if self._closed else self.why_none or STARTING)
        return self._feed

    @property
    def starting(self) -> bool:
        """Whether a job is being started."""
        return self._feed is None and not self._closed and not self.why_none

    @property
    def finished(self) -> Job | None:
        """The job whose Jacobian is complete; None while there is none."""
        feed = self._feed
        return feed.job if feed is not None and feed.job.progress.state == "done" else None

    # ---- starting

    def begin(self) -> None:
        """Start the job under the mask, in place of the one before; it is there when this returns.

        Not to be called by whoever holds the delivery's lock. Anything but a `CatjacError` that starting it
        raises is raised.
        """
        made = self._made(*self._let_go())
        if self._take_up(made):
            self._impress(made)
        if made.error is not None and not isinstance(made.error, CatjacError):
            raise made.error

    def begin_soon(self) -> None:
        """Do the same for whoever holds the lock: returns at once."""
        asked = self._let_go()
        self._state.report("queued", {"message": "starting"})
        self._post(lambda: self._made(*asked))

    def hold(self, message: str) -> None:
        """Stop the work, for whoever begins again soon; what is shown stays."""
        self._let_go(FORMER_MODEL)
        self._number += 1
        self._state.report("queued", {"message": message})

    def use(
        self,
        start: Callable[[Mask], Job],
        head: Callable[[Job], Future[Any] | None] | None,
        preview: StartPreview | None,
    ) -> None:
        """Have jobs started otherwise from now on: those of another model."""
        self._start, self._head, self._preview = start, head, preview

    def resume(self) -> None:
        """Start again where the job stopped; where that is refused, the former one stays.

        Raises
        ------
        Exception
            Whatever starting it raises.
        """
        made = self._made(*self._ask(), resumed=True)
        if made.error is not None:
            raise made.error
        if self._take_up(made):
            self._impress(made)

    def resume_soon(self) -> None:
        """Do the same for whoever holds the lock: returns at once."""
        asked = self._ask()
        self._post(lambda: self._made(*asked, resumed=True))

    def cancel(self) -> None:
        """Stop after the batch in flight; rows done are kept."""
        self._cancelled = self._number
        if self._feed is not None:
            self._feed.job.cancel()

    def close(self) -> None:
        """Stop the work and let go of the job."""
        self._closed = True
        self._number += 1
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.job.cancel()
            feed.close()

    def _ask(self) -> tuple[int, Mask]:
        with self._state.delivery.lock:
            self._number += 1
            assert self._state.sequence is not None
            return self._number, as_mask(self._state.mask, self._state.sequence)

    def _let_go(self, former: str = FORMER) -> tuple[int, Mask]:
        """Keep what the former job showed, to compare with, and stop it."""
        with self._state.delivery.lock:
            feed, self._feed = self._feed, None
            if feed is not None:
                self.was_final = feed.finished.is_set() and feed.job.progress.state == "done"
                feed.keep()
                feed.close()
                feed.job.cancel()
                if not self._map.label.endswith((FORMER, FORMER_MODEL)):
                    self._map.label += former
            self.why_none = ""
            return self._ask()

    def _made(self, number: int, mask: Mask, *, resumed: bool = False) -> _Start:
        try:
            job = self._start(mask)
        except Exception as error:
            return _Start(number, error=error, resumed=resumed)
        if self._overtaken(number):
            # Of a delivery that is closed meanwhile nothing is sent, so this is the last one to see it.
            job.cancel()
            return _Start(number)
        return _Start(number, job=job, resumed=resumed)

    def _overtaken(self, number: int) -> bool:
        return self._closed or number != self._number

    def _post(self, make: Callable[[], _Start]) -> None:
        delivery = self._state.delivery

        def take_up(made: _Start) -> None:
            if self._take_up(made):
                # Looking into the cache is not quick either.
                delivery.post("first maps", lambda _: None, prepare=lambda: self._impress(made), urgent=True)

        delivery.post("start", take_up, prepare=make, urgent=True)

    def _take_up(self, made: _Start) -> bool:
        """Follow a job that was started; False if there is none, or another one was asked for meanwhile."""
        with self._state.delivery.lock:
            if self._overtaken(made.number):
                if made.job is not None:
                    made.job.cancel()
                return False
            if made.job is not None:
                self._follow(made.job)
                if self._cancelled == made.number:
                    made.job.cancel()
            elif made.resumed:
                self._state.error = sentence(made.error)
            elif isinstance(made.error, CatjacError):
                # Nothing to compute, for instance because everything is masked; the head still has its map.
                self.why_none = str(made.error)
                self._state.report("idle", {"message": "nothing to compute"})
            else:
                self.why_none = sentence(made.error)
                self._state.report("failed", {"message": ""}, self.why_none)
            self._slice.restart()
            return made.job is not None

    def _follow(self, job: Job) -> None:
        if self._feed is not None:
            self._feed.close()
        self.why_none = ""
        self._state.tell("contact head", "")
        self._state.tell("preview", "")
        # Until the feed reports, say what is known; a new run forgets the former error.
        self._state.report("queued", job.progress)
        self._feed = JobFeed(job, self._map, self._slice, self._state)
        self._feed.begin()

    def _impress(self, made: _Start) -> None:
        """Have shown what is there before the rows: the contact head's map and the preview."""
        feed = self._feed
        if feed is None or feed.job is not made.job:
            return
        first = None if made.resumed or self._head is None else self._head(feed.job)
        if first is not None:
            feed.show_head(first)
        if self._preview is not None:
            feed.show_preview(self._preview)
