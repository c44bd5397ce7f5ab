"""Workers: order, replacement, and sweeps that wait while somebody drags."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from catjac_widgets.engine.backends import threads as worker_module
from catjac_widgets.engine.backends.threads import Worker, worker_for
from catjac_widgets.engine.priorities import Priority


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker("test")
    yield made
    made.close()


class Sweep:
    """A task of so many steps, as a job is."""

    yields_to_drags = True
    ready_at = 0.0

    def __init__(
        self, steps: int, on_step: Callable[[int], None], urgency: Priority = Priority.BACKGROUND
    ) -> None:
        self.left, self.on_step, self.urgency = steps, on_step, urgency
        self.finished = threading.Event()

    def step(self) -> bool:
        self.left -= 1
        self.on_step(self.left)
        if self.left == 0:
            self.finished.set()
        return self.left == 0

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.finished.set()


def hold(worker: Worker) -> threading.Event:
    """Keep the worker busy until the event is set."""
    running, go = threading.Event(), threading.Event()
    worker.submit_call(lambda: (running.set(), go.wait(10)), Priority.SCREEN)
    running.wait(10)
    return go


def test_a_call_gives_what_it_returns_or_raises(worker: Worker) -> None:
    assert worker.submit_call(lambda: 42).result(10) == 42
    with pytest.raises(ZeroDivisionError):
        worker.submit_call(lambda: 1 // 0).result(10)
    assert worker.submit_call(lambda: worker.owns_this_thread()).result(10)
    assert not worker.owns_this_thread()


def test_the_most_urgent_goes_first_then_in_the_order_they_came(worker: Worker) -> None:
    go, order = hold(worker), list[str]()
    futures = [
        worker.submit_call(lambda name=name: order.append(name), priority)
        for name, priority in [
            ("background", Priority.BACKGROUND),
            ("screen 1", Priority.SCREEN),
            ("screen 2", Priority.SCREEN),
            ("drag", Priority.DRAG),
        ]
    ]
    go.set()
    for future in futures:
        future.result(10)
    assert order == ["drag", "screen 1", "screen 2", "background"]


def test_a_new_call_takes_the_place_of_one_that_waits(worker: Worker) -> None:
    go, order = hold(worker), list[int]()
    futures = [
        worker.submit_call(lambda k=k: order.append(k), Priority.DRAG, replace_key="head") for k in range(5)
    ]
    other = worker.submit_call(lambda: order.append(99), Priority.DRAG, replace_key="another view")
    go.set()
    other.result(10)
    futures[-1].result(10)
    assert sorted(order) == [4, 99]
    assert all(future.cancelled() for future in futures[:-1])


def test_a_call_that_was_cancelled_is_not_made(worker: Worker) -> None:
    go, order = hold(worker), list[int]()
    future = worker.submit_call(lambda: order.append(1))
    assert future.cancel()
    go.set()
    worker.submit_call(lambda: None, Priority.BACKGROUND).result(10)
    assert order == []


def test_calls_come_between_the_steps_of_a_sweep(worker: Worker) -> None:
    first_step, may_go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def on_step(left: int) -> None:
        order.append(f"step {left}")
        first_step.set()
        may_go_on.wait(10)

    sweep = Sweep(3, on_step)
    worker.add(sweep)
    first_step.wait(10)
    call = worker.submit_call(lambda: order.append("screen"), Priority.SCREEN)
    may_go_on.set()
    call.result(10)
    assert sweep.finished.wait(10)
    assert order == ["step 2", "screen", "step 1", "step 0"]


def test_a_drag_holds_sweeps_until_a_while_after_its_last_move(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "DRAG_HOLD_SECONDS", 0.4)
    times: list[float] = []
    sweep = Sweep(10_000_000, lambda left: (times.append(time.monotonic()), time.sleep(0.005)))
    worker.add(sweep)
    while not times:
        time.sleep(0.005)
    moves = []
    for _ in range(4):
        worker.submit_call(lambda: None, Priority.DRAG).result(10)
        moves.append(time.monotonic())
        time.sleep(0.1)
    during = [moment for moment in times if moment > moves[0]]
    assert during == []
    # What is on screen is not a sweep, and does not wait.
    worker.submit_call(lambda: None, Priority.SCREEN).result(10)
    screen = time.monotonic()
    deadline = time.monotonic() + 10
    while not any(moment > moves[-1] for moment in times) and time.monotonic() < deadline:
        time.sleep(0.005)
    resumed = next(moment for moment in times if moment > moves[-1])
    assert resumed > screen
    assert resumed - moves[-1] >= 0.39
    sweep.left = 1
    assert sweep.finished.wait(10)


def test_one_worker_a_device() -> None:
    import torch

    assert worker_for("cpu") is worker_for(torch.device("cpu"))
    assert worker_for("cuda") is worker_for("cuda:0")
    assert worker_for("cpu") is not worker_for("cuda:0")


def test_a_worker_that_is_closed_ends_its_thread() -> None:
    made = Worker("short")
    made.submit_call(lambda: None).result(10)
    thread = made._thread
    assert thread is not None
    assert thread.daemon
    made.close()
    assert not thread.is_alive()


def test_a_process_that_ends_in_the_middle_of_a_sweep_ends_quietly() -> None:
    code = """
import sys, time
sys.path.insert(0, sys.argv[1])
from stubs import SlowModel
from catjac_widgets.engine.api import submit
model = SlowModel(seconds=0.05)
job = submit("MKTAYIAKQRQISF" * 4, model, cache=False)
model.running.wait(20)
print(job.progress.state)
"""
    from pathlib import Path

    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parents[1])],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0
    assert done.stdout.strip() == "running"
    assert done.stderr == ""
