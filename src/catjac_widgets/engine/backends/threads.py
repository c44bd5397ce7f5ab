"""Workers: one thread a device, which runs what is most urgent, a batch at a time."""

from __future__ import annotations

import atexit
import itertools
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from catjac_widgets.engine.backends.interface import Task
from catjac_widgets.engine.priorities import Priority

#: After the last move of a drag, sweeps wait this long, so that the next move finds the device free.
DRAG_HOLD_SECONDS = 0.3

#: How long a process that ends waits for the batch in flight.
_FAREWELL_SECONDS = 5.0

T = TypeVar("T")


class _Call:
    """A function to call once."""

    yields_to_drags = False

    def __init__(self, call: Callable[[], Any], priority: Priority, replace_key: object | None) -> None:
        self.call = call
        self.urgency = priority
        self.replace_key = replace_key
        self.future: Future[Any] = Future()

    def step(self) -> bool:
        if self.future.set_running_or_notify_cancel():
            try:
                self.future.set_result(self.call())
            except BaseException as error:
                self.future.set_exception(error)
        return True


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
            self._tasks.append((next(self._numbers), task))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"catjac {self.name}", daemon=True)
                self._thread.start()
            self._condition.notify_all()

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
        """End the thread after the step in hand; what is queued stays undone."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        thread = self._thread
        if thread is not None and not self.owns_this_thread():
            thread.join(timeout)

    def _hold(self) -> None:
        self._held_until = time.monotonic() + DRAG_HOLD_SECONDS

    def _next(self) -> tuple[int, Task] | None:
        """Wait, under the condition, for the task that is to do a step now; None when the worker closes."""
        while not self._closing:
            held = self._held_until - time.monotonic()
            ready = [
                (task.urgency, number, task)
                for number, task in self._tasks
                if held <= 0 or not task.yields_to_drags
            ]
            if ready:
                _, number, task = min(ready, key=lambda item: item[:2])
                return number, task
            self._condition.wait(held if self._tasks else None)
        return None

    def _run(self) -> None:
        while True:
            with self._condition:
                chosen = self._next()
            if chosen is None:
                return
            finished = chosen[1].step()
            with self._condition:
                if chosen[1].urgency is Priority.DRAG and isinstance(chosen[1], _Call):
                    self._hold()
                if finished:
                    self._tasks.remove(chosen)
            del chosen  # A finished task may hold a large array.


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
