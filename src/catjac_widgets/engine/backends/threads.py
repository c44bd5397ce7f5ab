"""Workers: one thread a device, which runs what is most urgent, a batch at a time."""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from catjac_widgets.engine.backends.interface import Task
from catjac_widgets.engine.priorities import Priority
from catjac_widgets.engine.telling import tell
from catjac_widgets.errors import Cancelled

_LOG = logging.getLogger("catjac")

#: After the last move of a drag, sweeps wait this long, so that the next move finds the device free.
DRAG_HOLD_SECONDS = 0.3

#: How long a process that ends waits for the batch in flight.
_FAREWELL_SECONDS = 5.0

#: What whoever waits for something is told when the worker was closed before it.
_CLOSED = "The process ends before this was done; what was computed is kept, ask again in another one."

T = TypeVar("T")


class _Answer(Future[Any]):
    """A future whose callbacks end neither each other nor the thread that answers it."""

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        super().add_done_callback(lambda done: tell("a callback", fn, done))


class _Call:
    """A function to call once."""

    yields_to_drags = False
    ready_at = 0.0

    def __init__(self, call: Callable[[], Any], priority: Priority, replace_key: object | None) -> None:
        self.call = call
        self.urgency = priority
        self.replace_key = replace_key
        self.future: Future[Any] = _Answer()

    def step(self) -> bool:
        if self.future.set_running_or_notify_cancel():
            try:
                made = self.call()
            except BaseException as error:
                self.future.set_exception(error)
            else:
                self.future.set_result(made)
        return True

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Worker:
    """One daemon thread that runs tasks in steps: the most urgent first, then in the order they came.

    See `catjac_widgets.engine.backends.interface.TaskWorker`.

    The thread starts with the first task and lives as long as the process: threads that come and go would
    each leave torch a pool of threads of their own.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._condition = threading.Condition()
        self._tasks: list[tuple[int, Task]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self._held_until = 0.0
        self._closing = False

    def add(self, task: Task) -> None:
        """Queue a task."""
        with self._condition:
            closing = self._closing
            if not closing:
                if self._thread is None:
                    thread = threading.Thread(target=self._run, name=f"catjac {self.name}", daemon=True)
                    thread.start()  # Where the system has no thread to give, the next task tries again.
                    self._thread = thread
                self._tasks.append((next(self._numbers), task))
                self._condition.notify_all()
        if closing:
            _fail(task, Cancelled(_CLOSED))

    def submit_call(
        self, fn: Callable[[], T], priority: Priority = Priority.SCREEN, replace_key: object | None = None
    ) -> Future[T]:
        """Queue a function that takes no arguments.

        Parameters
        ----------
        fn
            What to call on this thread.
        priority
            `Priority.DRAG` also holds sweeps until 300 ms after the last such call.
        replace_key
            A call that is still waiting under the same key is cancelled; the new one takes its place.

        Returns
        -------
        concurrent.futures.Future
            Of what the function returns or raises.
        """
        call = _Call(fn, Priority(priority), replace_key)
        with self._condition:
            if replace_key is not None:
                for _, other in self._tasks:
                    if isinstance(other, _Call) and other.replace_key == replace_key:
                        other.future.cancel()
            if call.urgency is Priority.DRAG:
                self._hold()
        self.add(call)
        return call.future

    def wake(self) -> None:
        """Look at the queue again, because a priority changed."""
        with self._condition:
            self._condition.notify_all()

    def owns_this_thread(self) -> bool:
        """Whether the caller is this worker's thread."""
        return threading.current_thread() is self._thread

    def close(self, timeout: float = _FAREWELL_SECONDS) -> None:
        """End the thread after the step in hand; what is queued, or comes later, is cancelled."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        thread = self._thread
        if thread is not None and not self.owns_this_thread():
            thread.join(timeout)

    def _hold(self) -> None:
        self._held_until = time.monotonic() + DRAG_HOLD_SECONDS

    def _next(self) -> tuple[int, Task] | None:
        """Wait, under the condition, for the task that is to do a step now; None when the worker closes.

        Raises
        ------
        _TaskError
            If a task cannot even be asked how urgent it is.
        """
        while not self._closing:
            now = time.monotonic()
            ready, waiting = [], []
            for number, task in self._tasks:
                try:
                    begin = max(task.ready_at, self._held_until if task.yields_to_drags else 0.0)
                    rank = task.urgency, number
                except BaseException as error:
                    raise _TaskError(number, task, error) from error
                if begin <= now:
                    ready.append((rank, task))
                else:
                    waiting.append(begin - now)
            if ready:
                rank, task = min(ready, key=lambda item: item[0])
                return rank[1], task
            self._condition.wait(min(waiting, default=None))
        return None

    def _run(self) -> None:
        while True:
            try:
                if not self._turn():
                    break
            except BaseException:
                # Nothing of a task comes here; whatever else went wrong, the tasks that wait are served.
                _LOG.exception("the thread of %s was disturbed", self.name)
        for _, task in self._emptied():
            _fail(task, Cancelled(_CLOSED))

    def _turn(self) -> bool:
        """Wait for a task and have it do a step; False when the worker closes."""
        try:
            with self._condition:
                chosen = self._next()
            if chosen is None:
                return False
            number, task = chosen
            try:
                finished = task.step()
                dragged = isinstance(task, _Call) and task.urgency is Priority.DRAG
            except BaseException as error:
                raise _TaskError(number, task, error) from error
        except _TaskError as failure:
            self._remove(failure.number)
            _fail(failure.task, failure.error)
            return True
        if dragged:
            with self._condition:
                self._hold()
        if finished:
            self._remove(number)
        return True

    def _remove(self, number: int) -> None:
        with self._condition:
            self._tasks = [queued for queued in self._tasks if queued[0] != number]

    def _emptied(self) -> list[tuple[int, Task]]:
        with self._condition:
            tasks, self._tasks = self._tasks, []
            return tasks


class _TaskError(Exception):
    """A task raised an error when it was asked something."""

    def __init__(self, number: int, task: Task, error: BaseException) -> None:
        super().__init__(number)
        self.number, self.task, self.error = number, task, error


def _fail(task: Task, error: BaseException) -> None:
    """End a task because of an error, on whatever thread this is."""
    tell("a task", task.fail, error)


_WORKERS: dict[str, Worker] = {}
_WORKERS_LOCK = threading.Lock()


def worker_for(device: object) -> Worker:
    """Return the worker of a device ("cpu", "cuda:0", a torch device), always the same."""
    name = str(device)
    if name == "cuda":
        name = "cuda:0"
    with _WORKERS_LOCK:
        if name not in _WORKERS:
            _WORKERS[name] = Worker(name)
        return _WORKERS[name]


def worker_of(model: Any) -> Worker:
    """Return the worker of the device that a model is on, or would be loaded to if it is a name or path."""
    if isinstance(model, str | Path):
        from catjac_widgets.language_models.devices import likely_device

        return worker_for(likely_device())
    return worker_for(model.device)


def _close_all() -> None:
    # Torch must not be in the middle of a batch while the interpreter is taken down around it.
    with _WORKERS_LOCK:
        workers = list(_WORKERS.values())
        _WORKERS.clear()
    for worker in workers:
        worker.close()


def _forget_after_fork() -> None:
    # Threads do not survive a fork; the child starts its own.
    global _WORKERS_LOCK
    _WORKERS_LOCK = threading.Lock()
    _WORKERS.clear()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
