"""Functions and generators with a model, on the thread of its device."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from stubs import PottsModel

from catjac_widgets.engine.backends.threads import worker_for
from catjac_widgets.engine.jobs.calls import call_with_model, submit_with_model
from catjac_widgets.engine.jobs.steps import SteppedTask, results_of
from catjac_widgets.engine.priorities import Priority
from catjac_widgets.errors import DeviceError, ModelError
from catjac_widgets.language_models.base import LanguageModel
from catjac_widgets.language_models.registry import load_model


def thread() -> str:
    return threading.current_thread().name


def test_a_call_gets_the_model_on_the_thread_of_its_device() -> None:
    model = PottsModel()
    assert call_with_model(lambda given: (given is model, thread()), model) == (True, "catjac cpu")
    # On that thread already, it is called there: it would wait for itself for ever.
    assert call_with_model(lambda _: call_with_model(lambda _: thread(), model), model) == "catjac cpu"
    assert submit_with_model(lambda given: given is load_model("mini"), "mini").result(60)
    with pytest.raises(ZeroDivisionError):
        call_with_model(lambda _: 1 // 0, model)


def test_a_call_that_waits_can_be_cancelled_or_replaced() -> None:
    begun, go, order = threading.Event(), threading.Event(), list[int]()
    worker_for("cpu").submit_call(lambda: (begun.set(), go.wait(60)))
    assert begun.wait(60)
    futures = [
        submit_with_model(
            lambda _, k=k: order.append(k), PottsModel(), replace_key="same", priority=Priority.SCREEN
        )
        for k in range(3)
    ]
    other = submit_with_model(lambda _: order.append(9), PottsModel())
    assert other.cancel()
    go.set()
    futures[2].result(60)
    assert order == [2]
    assert [future.cancelled() for future in futures] == [True, True, False]


def counting(threads: list[str]) -> Iterator[int | None]:
    for number in range(3):
        threads.append(thread())
        yield number
        yield None


def test_results_come_where_they_are_asked_for_and_steps_run_on_the_device() -> None:
    threads: list[str] = []
    assert list(results_of(counting(threads), PottsModel())) == [0, 1, 2]
    assert threads == ["catjac cpu"] * 3

    def failing() -> Iterator[int]:
        yield 1
        raise ModelError("no more")

    made = results_of(failing(), PottsModel())
    assert next(made) == 1
    with pytest.raises(ModelError, match="no more"):
        next(made)


def run(task: SteppedTask[int]) -> int:
    steps = 1
    while not task.step():
        steps += 1
    return steps


def test_a_task_tells_results_in_steps() -> None:
    came: list[int] = []
    task = SteppedTask(lambda model: counting([]), PottsModel(), came.append)
    assert run(task) == 8  # the model, six yields, the end
    assert came == [0, 1, 2]
    assert (task.urgency, task.yields_to_drags) == (Priority.SCREEN, True)


def test_a_cancelled_task_tells_nothing_more() -> None:
    came: list[int] = []
    stop = lambda number: (came.append(number), task.cancel())  # noqa: E731
    task = SteppedTask(lambda model: counting([]), PottsModel(), stop)
    run(task)
    assert came == [0]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ModelError("no preview"), ModelError),
        (torch.OutOfMemoryError("CUDA out of memory."), DeviceError),
        (ZeroDivisionError(), ZeroDivisionError),
    ],
)
def test_what_goes_wrong_reaches_whoever_asked(
    error: Exception, expected: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    def failing(model: LanguageModel) -> Iterator[int]:
        yield 1
        raise error

    failures: list[Exception] = []
    run(SteppedTask(failing, PottsModel(), lambda _: None, on_error=failures.append))
    assert [type(each) for each in failures] == [expected]
    assert not caplog.records
    run(SteppedTask(failing, PottsModel(), lambda _: None))
    assert "work in the background failed" in caplog.text


def test_started_it_runs_on_the_thread_of_its_device() -> None:
    names: list[str] = []
    ended = threading.Event()
    SteppedTask(
        lambda model: counting(names), PottsModel(), lambda number: number == 2 and ended.set()
    ).start()
    assert ended.wait(60)
    assert names == ["catjac cpu"] * 3
