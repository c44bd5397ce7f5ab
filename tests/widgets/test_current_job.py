"""Starting the job under another mask: off the delivery's turn, the last mask wins, failures are shown."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from jobs import RESIDUES, StagedJob, plan_of
from notebook_page import Wire

from catjac_widgets.errors import DeviceError, UsageError
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.widgets.explorer.view import Explorer

SEQUENCE = as_sequence(RESIDUES, name="made up")


class SlowStart:
    """Starts jobs; from the second one on, each waits until the test lets it go on."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.jobs: list[StagedJob] = []
        self.fail: Exception | None = None

    def __call__(self, mask: Mask) -> StagedJob:
        if self.jobs:
            self.begun.release()
            assert self.go.wait(30)
            if self.fail is not None:
                raise self.fail
        self.jobs.append(StagedJob(plan_of(SEQUENCE, mask=mask)))
        return self.jobs[-1]


@pytest.fixture
def start() -> SlowStart:
    return SlowStart()


def set_mask(wire: Wire, ex: Explorer, *fragments: list[int]) -> None:
    wire.receive({"id": ex.model_id, "method": "update", "state": {"mask": list(fragments)}})


def within(seconds: float, call: Callable[[], Any]) -> None:
    """Call on a thread of its own, which must come back in time."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it waited for the start of a job"


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


def test_a_slow_start_freezes_neither_messages_nor_sends(wire: Wire, start: SlowStart) -> None:
    ex = Explorer(SEQUENCE, start, model_name="stub")
    set_mask(wire, ex, [1, 20])
    assert start.begun.acquire(timeout=10)
    within(5, lambda: wire.receive({"id": ex.model_id, "method": "update", "state": {"hover": [3, 9]}}))
    assert ex.hover == (3, 9)
    sent = threading.Event()
    ex.delivery.post("drag", lambda _: sent.set(), urgent=True)
    assert sent.wait(5)
    assert (ex.status, ex.progress["message"]) == ("queued", "starting")
    with pytest.raises(UsageError, match="being started"):
        _ = ex.job
    with pytest.raises(TimeoutError):
        ex.wait(0.05)
    start.go.set()
    ex.delivery.flush(10)
    assert ex.job is start.jobs[1]
    assert str(ex.job.plan.mask) == "1-20"
    ex.close()


def test_an_undo_that_is_pressed_starts_off_the_turn_too(wire: Wire, start: SlowStart) -> None:
    start.go.set()
    ex = Explorer(SEQUENCE, start, model_name="stub")
    ex.mask = Mask.showing(SEQUENCE, [(1, 20)])
    assert start.begun.acquire(timeout=10)
    start.go.clear()
    press = {"id": ex.sequence_mask.model_id, "method": "custom", "content": {"kind": "undo"}}
    wire.receive(press)
    assert start.begun.acquire(timeout=10)
    within(5, lambda: wire.receive({"id": ex.model_id, "method": "update", "state": {"hover": [3, 9]}}))
    start.go.set()
    ex.delivery.flush(10)
    assert not ex.job.plan.mask
    ex.close()


def test_what_was_started_for_a_mask_that_was_overtaken_is_cancelled(wire: Wire, start: SlowStart) -> None:
    ex = Explorer(SEQUENCE, start, model_name="stub")
    set_mask(wire, ex, [1, 20])
    assert start.begun.acquire(timeout=10)
    set_mask(wire, ex, [1, 30])
    set_mask(wire, ex, [1, 40])
    start.go.set()
    ex.delivery.flush(10)
    assert str(ex.job.plan.mask) == "1-40"
    assert [job.cancelled for job in start.jobs[:-1]] == [1] * (len(start.jobs) - 1)
    assert start.jobs[-1].cancelled == 0
    start.jobs[1].give(3)  # has no say
    ex.delivery.flush(10)
    assert ex.status == "queued"
    ex.close()


def test_a_start_that_was_asked_for_before_close_is_cancelled(wire: Wire, start: SlowStart) -> None:
    ex = Explorer(SEQUENCE, start, model_name="stub")
    set_mask(wire, ex, [1, 20])
    assert start.begun.acquire(timeout=10)
    ex.close()
    start.go.set()
    wait_for(lambda: len(start.jobs) == 2 and start.jobs[1].cancelled == 1)


def test_cancel_while_it_is_started_stops_it(wire: Wire, start: SlowStart) -> None:
    ex = Explorer(SEQUENCE, start, model_name="stub")
    set_mask(wire, ex, [1, 20])
    assert start.begun.acquire(timeout=10)
    ex.cancel()
    start.go.set()
    ex.delivery.flush(10)
    assert (ex.status, start.jobs[1].cancelled) == ("cancelled", 1)
    ex.close()


def test_a_start_that_fails_is_shown_and_can_be_tried_again(wire: Wire, start: SlowStart) -> None:
    ex = Explorer(SEQUENCE, start, model_name="stub")
    start.fail = ZeroDivisionError("a mistake of ours")
    start.go.set()
    set_mask(wire, ex, [1, 20])
    ex.delivery.flush(10)
    assert ex.status == "failed"
    assert "a mistake of ours" in ex.error
    ex.wait(1)
    ex.selection = (3, 9)
    ex.delivery.flush(10)
    assert ex.jacobian_slice.block["status"] == "error"
    start.fail = None
    wire.receive({"id": ex.job_status.model_id, "method": "custom", "content": {"kind": "resume"}})
    ex.delivery.flush(10)
    assert (ex.status, ex.error) == ("queued", "")
    assert ex.job is start.jobs[-1]
    ex.close()


def test_a_button_resumes_off_the_turn_and_a_refusal_is_shown(wire: Wire, start: SlowStart) -> None:
    ex = Explorer(SEQUENCE, start, model_name="stub")
    ex.cancel()
    ex.delivery.flush(10)
    assert ex.status == "cancelled"
    start.fail = DeviceError("The device was lost; restart it.")
    wire.receive({"id": ex.job_status.model_id, "method": "custom", "content": {"kind": "resume"}})
    assert start.begun.acquire(timeout=10)
    within(5, lambda: wire.receive({"id": ex.model_id, "method": "update", "state": {"hover": [3, 9]}}))
    start.go.set()
    ex.delivery.flush(10)
    assert ex.error == "The device was lost; restart it."
    assert ex.job is start.jobs[0]
    ex.close()
