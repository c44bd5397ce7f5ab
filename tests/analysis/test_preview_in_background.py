"""Previews in the background: between which steps other work goes, and when there is none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import random_esm2

import catjac
from catjac_widgets.analysis.previews import in_background
from catjac_widgets.analysis.previews.in_background import expected_seconds, preview_steps, start_preview
from catjac_widgets.analysis.previews.preview import approximate_jacobians
from catjac_widgets.engine.jobs.job import Job
from catjac_widgets.engine.jobs.steps import SteppedTask
from catjac_widgets.engine.plans.jacobian import Plan
from catjac_widgets.engine.plans.request import make_request
from catjac_widgets.engine.priorities import Priority
from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.potts.adapter import random_potts

WW = catjac.examples()["ww"].sequence

pytestmark = pytest.mark.usefixtures("kernels")


@pytest.fixture(autouse=True)
def always(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Jacobian is worth a preview, and none is known."""
    monkeypatch.setattr(in_background, "WORTH_SECONDS", 0.0)


def task_of(plan: Plan, model: Any, on_result: Callable[[Any], object]) -> SteppedTask:
    """The task that `start_preview` queues."""
    return SteppedTask(lambda loaded: preview_steps(plan, loaded, len(plan.wanted)), model, on_result)


def test_steps_end_with_the_approximation_that_preview_gives() -> None:
    plan = make_request(WW, "mini").plan
    came: list[tuple[int, np.ndarray]] = []
    task = task_of(plan, "mini", came.append)
    steps = 1
    while not task.step():
        steps += 1
    assert steps > 5  # other work goes in between
    assert (task.urgency, task.yields_to_drags) == (Priority.SCREEN, True)
    assert [number for number, _ in came] == [0, 3]
    shown = [frame for frame in catjac.preview(WW, "mini") if frame.label.startswith("preview")]
    np.testing.assert_allclose(
        catjac.contacts(catjac.jacobian(WW, "mini", progress=False).copy(data=came[1][1])),
        shown[1],
        atol=1e-5,
    )


def test_a_cancelled_one_stops_at_once() -> None:
    plan = make_request(WW, "mini").plan
    task = task_of(plan, "mini", lambda _: pytest.fail("it went on"))
    assert not task.step()
    task.cancel()
    assert task.step()


def test_a_model_without_previews_ends_quietly(caplog: pytest.LogCaptureFixture) -> None:
    model = random_potts(12, letters="ACDEFGHIKLMNPQRSTVWY", seed=1)
    plan = make_request(model.letters[:12], model).plan
    task = task_of(plan, model, lambda _: pytest.fail("there is none"))
    while not task.step():
        pass
    assert not caplog.records


def unqueued(sequence: Any, **options: Any) -> Job:
    """A job that has looked into the cache and not begun."""
    return Job(make_request(sequence, "mini", **options))


def test_it_runs_before_rows_and_not_for_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = threading.Event()
    order: list[str] = []
    task = start_preview(
        unqueued(WW), lambda number, _: (order.append("preview"), number == 3 and ready.set())
    )
    assert task is not None
    job = catjac.submit(WW, "mini")
    job.add_listener(row=lambda *_: order.append("row"))
    job.result()
    assert ready.wait(30)
    assert order[:2] == ["preview", "preview"]
    assert set(order[2:]) == {"row"}
    assert start_preview(unqueued(WW), lambda *_: None) is None
    assert start_preview(unqueued(WW, variant="fast"), lambda *_: None) is None
    small = make_request(WW[:20] if isinstance(WW, str) else str(WW)[:20], "mini").plan
    monkeypatch.setattr(in_background, "WORTH_SECONDS", 1e9)
    quiet = task_of(small, "mini", lambda _: pytest.fail("it is small"))
    while not quiet.step():
        pass


def test_expected_time_grows_with_the_rows() -> None:
    model = catjac.wrap(random_esm2(2))
    plan = make_request("ACDEFGHIKL", model).plan
    assert expected_seconds(plan, model, 0) == 0
    assert expected_seconds(plan, model, 5) > 0
    with pytest.raises(ModelError):
        list(approximate_jacobians(plan, random_potts(10, letters="ACDEFGHIKL", seed=1)))
