"""What all work in the background shares: states, stopping, notes, and whose thread does which step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stubs import PottsModel

from catjac_widgets.engine.backends.threads import worker_for
from catjac_widgets.engine.cache.info import CacheWarning
from catjac_widgets.engine.jobs.work import Work
from catjac_widgets.engine.priorities import Priority
from catjac_widgets.errors import Cancelled, ModelError, UsageError


class Steps(Work):
    """So many steps, of which those from `with_model` on need the model."""

    def __init__(
        self, count: int, *, with_model: int = 0, on_step: Callable[[int], Any] = lambda number: None
    ) -> None:
        super().__init__(PottsModel(), Priority.BACKGROUND)
        self.count, self.with_model, self.on_step = count, with_model, on_step
        self.threads: list[str] = []
        self.closed = False

    def _work(self) -> Iterator[None]:
        try:
            for number in range(self.count):
                if number == self.with_model:
                    self.needs_model = True
                    yield
                self.threads.append(threading.current_thread().name)
                self.on_step(number)
                yield
        finally:
            self.closed = True

    def kept_message(self, what: str) -> str:
        return f"It was {what} after {len(self.threads)} of {self.count} steps."


def test_it_goes_from_queued_through_running_to_done() -> None:
    work = Steps(2)
    assert (work.state, work.done, work.seconds) == ("queued", False, 0.0)
    assert not work.step()
    assert (work.state, work.done) == ("running", False)
    while not work.step():
        pass
    assert (work.state, work.done, work.error) == ("done", True, None)
    assert work.step()  # once more does nothing
    work.raise_for_error()
    assert work.wait(0)


def test_what_goes_wrong_ends_it_and_is_raised() -> None:
    def fail(number: int) -> None:
        if number == 1:
            raise ModelError("broken")

    work = Steps(3, on_step=fail)
    while not work.step():
        pass
    assert work.state == "failed"
    with pytest.raises(ModelError, match="broken"):
        work.raise_for_error()


def test_cancelled_it_does_no_further_step_and_lets_go() -> None:
    work = Steps(5)
    work.step()
    work.step()
    work.cancel()
    assert work.step()
    assert (work.state, work.closed, len(work.threads)) == ("cancelled", True, 1)
    with pytest.raises(Cancelled, match="cancelled after 1 of 5 steps"):
        work.raise_for_error()


def test_notes_are_told_once() -> None:
    work = Steps(1)
    for _ in range(2):
        work.note("the disk is full")
    with pytest.warns(CacheWarning, match="the disk is full") as told:
        work.raise_for_error()
    assert len(told) == 1
    work.raise_for_error()


def test_reading_is_more_urgent_than_running_the_model() -> None:
    work = Steps(4, with_model=2)
    seen = []
    while not work.step():
        seen.append((work.urgency, work.yields_to_drags))
    reading, running = (Priority.SCREEN, False), (Priority.BACKGROUND, True)
    assert seen == [reading] * 2 + [running] * 3
    work = Steps(4)
    work.step()
    work.raise_priority(Priority.SCREEN)
    assert work.urgency is Priority.SCREEN
    work.cancel()
    assert (work.urgency, work.yields_to_drags) == (Priority.DRAG, False)


def test_steps_that_need_the_model_run_on_the_thread_of_its_device() -> None:
    """Also where it was begun beside it, because all seemed to lie in the cache."""
    work = Steps(4, with_model=2)
    work.start_on(worker_for("cache"))
    assert work.wait(60)
    assert work.threads == ["catjac cache"] * 2 + ["catjac cpu"] * 2


def test_started_on_the_devices_own_thread_it_is_done_there() -> None:
    def inside() -> str:
        work = Steps(2)
        work.start_on(worker_for("cpu"))
        assert work.done
        return work.state

    assert worker_for("cpu").submit_call(inside).result(60) == "done"


def test_what_it_raises_need_not_be_ours() -> None:
    def fail(number: int) -> None:
        raise UsageError("no") if number else ZeroDivisionError

    work = Steps(2, on_step=fail)
    while not work.step():
        pass
    assert isinstance(work.error, ZeroDivisionError)
