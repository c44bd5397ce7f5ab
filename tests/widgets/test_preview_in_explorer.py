"""A preview in the explorer: after the contact head, before the rows, which take its place."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs import RESIDUES, StagedJob, plan_of
from notebook_page import Wire

import catjac
from catjac_widgets.analysis.contacts.maps import contacts
from catjac_widgets.analysis.previews import in_background as preview_tasks
from catjac_widgets.errors import DeviceError
from catjac_widgets.language_models.registry import load_model
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.widgets.explorer.view import Explorer

SEQUENCE = as_sequence(RESIDUES, name="made up")
LENGTH = len(RESIDUES)


class StubTask:
    """Remembers whom to tell, and whether it was cancelled."""

    def __init__(
        self, come: Callable[[int, np.ndarray], None], failed: Callable[[BaseException], None]
    ) -> None:
        self.come, self.failed, self.cancelled = come, failed, False

    def cancel(self) -> None:
        self.cancelled = True


def explorer_of(*jobs: StagedJob, **traits: Any) -> tuple[Explorer, list[StubTask]]:
    waiting, tasks = list(jobs), []

    def preview(job: Any, come: Any, failed: Any) -> Any:
        tasks.append(StubTask(come, failed))
        return tasks[-1]

    made = Explorer(SEQUENCE, lambda mask: waiting.pop(0), model_name="stub", preview=preview, **traits)
    return made, tasks


@pytest.fixture
def job() -> StagedJob:
    return StagedJob(plan_of(SEQUENCE))


def plain_map(J: np.ndarray) -> np.ndarray:
    """Average product corrected mean of both directions' norms of blocks, centred over their letters."""
    norms = np.zeros((LENGTH, LENGTH))
    for i in range(LENGTH):
        for j in range(LENGTH):
            block = J[i, :, j].astype(np.float64)
            block = block - block.mean(0) - block.mean(1)[:, None] + block.mean()
            norms[i, j] = 0 if i == j else np.sqrt((block**2).sum())
    both = (norms + norms.T) / 2
    found = both - np.outer(both.sum(1), both.sum(0)) / both.sum()
    np.fill_diagonal(found, 0)
    return found


def test_rows_take_the_place_of_the_preview(wire: Wire, job: StagedJob) -> None:
    ex, [task] = explorer_of(job)
    approximate = np.random.default_rng(1).normal(size=job.J.shape).astype(np.float32)
    task.come(0, approximate)
    ex.delivery.flush()
    shown = ex.contact_map
    assert (shown.label, shown.quantity) == ("preview, first order", "score")
    assert ex.progress["message"] == "preview, first order · exact rows follow"
    assert ex.status == "queued"
    np.testing.assert_allclose(shown.values, plain_map(approximate), atol=1e-4)
    task.come(3, approximate + 0.5 * job.J)
    ex.delivery.flush()
    assert shown.label == "preview, 3 letters"
    job.give(1, 5, 30)
    ex.delivery.flush()
    assert shown.label == "Jacobian, 5 %, the rest a preview"
    assert ex.status == "running"
    mixed = approximate + 0.5 * job.J
    for position in (1, 5, 30):
        mixed[position - 1] = job.J[position - 1]
    np.testing.assert_allclose(shown.values, plain_map(mixed), atol=1e-4)
    job.finish()
    ex.wait(10)
    assert (shown.label, task.cancelled) == ("Jacobian", True)
    np.testing.assert_array_equal(shown.values, contacts(job.partial).values.astype(np.float32))
    ex.close()


def test_a_preview_that_comes_late_is_not_shown(wire: Wire, job: StagedJob) -> None:
    ex, [task] = explorer_of(job)
    job.give(*range(1, 40))
    ex.delivery.flush()
    before = ex.contact_map.values.copy()
    task.come(3, job.J)
    ex.delivery.flush()
    assert ex.contact_map.label == "Jacobian, 67 %"
    np.testing.assert_array_equal(ex.contact_map.values, before)
    ex.close()
    assert task.cancelled


def test_the_button_and_another_mask_stop_the_preview(wire: Wire, job: StagedJob) -> None:
    mask = Mask.showing(SEQUENCE, [(1, 30)])
    second = StagedJob(plan_of(SEQUENCE, mask=mask))
    ex, tasks = explorer_of(job, second)
    ex.mask = mask
    assert [task.cancelled for task in tasks] == [True, False]
    tasks[0].come(0, job.J)  # already on its way
    ex.delivery.flush()
    assert not ex.contact_map.label.startswith("preview")
    J = second.J.copy()
    J[np.array(mask.masked)] = np.nan
    tasks[1].come(0, J)
    ex.delivery.flush()
    hidden = np.array(mask.masked)
    assert ex.contact_map.label == "preview, first order"
    assert np.isnan(ex.contact_map.values[hidden]).all()
    assert np.isfinite(ex.contact_map.values[np.ix_(~hidden, ~hidden)]).all()
    ex.cancel()
    ex.delivery.flush()
    assert (ex.status, tasks[1].cancelled) == ("cancelled", True)
    ex.close()


def test_a_preview_that_fails_says_so_until_one_comes(wire: Wire, job: StagedJob) -> None:
    ex, [task] = explorer_of(job, notice="Mini does not know this protein.")
    task.failed(DeviceError("The device was lost; restart the kernel."))
    ex.delivery.flush()
    assert ex.notice == (
        "Mini does not know this protein. The map of the preview could not be computed. "
        "The device was lost; restart the kernel."
    )
    task.come(0, job.J)
    ex.delivery.flush()
    assert ex.notice == "Mini does not know this protein."
    ex.close()


def test_a_contact_head_that_fails_says_so_and_the_rows_come(wire: Wire, job: StagedJob) -> None:
    future: Future[Any] = Future()
    ex, _ = explorer_of(job, head=lambda job: future)
    future.set_exception(ZeroDivisionError("division by zero"))
    ex.delivery.flush()
    assert "contact head could not be computed" in ex.notice
    assert "ZeroDivisionError" in ex.notice
    job.finish()
    assert ex.wait(20).status == "done"
    ex.close()


# ---- with the engine


def test_a_model_whose_contact_head_raises_is_no_silence(wire: Wire, own_cache: Path) -> None:
    model = copy.copy(load_model("mini"))

    def fail(residues: str, masks: Any) -> np.ndarray:
        raise DeviceError("The device was lost; restart the kernel.")

    model.contact_probabilities = fail
    ex = catjac.explore(catjac.examples()["ww"], model, cache=False, panels=("sequence", "map"))
    ex.wait(120)
    assert ex.status == "done"
    assert "The device was lost; restart the kernel." in ex.notice
    ex.close()


def labels_seen(ex: Explorer) -> list[str]:
    seen: list[str] = []
    ex.contact_map.observe(lambda change: seen.append(change["new"]), "label")
    while not ex.job.wait(0.005):
        ex.delivery.flush()
    ex.wait(60)
    return seen


def test_frames_come_in_order_of_cost(wire: Wire, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview_tasks, "WORTH_SECONDS", 0.0)
    # Without bokeh and nglview, whose imports may take as long as the Jacobian.
    ex = catjac.explore(catjac.examples()["bpti"].sequence, "mini", panels=("sequence", "map"))
    seen = labels_seen(ex)
    kinds = [label.split(",")[0] for label in seen]
    # A frame that the next one overtakes before it is delivered is not shown.
    assert {"preview", "Jacobian"} <= set(kinds) <= {"contact head", "preview", "Jacobian"}
    assert ex.contact_map.head is not None
    assert kinds == sorted(kinds, key=["contact head", "preview", "Jacobian"].index)
    assert seen[-1] == "Jacobian"
    ex.close()


def test_a_small_or_known_jacobian_has_no_preview(
    wire: Wire, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview_tasks, "WORTH_SECONDS", 1e9)
    sequence = catjac.examples()["ww"].sequence
    ex = catjac.explore(sequence, "mini")
    assert not any("preview" in label for label in labels_seen(ex))
    ex.close()
    monkeypatch.setattr(preview_tasks, "WORTH_SECONDS", 0.0)
    ex = catjac.explore(sequence, "mini")  # now it lies in the cache
    assert not any("preview" in label for label in labels_seen(ex))
    ex.close()
