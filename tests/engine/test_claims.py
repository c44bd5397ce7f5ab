"""Processes that ask for one Jacobian share its rows; what a dead one had claimed, another computes."""

from __future__ import annotations

import os
import threading
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import forked
import numpy as np
import pytest
from cache_counts import Counts
from sharing import share
from stored_stubs import RESIDUES, L, compute, entry_of
from stubs import PottsModel, SlowModel

from catjac_widgets.engine.api import submit
from catjac_widgets.engine.cache.folder import claims
from catjac_widgets.engine.cache.folder.claims import Claims
from catjac_widgets.errors import Cancelled

#: How many times as long as `RESIDUES` what processes share is.
COPIES = 2

Process = tuple[BaseProcess, Connection]


def started(*batch_sizes: int) -> list[Process]:
    """Processes that share a Jacobian and begin at once, with batches of those sizes."""
    made = [forked.start(share, "slow", RESIDUES * COPIES, size) for size in batch_sizes]
    for process in made:
        assert forked.answer(*process) == "ready"
    for _, pipe in made:
        pipe.send("go")
    return made


@pytest.mark.parametrize("number", [2, 8])
def test_each_row_is_computed_once_by_all_processes_together(number: int, cache_folder: Path) -> None:
    # Batches of other sizes are of other rows.
    processes = started(*(19 * (1 + k % 3) for k in range(number)))
    answers = [forked.answer(*process) for process in processes]
    for _, _, values in answers[1:]:
        np.testing.assert_array_equal(values, answers[0][2])
    assert sum(computed for computed, _, _ in answers) == COPIES * L
    assert all(computed + read == COPIES * L for computed, read, _ in answers)
    for process, _ in processes:
        process.join(30)
    assert not list(cache_folder.rglob("claims/*.owner"))
    assert not [path for path in cache_folder.rglob("claims/*") if path.name.isdecimal()]


def test_what_a_killed_process_had_claimed_is_computed_by_the_others() -> None:
    (killed, _), *others = started(38, 38, 38)
    time.sleep(0.15)
    killed.kill()
    killed.join(30)
    answers = [forked.answer(*process) for process in others]
    np.testing.assert_array_equal(answers[0][2], answers[1][2])
    assert all(computed + read == COPIES * L for computed, read, _ in answers)


# ---- one by one


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "entry"
    made.mkdir()
    return made


def test_all_or_none(folder: Path) -> None:
    one, other = Claims(folder), Claims(folder)
    assert one.claim([3, 1, 2])
    assert one.claim([2, 4])
    assert not other.claim([0, 2])
    assert other.claim([0])
    assert not one.claim([5, 0])
    assert other.claim([5])
    one.give_back([1, 2])
    assert other.claim([1, 2])
    one.close()
    assert other.claim([3, 4])
    other.close()
    assert [path.name for path in (folder / claims.CLAIMS).iterdir()] in ([], ["take-over"])


def test_a_claim_of_one_that_does_not_answer_runs_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_RENEWAL_SECONDS", 1e9)
    asleep, other = Claims(folder), Claims(folder)
    assert asleep.claim([1])
    assert not other.claim([1])
    (owner,) = (path for path in (folder / claims.CLAIMS).glob("*.owner") if path.stem == asleep._name)
    past = time.time() - claims.EXPIRY_SECONDS - 1
    os.utime(owner, (past, past))
    assert other.claim([1])
    asleep.renew()
    # It is the other's now; the one that woke up finds its row done, or computes it too.
    other.close()
    asleep.close()


def test_a_clock_that_is_off_decides_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Claims(folder), Claims(folder)
    assert one.claim([1])
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 1e6)
    assert not other.claim([1])
    one.close()
    other.close()


@pytest.mark.parametrize("content", ["", "nobody", "../../etc", "\x00", "a" * 10**6])
def test_a_claim_that_names_nobody_is_taken_over(content: str, folder: Path) -> None:
    (folder / claims.CLAIMS).mkdir()
    (folder / claims.CLAIMS / "1").write_text(content)
    mine = Claims(folder)
    assert mine.claim([1])
    mine.close()


def test_where_nothing_can_be_written_everything_is_computed(folder: Path) -> None:
    (folder / claims.CLAIMS).write_text("a file")
    one, other = Claims(folder), Claims(folder)
    assert one.claim([1])
    assert other.claim([1])


def test_a_job_that_waits_for_another_process_can_be_cancelled_and_goes_on(counts: Counts) -> None:
    model = PottsModel()
    compute(model, positions=[1])
    foreign = Claims(entry_of(RESIDUES, model).folder)
    assert foreign.claim([4, 5])
    job = submit(RESIDUES, model, batch_size=19)
    deadline = time.monotonic() + 30
    while "another process" not in job.progress.message:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert job.progress.rows_done == L - 2
    # The device is free meanwhile.
    compute(PottsModel(seed=1))
    job.cancel()
    with pytest.raises(Cancelled):
        job.result(30)
    again = submit(RESIDUES, model, batch_size=19)
    threading.Timer(0.3, foreign.close).start()
    whole = again.result(30)
    np.testing.assert_array_equal(whole.values, compute(model, cache=False, batch_size=19).values)


def test_a_job_that_is_cancelled_gives_its_claims_back(cache_folder: Path) -> None:
    gate = threading.Semaphore(0)
    job = submit(RESIDUES, SlowModel(gate=gate), batch_size=19)
    gate.release(3)
    deadline = time.monotonic() + 30
    while job.progress.rows_done < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    job.cancel()
    gate.release(1000)
    assert job.wait(30)
    assert not list(cache_folder.rglob("claims/*.owner"))
