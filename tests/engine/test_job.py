"""Jobs: progress, listeners, cancelling, priorities, and errors on the way."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cache_counts import Counts
from stubs import FailingModel, HungryModel, PottsModel, SlowModel

from catjac_widgets.block_math.centring import letter_centred_norms
from catjac_widgets.engine.api import jacobian, submit
from catjac_widgets.engine.backends.threads import worker_for
from catjac_widgets.engine.cache.info import CacheWarning
from catjac_widgets.engine.jobs.job import Job, Progress
from catjac_widgets.engine.priorities import Priority
from catjac_widgets.errors import Cancelled, ModelError, UsageError
from catjac_widgets.proteins.masks import Mask

RESIDUES = "MKTAYIAKQRQISF"
L = len(RESIDUES)


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)


def gated(**options: Any) -> tuple[SlowModel, threading.Semaphore, Job]:
    """A job that runs one position a batch, each when the semaphore is released."""
    gate = threading.Semaphore(0)
    model = SlowModel(gate=gate)
    return model, gate, submit(RESIDUES, model, batch_size=19, **options)


def test_a_job_goes_from_queued_to_done() -> None:
    model, gate, job = gated()
    assert job.progress.state in ("queued", "running")
    assert job.progress.rows_total == L
    assert not job.done
    with pytest.raises(TimeoutError, match="the job goes on"):
        job.result(0.01)
    gate.release(3)
    eventually(lambda: job.progress.rows_done == 3)
    progress = job.progress
    assert isinstance(progress, Progress)
    assert progress.state == "running"
    assert progress.seconds > 0
    assert progress.seconds_left is not None
    assert 0 < progress.seconds_left < 100
    assert progress.fraction == 3 / L
    assert "running, 3 of 14 rows" in repr(job)
    gate.release(1000)
    made = job.result(30)
    assert job.progress.state == "done"
    assert job.progress.seconds_left == 0.0
    assert made.attrs["complete"] == 1
    assert job.partial is made
    np.testing.assert_array_equal(
        made.values, jacobian(RESIDUES, model, cache=False, progress=False, batch_size=19)
    )


@pytest.mark.parametrize("lazy", [False, True])
def test_partial_holds_the_rows_that_are_there(lazy: bool) -> None:
    _, gate, job = gated(lazy=lazy)
    gate.release(4)
    eventually(lambda: job.progress.rows_done == 4)
    partial = job.partial.load()
    assert partial.attrs["complete"] == 0
    assert np.isfinite(partial.values[:4]).all()
    assert np.isnan(partial.values[4:]).all()
    kept = partial.values.copy()
    row = job.row(2)
    assert row is not None
    np.testing.assert_array_equal(row, kept[1])
    assert job.row(5) is None
    gate.release(1000)
    made = job.result(30)
    np.testing.assert_array_equal(partial.values, kept)
    np.testing.assert_array_equal(made.values[:4], kept[:4])


def test_partial_and_progress_before_anything_happened() -> None:
    blocker, gate, first = gated(cache=False)
    blocker.running.wait(10)
    job = submit(RESIDUES, PottsModel(), cache=False)
    assert np.isnan(job.partial.values).all()
    assert job.partial.attrs["complete"] == 0
    assert job.progress.rows_done == 0
    gate.release(1000)
    job.result(30)
    first.result(30)


def test_listeners_hear_every_row_once_with_those_before_replayed_first() -> None:
    _, gate, job = gated()
    early: list[int] = []
    job.add_listener(row=lambda position, row: early.append(position))
    gate.release(5)
    eventually(lambda: len(early) == 5)
    late: list[tuple[int, np.ndarray, str]] = []
    changes: list[str] = []
    job.add_listener(
        row=lambda position, row: late.append((position, row.copy(), threading.current_thread().name)),
        change=lambda job: changes.append(job.progress.state),
    )
    gate.release(1000)
    made = job.result(30)
    eventually(lambda: len(late) == L and "done" in changes)
    assert early == list(range(1, L + 1))
    assert [position for position, _, _ in late] == list(range(1, L + 1))
    for position, row, thread in late:
        np.testing.assert_array_equal(row, made.sel(pos_in=position).values)
        assert thread == "catjac cpu"
    after: list[int] = []
    ends: list[str] = []
    job.add_listener(
        row=lambda position, row: after.append(position), change=lambda job: ends.append(job.progress.state)
    )
    eventually(lambda: ends == ["done"])
    assert after == list(range(1, L + 1))


def test_rows_from_the_cache_are_told_too() -> None:
    model = PottsModel()
    jacobian(RESIDUES, model, positions=[2, 7], progress=False)
    rows: list[int] = []
    job = submit(RESIDUES, model)
    job.add_listener(row=lambda position, row: rows.append(position))
    job.result(30)
    eventually(lambda: len(rows) == L)
    assert sorted(rows) == list(range(1, L + 1))


def test_masked_positions_are_never_told() -> None:
    rows: list[int] = []
    job = submit(RESIDUES, PottsModel(), mask=Mask.hiding(RESIDUES, [(3, 6)]))
    job.add_listener(row=lambda position, row: rows.append(position))
    job.result(30)
    eventually(lambda: len(rows) == L - 4)
    assert sorted(rows) == [1, 2, *range(7, L + 1)]
    assert job.progress.rows_total == L - 4


def test_a_listener_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    job = submit(RESIDUES, PottsModel())
    heard: list[int] = []
    job.add_listener(row=lambda position, row: 1 // 0, change=lambda job: 1 // 0)
    job.add_listener(row=lambda position, row: heard.append(position))
    job.result(30)
    eventually(lambda: len(heard) == L)
    assert job.progress.state == "done"


def test_norms_are_told_with_rows_and_computed_nowhere_else() -> None:
    _, gate, job = gated()
    told: dict[int, np.ndarray] = {}
    job.add_listener(norms=told.__setitem__)
    gate.release(1000)
    made = job.result(30)
    eventually(lambda: len(told) == L)
    for position, norms in told.items():
        np.testing.assert_array_equal(norms, letter_centred_norms(made[position - 1].values).astype("f4"))
        np.testing.assert_array_equal(job.block_norms(position), norms)


@pytest.mark.parametrize("options", [{}, {"cache": False}, {"positions": [2, 7]}, {"variant": "fast"}])
def test_norms_of_whatever_was_asked_for(options: dict[str, Any]) -> None:
    for _ in range(2):
        job = submit(RESIDUES, PottsModel(), **options)
        made = job.result(30)
        for position in made.pos_in.values:
            expected = letter_centred_norms(made.sel(pos_in=position).values).astype("f4")
            np.testing.assert_array_equal(job.block_norms(int(position)), expected)


def test_norms_of_a_stored_jacobian_need_no_row(cache_folder: Path) -> None:
    expected = jacobian(RESIDUES, PottsModel(), progress=False)
    for row in cache_folder.rglob("jacobian/c.*"):
        row.write_bytes(b"x" * row.stat().st_size)  # whoever reads one finds out
    told: dict[int, np.ndarray] = {}
    job = submit(RESIDUES, PottsModel(), lazy=True)
    job.add_listener(norms=told.__setitem__)
    job.result(30)
    eventually(lambda: len(told) == L)
    for position, norms in told.items():
        row = expected.sel(pos_in=position).values
        np.testing.assert_array_equal(norms, letter_centred_norms(row).astype("f4"))


# ---- cancelling


def test_cancel_keeps_the_rows_and_the_next_call_goes_on(counts: Counts) -> None:
    model, gate, job = gated()
    gate.release(4)
    eventually(lambda: job.progress.rows_done == 4)
    job.cancel()
    gate.release(1)
    with pytest.raises(
        Cancelled, match=r"cancelled after 5 of 14 rows; they are kept, and calling again continues"
    ):
        job.result(30)
    assert job.progress.state == "cancelled"
    assert isinstance(job.error, Cancelled)
    assert np.isfinite(job.partial.values).all(axis=(1, 2, 3)).sum() == 5
    gate.release(1000)
    jacobian(RESIDUES, model, batch_size=19, progress=False)
    assert counts() == (L, 5, 0)


def test_cancel_of_one_that_waits_is_quick() -> None:
    model, gate, first = gated(cache=False)
    model.running.wait(10)
    second = submit("MKTAYIAKQR", PottsModel(), cache=False)
    second.cancel()
    gate.release(1)
    with pytest.raises(Cancelled, match="not kept"):
        second.result(30)
    assert not first.done
    first.cancel()
    gate.release(1000)
    assert first.wait(30)


def test_cancel_after_the_end_changes_nothing() -> None:
    job = submit(RESIDUES, PottsModel())
    made = job.result(30)
    job.cancel()
    assert job.result() is made
    assert job.progress.state == "done"


# ---- priorities


def test_what_is_on_screen_goes_before_the_background() -> None:
    model, gate, background = gated(cache=False)
    model.running.wait(10)
    other = PottsModel()
    screen = submit("MKTAYIAKQR", other, cache=False, priority=Priority.SCREEN)
    gate.release(1)
    screen.result(30)
    assert background.progress.rows_done <= 2
    gate.release(1000)
    background.result(30)


def test_raising_the_priority() -> None:
    model, gate, first = gated(cache=False)
    model.running.wait(10)
    second = submit("MKTAYIAKQR", PottsModel(), cache=False)
    third = submit("MKTAYIAKQR", PottsModel(), cache=False)
    third.raise_priority(Priority.SCREEN)
    assert third.priority is Priority.SCREEN
    third.raise_priority(Priority.BACKGROUND)
    assert third.priority is Priority.SCREEN
    gate.release(1)
    third.result(30)
    assert not second.done
    gate.release(1000)
    second.result(30)
    first.result(30)


def test_a_call_of_a_drag_comes_between_two_batches() -> None:
    model, gate, job = gated(cache=False)
    model.running.wait(10)
    order: list[int] = []
    future = worker_for("cpu").submit_call(lambda: order.append(job.progress.rows_done), Priority.DRAG)
    gate.release(1)
    future.result(10)
    assert order == [1]
    gate.release(1000)
    job.result(30)


def test_an_answer_from_the_cache_does_not_wait_for_a_sweep() -> None:
    model = PottsModel()
    jacobian(RESIDUES, model, progress=False)
    blocker, gate, first = gated(cache=False)
    blocker.running.wait(10)
    jacobian(RESIDUES, model, progress=False)
    submit(RESIDUES, model).result(10)
    assert first.progress.rows_done == 0
    gate.release(1000)
    first.result(30)


def test_a_damaged_row_is_computed_on_the_thread_of_the_device(cache_folder: Path) -> None:
    """The cache has every row, by their size; the model must not run beside what the device is doing."""

    class Watched(PottsModel):
        def on_rows(self, substitutions: list[Any]) -> None:
            threads.append(threading.current_thread().name)
            super().on_rows(substitutions)

    threads: list[str] = []
    jacobian(RESIDUES, Watched(), progress=False)
    row = next(cache_folder.rglob("jacobian/c.4.0.0.0"))
    content = bytearray(row.read_bytes())
    content[777] ^= 4
    row.write_bytes(content)
    threads.clear()
    job = submit(RESIDUES, Watched())
    assert job.answered
    with pytest.warns(CacheWarning, match="corrupt"):
        job.result(30)
    assert set(threads) == {"catjac cpu"}


def test_many_jobs_leave_no_threads_behind() -> None:
    submit(RESIDUES, PottsModel(), cache=False).result(30)
    before = threading.active_count()
    jobs = [submit(RESIDUES, PottsModel(seed=k), cache=False) for k in range(20)]
    for job in jobs:
        job.result(60)
    assert threading.active_count() <= before
    assert worker_for("cpu")._tasks == []


# ---- errors


def test_an_error_of_the_model_ends_the_job_and_keeps_the_rows(counts: Counts) -> None:
    model = FailingModel(8, "W")
    job = submit(RESIDUES, model, batch_size=38)
    with pytest.raises(ModelError, match="Q9 → W"):
        job.result(30)
    assert job.progress.state == "failed"
    assert "Q9 → W" in job.progress.message
    assert job.progress.rows_done == 8
    assert isinstance(job.error, ModelError)
    model.broken = False
    jacobian(RESIDUES, model, batch_size=38, progress=False)
    assert counts() == (L, 8, 0)


def test_bad_requests_fail_before_there_is_a_job() -> None:
    with pytest.raises(UsageError, match="variant"):
        submit(RESIDUES, PottsModel(), variant="quick")
    for size in (0, -1, 2.5, True):
        with pytest.raises(UsageError, match="batch_size"):
            submit(RESIDUES, PottsModel(), batch_size=size)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"rows=.all."):
        submit(RESIDUES, PottsModel(), rows="all", mask=Mask.hiding(RESIDUES, [(1, 2)]))


def test_running_out_of_memory_is_noted(counts: Counts) -> None:
    model = HungryModel(20)
    with pytest.warns(CacheWarning, match="going on with 28 sequences a batch"):
        made = jacobian(RESIDUES, model, batch_size=57, progress=False)
    expected = jacobian(RESIDUES, PottsModel(), batch_size=14, cache=False, progress=False)
    np.testing.assert_allclose(made.values, expected.values, atol=1e-5)


def test_a_result_on_the_worker_s_own_thread_is_refused() -> None:
    caught: list[BaseException] = []

    def wait(job: Job) -> None:
        try:
            if not job.done:
                job.result()
        except BaseException as error:
            caught.append(error)

    job = submit(RESIDUES, PottsModel())
    job.add_listener(change=wait)
    job.result(30)
    assert all(isinstance(error, UsageError) for error in caught)


def test_jacobian_on_the_worker_s_own_thread_works() -> None:
    made = worker_for("cpu").submit_call(lambda: jacobian(RESIDUES, PottsModel(), progress=False)).result(30)
    assert made.shape == (L, 20, L, 20)


def test_no_warning_where_all_is_well() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jacobian(RESIDUES, PottsModel(), progress=False)
        jacobian(RESIDUES, PottsModel(), progress=False)
        jacobian(RESIDUES, PottsModel(), progress=False, lazy=True)
