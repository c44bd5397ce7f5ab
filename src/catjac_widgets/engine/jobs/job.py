"""Jobs: a Jacobian that is computed in the background, a batch at a time, and can be watched and stopped."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from catjac_widgets.engine.backends.threads import worker_for, worker_of
from catjac_widgets.engine.jobs.gathering import READING_SECONDS, Gathering
from catjac_widgets.engine.jobs.rows import Rows
from catjac_widgets.engine.jobs.work import Work
from catjac_widgets.engine.plans.request import JacobianRequest
from catjac_widgets.engine.priorities import Priority
from catjac_widgets.engine.telling import tell
from catjac_widgets.errors import UsageError

if TYPE_CHECKING:
    import xarray as xr

    from catjac_widgets.engine.plans.jacobian import Plan

#: How often to look for rows that another process computes.
_WAIT_SECONDS = 0.1

#: Told the 1-based position of a row, and the row or the norms of its blocks.
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

    def __init__(
        self,
        row: RowListener | None,
        norms: RowListener | None,
        change: ChangeListener | None,
        pending: deque[int],
    ) -> None:
        self.row, self.norms, self.change, self.pending = row, norms, change, pending

    @property
    def hears_rows(self) -> bool:
        return self.row is not None or self.norms is not None


class Job(Work):
    """One Jacobian in the making.

    Made by `catjac.submit`. Its work happens on the worker's thread of the model's device.

    Attributes
    ----------
    request
        What was asked for.
    priority
        How urgent it is; see `raise_priority`.
    error
        What went wrong, or None.
    notes
        What a person should know although the result is right, for instance that the disk is full.
    """

    def __init__(self, request: JacobianRequest, priority: Priority = Priority.BACKGROUND) -> None:
        super().__init__(request.model, priority)
        self.request = request
        self._lock = threading.RLock()
        self._listeners: list[_Listener] = []
        self._result: xr.DataArray | None = None
        self._rows = Rows(request, self.note)
        self._gathering = Gathering(
            request,
            self._rows,
            on_row=self._row_came,
            on_note=self.note,
            on_wait=self._wait_for_model,
        )

    # ---- what a person uses

    @property
    def plan(self) -> Plan:
        """What is computed: sequence, mask, variant, letters, positions."""
        return self.request.plan

    @property
    def answered(self) -> bool:
        """Whether the cache has all that was asked for, by one look at it before the job begins."""
        return self._rows.answered

    @property
    def rows_in_cache(self) -> int:
        """How many of the rows asked for the cache had, by the same look."""
        return len(self._rows.in_cache)

    @property
    def progress(self) -> Progress:
        """How far it is, now."""
        with self._lock:
            gathering, state = self._gathering, self.state
            done, total = len(self._rows.done), len(self.plan.wanted)
            left: float | None = None
            if state == "done":
                left = 0.0
            elif state in ("queued", "running") and gathering.seconds_a_row is not None:
                left = gathering.seconds_a_row * (total - done)
            message = str(self.error) if self.error is not None else gathering.message
            return Progress(state, done, total, self.seconds, left, message)

    @property
    def partial(self) -> xr.DataArray:
        """The Jacobian so far; rows that are still to come are NaN and the attribute ``complete`` is 0."""
        return self._result if self._result is not None else self._rows.partial()

    def row(self, position: int) -> np.ndarray | None:
        """Row (A_in, L, A_out) of a 1-based position, None where it is not there yet; not to be changed."""
        return self._rows.look_at(position - 1)

    def block_norms(self, position: int) -> np.ndarray | None:
        """Norms (L,) of the blocks of a row, centred over its letters, None where it is not there yet.

        They are computed once a row, and read where they lie beside a complete Jacobian.
        """
        return self._rows.norms(position - 1) if position - 1 in self._rows.done else None

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
        self.raise_for_error()
        assert self._result is not None
        return self._result

    def add_listener(
        self,
        row: RowListener | None = None,
        change: ChangeListener | None = None,
        norms: RowListener | None = None,
    ) -> None:
        """Be told of rows and changes, on the worker's thread; rows that are there are replayed first.

        Parameters
        ----------
        row
            Called with the 1-based position and the row (A_in, L, A_out), which it must not change.
        change
            Called with the job when its state, progress or message changed, and once after the replay.
        norms
            Called with the 1-based position and the norms (L,) of the row's blocks, see `block_norms`; no row
            is read from the disk for it.
        """
        with self._lock:
            listener = _Listener(row, norms, change, deque())
            if listener.hears_rows:
                listener.pending.extend(sorted(self._rows.done))
            self._listeners.append(listener)
        (self._worker or worker_for("cache")).add(_Replay(self, listener))

    def kept_message(self, what: str) -> str:
        """Say that it was `what` ("cancelled") after how many rows, and what becomes of them."""
        done, total = len(self._rows.done), len(self.plan.wanted)
        kept = "they are kept, and calling again continues" if self._rows.keeps else "they are not kept"
        return f"The Jacobian was {what} after {done} of {total} rows; {kept}."

    def __repr__(self) -> str:
        progress = self.progress
        name = self.plan.sequence.name or f"{self.plan.length} residues"
        return (
            f"<Job: {self.plan.variant} Jacobian of {name} with {self.plan.model}, {progress.state}, "
            f"{progress.rows_done} of {progress.rows_total} rows>"
        )

    # ---- what drives it

    def start(self) -> Job:
        """Queue it: with the worker of its model's device, or beside it where that has nothing to do."""
        # So an answer from the cache waits for no sweep, and no torch is imported to name a device.
        self.start_on(worker_for("cache") if self.answered else worker_of(self.request.model))
        return self

    def read_here(self) -> bool:
        """Do the steps that need no model on the caller's thread; True if that was all."""
        while not self.needs_model and not self.done:
            self.step()
        return self.done

    def _work(self) -> Iterator[None]:
        for _ in self._gathering.work():
            self.needs_model = self._gathering.needs_model
            yield

    def _stepped(self) -> None:
        self._ready_at = time.monotonic() + _WAIT_SECONDS if self._gathering.waits else 0.0
        self._tell_change(self._listeners)

    def _complete(self) -> None:
        made = self._rows.result()
        with self._lock:
            self._result = made

    def _let_go(self) -> None:
        with self._lock:
            self._rows.close(complete=self.error is None)

    def _ended(self) -> None:
        self._tell_change(self._listeners)

    def _wait_for_model(self) -> None:
        self._check_cancelled()
        self._tell_change(self._listeners)

    # ---- telling

    def _row_came(self, index: int, row: np.ndarray | None) -> None:
        with self._lock:
            ready = []
            for listener in self._listeners:
                if not listener.hears_rows:
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
        if listener.row is not None:
            tell("a row listener", self._give_row, listener.row, index, row)
        if listener.norms is not None:
            tell("a row listener", self._give_norms, listener.norms, index)

    def _give_row(self, listener: RowListener, index: int, row: np.ndarray | None) -> None:
        listener(index + 1, self._rows.row(index) if row is None else row)

    def _give_norms(self, listener: RowListener, index: int) -> None:
        listener(index + 1, self._rows.norms(index))

    def _tell_change(self, listeners: list[_Listener]) -> None:
        for listener in list(listeners):
            if listener.change is not None and not listener.pending:
                tell("a change listener", listener.change, self)


class _Replay:
    """Tells one listener what it has missed, on the worker's thread."""

    urgency = Priority.SCREEN
    yields_to_drags = False
    ready_at = 0.0

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

    def fail(self, error: BaseException) -> None:
        # Of rows it will not be told any more, but of the end of the job, which it may wait for.
        self.listener.pending.clear()
        self.job._tell_change([self.listener])
