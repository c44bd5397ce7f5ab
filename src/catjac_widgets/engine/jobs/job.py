"""Jobs: a Jacobian that is computed in the background, a batch at a time, and can be watched and stopped."""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.engine.backends.threads import Worker, worker_for
from catjac_widgets.engine.cache.info import CacheWarning
from catjac_widgets.engine.jobs.gathering import READING_SECONDS, Gathering
from catjac_widgets.engine.priorities import Priority
from catjac_widgets.errors import Cancelled, UsageError

if TYPE_CHECKING:
    import xarray as xr

    from catjac_widgets.engine.plans.jacobian import Plan

_LOG = logging.getLogger("catjac")

RowListener = Callable[[int, np.ndarray], None]
ChangeListener = Callable[["Job"], None]


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes
    ----------
    state
        "queued", "running", "done", "cancelled" or "failed".
    rows_done, rows_total
        Rows that are there (computed or read), and rows asked for.
    seconds
        Since the job was first served.
    seconds_left
        An estimate; None while nothing is known.
    message
        What is going on, or went wrong, in words.
    """

    state: str
    rows_done: int
    rows_total: int
    seconds: float
    seconds_left: float | None
    message: str

    @property
    def fraction(self) -> float:
        """Rows done over rows asked for."""
        return self.rows_done / self.rows_total if self.rows_total else 1.0


class _Listener:
    """Somebody who wants to be told, and the 0-based positions that it has still to be told of."""

    def __init__(self, row: RowListener | None, change: ChangeListener | None, pending: deque[int]) -> None:
        self.row, self.change, self.pending = row, change, pending


class Job:
    """One Jacobian in the making.

    Made by `catjac.submit`. Its work happens on the worker's thread of the model's device.

    Attributes
    ----------
    plan
        What is computed: sequence, mask, variant, letters, positions.
    priority
        How urgent it is; see `raise_priority`.
    error
        What went wrong, or None.
    notes
        What a person should know although the result is right, for instance that the disk is full.
    """

    def __init__(
        self,
        plan: Plan,
        model: Any,
        *,
        batch_size: int | None = None,
        use_cache: bool = True,
        lazy: bool | str = "auto",
        priority: Priority = Priority.BACKGROUND,
    ) -> None:
        self.plan = plan
        self.priority = Priority(priority)
        self.error: BaseException | None = None
        self.notes: list[str] = []
        self._told = 0
        self._lock = threading.RLock()
        self._finished = threading.Event()
        self._cancelled = False
        self._state = "queued"
        self._started: float | None = None
        self._ended: float | None = None
        self._listeners: list[_Listener] = []
        self._worker: Worker | None = None
        self._result: xr.DataArray | None = None
        self._gathering = Gathering(
            plan,
            model,
            batch_size=batch_size,
            use_cache=use_cache,
            lazy=lazy,
            on_row=self._row_came,
            on_note=self._note,
            on_wait=self._wait_for_model,
        )
        self._steps: Iterator[None] | None = self._gathering.work()

    # ---- what a person uses

    @property
    def progress(self) -> Progress:
        """How far it is, now."""
        with self._lock:
            gathering, state = self._gathering, self._state
            done, total = len(gathering.done), len(self.plan.wanted)
            left: float | None = None
            if state == "done":
                left = 0.0
            elif state in ("queued", "running") and gathering.seconds_a_row is not None:
                left = gathering.seconds_a_row * (total - done)
            seconds = 0.0 if self._started is None else (self._ended or time.monotonic()) - self._started
            message = str(self.error) if self.error is not None else gathering.message
            return Progress(state, done, total, seconds, left, message)

    @property
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._finished.is_set()

    @property
    def partial(self) -> xr.DataArray:
        """The Jacobian so far; rows that are still to come are NaN and the attribute ``complete`` is 0."""
        return self._result if self._result is not None else self._gathering.partial()

    def row(self, position: int) -> np.ndarray | None:
        """Row (A_in, L, A_out) of a 1-based position, None where it is not there yet; not to be changed."""
        return self._gathering.row(position - 1) if position - 1 in self._gathering.done else None

    def cancel(self) -> None:
        """Stop after the batch in flight; its rows are kept."""
        self._cancelled = True
        if self._worker is not None:
            self._worker.wake()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; False if that took longer than `timeout` seconds."""
        return self._finished.wait(timeout)

    def result(self, timeout: float | None = None) -> xr.DataArray:
        """Wait for the Jacobian.

        Raises
        ------
        Cancelled
            If somebody cancelled it.
        CatjacError
            What went wrong, as a typed error.
        TimeoutError
            If it takes longer than `timeout` seconds; the job goes on.
        """
        if not self.done and self._worker is not None and self._worker.owns_this_thread():
            raise UsageError("job.result() was called on the thread that computes the job; wait elsewhere.")
        if not self.wait(timeout):
            raise TimeoutError(f"The Jacobian was not ready after {timeout:g} s; the job goes on.")
        for note in self.notes[self._told :]:
            self._told += 1
            warnings.warn(note, CacheWarning, stacklevel=2)
        if self.error is not None:
            raise self.error
        assert self._result is not None
        return self._result

    def add_listener(self, row: RowListener | None = None, change: ChangeListener | None = None) -> None:
        """Be told of rows and changes, on the worker's thread; rows that are there are replayed first.

        Parameters
        ----------
        row
            Called with the 1-based position and the row (A_in, L, A_out), which it must not change.
        change
            Called with the job when its state, progress or message changed, and once after the replay.
        """
        with self._lock:
            missed = sorted(self._gathering.done) if row is not None else ()
            listener = _Listener(row, change, deque(missed))
            self._listeners.append(listener)
        (self._worker or worker_for("cache")).add(_Replay(self, listener))

    def raise_priority(self, priority: Priority) -> None:
        """Make it at least that urgent."""
        self.priority = min(self.priority, Priority(priority))
        if self._worker is not None:
            self._worker.wake()

    def kept_message(self, what: str) -> str:
        """Say that it was `what` ("cancelled") after how many rows, and what becomes of them."""
        done, total = len(self._gathering.done), len(self.plan.wanted)
        kept = (
            "they are kept, and calling again continues"
            if self._gathering.keeps_rows
            else "they are not kept"
        )
        return f"The Jacobian was {what} after {done} of {total} rows; {kept}."

    def __repr__(self) -> str:
        progress = self.progress
        name = self.plan.sequence.name or f"{self.plan.length} residues"
        return (
            f"<Job: {self.plan.variant} Jacobian of {name} with {self.plan.model}, {progress.state}, "
            f"{progress.rows_done} of {progress.rows_total} rows>"
        )

    # ---- what drives it

    @property
    def urgency(self) -> Priority:
        """See `Task`: ending a cancelled job, and reading from the cache, go before other sweeps."""
        if self._cancelled:
            return Priority.DRAG
        return self.priority if self._gathering.needs_model else min(self.priority, Priority.SCREEN)

    @property
    def yields_to_drags(self) -> bool:
        """See `Task`: a sweep waits while somebody drags, unless that is what it is for."""
        return self._gathering.needs_model and not self._cancelled and self.priority > Priority.DRAG

    def start_on(self, worker: Worker) -> None:
        """Queue it."""
        self._worker = worker
        worker.add(self)

    def read_here(self) -> bool:
        """Do the steps that need no model on the caller's thread; True if that was all."""
        while not self._gathering.needs_model and not self.done:
            self.step()
        return self.done

    def step(self) -> bool:
        """See `Task`."""
        if self.done or self._steps is None:
            return True
        if self._started is None:
            self._started, self._state = time.monotonic(), "running"
        try:
            self._check_cancelled()
            next(self._steps)
        except StopIteration:
            self._end("done")
        except Cancelled as error:
            self._end("cancelled", error)
        except Exception as error:
            self._end("failed", error)
        else:
            self._tell_change(self._listeners)
            return False
        return True

    def _end(self, state: str, error: Exception | None = None) -> None:
        self._steps = None
        with self._lock:
            if error is None:
                self._result = self._gathering.result()
            self._gathering.close(complete=error is None)
            self.error, self._state, self._ended = error, state, time.monotonic()
        self._finished.set()
        self._tell_change(self._listeners)

    def _check_cancelled(self) -> None:
        if self._cancelled:
            raise Cancelled(self.kept_message("cancelled"))

    def _wait_for_model(self) -> None:
        self._check_cancelled()
        self._tell_change(self._listeners)

    # ---- telling

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _row_came(self, index: int, row: np.ndarray | None) -> None:
        with self._lock:
            ready = []
            for listener in self._listeners:
                if listener.row is None:
                    continue
                if listener.pending:
                    # The replay is not over; this row waits behind those before it.
                    if index not in listener.pending:
                        listener.pending.append(index)
                else:
                    ready.append(listener)
        for listener in ready:
            self._tell_row(listener, index, row)

    def _tell_row(self, listener: _Listener, index: int, row: np.ndarray | None = None) -> None:
        assert listener.row is not None
        try:
            listener.row(index + 1, self._gathering.row(index) if row is None else row)
        except Exception:
            _LOG.exception("a row listener failed")

    def _tell_change(self, listeners: list[_Listener]) -> None:
        for listener in list(listeners):
            if listener.change is not None and not listener.pending:
                try:
                    listener.change(self)
                except Exception:
                    _LOG.exception("a change listener failed")


class _Replay:
    """Tells one listener what it has missed, on the worker's thread."""

    urgency = Priority.SCREEN
    yields_to_drags = False

    def __init__(self, job: Job, listener: _Listener) -> None:
        self.job, self.listener = job, listener

    def step(self) -> bool:
        until = time.monotonic() + READING_SECONDS
        pending = self.listener.pending
        while pending:
            self.job._tell_row(self.listener, pending[0])
            pending.popleft()
            if time.monotonic() > until:
                break
        if pending:
            return False
        self.job._tell_change([self.listener])
        return True
