"""Work in the background that is done in steps, kept as it is done, and can be watched and stopped."""

from __future__ import annotations

import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from catjac_widgets.engine.backends.threads import Worker, worker_of
from catjac_widgets.engine.cache.info import CacheWarning
from catjac_widgets.engine.priorities import Priority
from catjac_widgets.engine.telling import as_exception, is_for_the_caller, tell
from catjac_widgets.errors import Cancelled

#: States in which nothing more will come.
ENDED = ("done", "cancelled", "failed")

#: What `next` gives after the last step.
_LAST = object()


class Work(ABC):
    """Work on one device; a `Task` of its worker.

    What is to be done is the generator `_work`, which yields where something more urgent may come in between.

    Parameters
    ----------
    model
        A language model, or a name or path: says which device the work needs.
    priority
        How urgent it is.

    Attributes
    ----------
    priority
        How urgent it is; see `raise_priority`.
    state
        "queued", "running", "done", "cancelled" or "failed".
    error
        What went wrong, or None.
    notes
        What a person should know although the result is right, for instance that the disk is full.
    needs_model
        Whether the work has come to where the model is needed. Until then it may be done beside the device.
    """

    def __init__(self, model: Any, priority: Priority) -> None:
        self.priority = Priority(priority)
        self.state = "queued"
        self.error: BaseException | None = None
        self.notes: list[str] = []
        self.needs_model = False
        self._model = model
        self._told = 0
        self._started: float | None = None
        self._ended_at: float | None = None
        self._cancelled = False
        #: When the next step makes sense, for work that waits for somebody else's.
        self._ready_at = 0.0
        self._finished = threading.Event()
        self._worker: Worker | None = None
        self._steps: Iterator[None] | None = self._work()

    # ---- what the work is

    @abstractmethod
    def _work(self) -> Iterator[None]:
        """Do everything, yielding between steps; an exception ends it."""

    @abstractmethod
    def kept_message(self, what: str) -> str:
        """Say that it was `what` ("cancelled") after how much of it, and what becomes of that."""

    def _stepped(self) -> None:  # noqa: B027 - nothing by default
        """Do what is due after each step that was not the last."""

    def _complete(self) -> None:  # noqa: B027 - nothing by default
        """Make ready what is asked for when everything is done; an exception makes that a failure."""

    def _let_go(self) -> None:  # noqa: B027 - nothing by default
        """Let go of what was held for the work, before whoever waits goes on; `error` says how it ended."""

    def _ended(self) -> None:  # noqa: B027 - nothing by default
        """Do what is due when it has ended."""

    def _end(self, state: str, error: Exception | None = None) -> None:
        """Take note of how it ended. Whatever goes wrong with that, nobody waits any longer."""
        self.error = error
        try:
            try:
                if self._steps is not None:
                    tell("what ends some work", self._steps.close)  # type: ignore[attr-defined]
            finally:
                tell("what ends some work", self._let_go)
        finally:
            self._steps = None
            self.state, self._ended_at = state, time.monotonic()
            self._finished.set()
        tell("what follows some work", self._ended)

    # ---- for whoever started it

    @property
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._finished.is_set()

    @property
    def seconds(self) -> float:
        """Seconds since it was first served, until its end."""
        return 0.0 if self._started is None else (self._ended_at or time.monotonic()) - self._started

    def start_on(self, worker: Worker) -> None:
        """Queue it; on that very worker's thread, do it."""
        self._worker = worker
        if worker.owns_this_thread():
            while not self.step():
                time.sleep(max(0.0, self.ready_at - time.monotonic()))
        else:
            worker.add(self)

    def cancel(self) -> None:
        """Stop after the step in hand; what is done is kept."""
        self._cancelled = True
        if self._worker is not None:
            self._worker.wake()

    def raise_priority(self, priority: Priority) -> None:
        """Make it at least that urgent."""
        self.priority = min(self.priority, Priority(priority))
        if self._worker is not None:
            self._worker.wake()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; False if that took longer than `timeout` seconds."""
        return self._finished.wait(timeout)

    def note(self, text: str) -> None:
        """Keep what a person should know, once."""
        if text not in self.notes:
            self.notes.append(text)

    def raise_for_error(self, stacklevel: int = 3) -> None:
        """Warn of what a person should know, once, and raise what went wrong, if anything did."""
        for note in self.notes[self._told :]:
            self._told += 1
            warnings.warn(note, CacheWarning, stacklevel=stacklevel)
        if self.error is not None:
            raise self.error

    # ---- what drives it

    @property
    def urgency(self) -> Priority:
        """See `Task`: ending what was cancelled, and reading from the cache, go before other sweeps."""
        if self._cancelled:
            return Priority.DRAG
        return self.priority if self.needs_model else min(self.priority, Priority.SCREEN)

    @property
    def yields_to_drags(self) -> bool:
        """See `Task`: a sweep waits while somebody drags, unless that is what it is for."""
        return self.needs_model and not self._cancelled and self.priority > Priority.DRAG

    @property
    def ready_at(self) -> float:
        """See `Task`."""
        return 0.0 if self._cancelled else self._ready_at

    def step(self) -> bool:
        """See `Task`. An interrupt or exit that reaches it on the main thread is raised when it has ended."""
        if self.done or self._steps is None:
            return True
        try:
            return self._advance()
        except BaseException as error:
            self.fail(error)
            if is_for_the_caller(error):
                raise
            return True

    def fail(self, error: BaseException) -> None:
        """See `Task`."""
        if self.done:
            return
        self._end("cancelled" if isinstance(error, Cancelled) else "failed", as_exception(error))

    def _advance(self) -> bool:
        """Do the next step; True when there is nothing more to do here."""
        assert self._steps is not None
        if self._started is None:
            self._started, self.state = time.monotonic(), "running"
        self._check_cancelled()
        if next(self._steps, _LAST) is _LAST:
            self._complete()
            self._end("done")
            return True
        self._stepped()
        return self._moved()

    def _check_cancelled(self) -> None:
        if self._cancelled:
            raise Cancelled(self.kept_message("cancelled"))

    def _moved(self) -> bool:
        """Go on with the worker of the model's device, where only now the model turned out to be needed."""
        here = self._worker
        if here is None or not self.needs_model:
            return False
        device = worker_of(self._model)
        if device is here:
            return False
        self._worker = device
        device.add(self)
        return True
