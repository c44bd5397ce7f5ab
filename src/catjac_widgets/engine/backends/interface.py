"""What a backend's workers offer to jobs, and jobs to workers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

from catjac_widgets.engine.priorities import Priority

T = TypeVar("T")


class Task(Protocol):
    """Work that a worker does in steps, between which it may turn to something more urgent."""

    @property
    def urgency(self) -> Priority:
        """How urgent the next step is."""
        ...

    @property
    def yields_to_drags(self) -> bool:
        """Whether the next step waits while somebody drags."""
        ...

    @property
    def ready_at(self) -> float:
        """When the next step makes sense, by `time.monotonic`; 0 for at once."""
        ...

    def step(self) -> bool:
        """Do one step; True when there is nothing more to do here."""
        ...

    def fail(self, error: BaseException) -> None:
        """Take note that there will be no further step, because of what went wrong; tell whoever waits."""
        ...


class TaskWorker(Protocol):
    """Runs the tasks of one device, one step at a time: the most urgent first, then in the order they came.

    No two steps of a device run at once, so that a model is never run by two threads. Whatever a task raises
    when it is asked something, `SystemExit` included, ends that task by its `Task.fail`, never the worker.
    """

    def add(self, task: Task) -> None:
        """Queue a task; returns at once, from any thread."""
        ...

    def submit_call(
        self, fn: Callable[[], T], priority: Priority = Priority.SCREEN, replace_key: object | None = None
    ) -> Future[T]:
        """Queue a function; a call that still waits under the same `replace_key` is cancelled for it.

        While calls of `Priority.DRAG` come, and shortly after, tasks that yield to drags wait.
        """
        ...

    def wake(self) -> None:
        """Look at the queue again, because an urgency changed."""
        ...

    def owns_this_thread(self) -> bool:
        """Whether the caller runs in one of this worker's steps, so that it must not wait for another."""
        ...

    def close(self) -> None:
        """End after the step in hand; what is queued, or comes later, is cancelled by `Task.fail`."""
        ...
