"""Processes that ask for one Jacobian share its rows; what a dead one had claimed, another computes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from cache_counts import Counts
from stored_stubs import RESIDUES, L, compute, entry_of
from stubs import PottsModel, SlowModel

from catjac_widgets.engine.api import submit
from catjac_widgets.engine.cache.folder import claims
from catjac_widgets.engine.cache.folder.claims import Claims
from catjac_widgets.errors import Cancelled

WORKER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from stubs import PottsModel
from catjac_widgets.engine.api import jacobian
from catjac_widgets.engine.cache.store import cache

class Slow(PottsModel):
    def on_rows(self, substitutions):
        super().on_rows(substitutions)
        time.sleep(0.03)

print("ready", flush=True)
input()
J = jacobian(sys.argv[2], Slow(), progress=False, batch_size=int(sys.argv[3]))
info = cache.info()
print(info.rows_computed, info.rows_read, float(abs(J.values).sum()), flush=True)
"""


def start(batch_size: int = 38) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(Path(__file__).parents[1]), RESIDUES * 2, str(batch_size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def begin(processes: list[subprocess.Popen[str]]) -> None:
    """Let all of them begin at once."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


@pytest.mark.parametrize("number", [2, 8])
def test_each_row_is_computed_once_by_all_processes_together(number: int, cache_folder: Path) -> None:
    # Batches of other sizes are of other rows.
    processes = [start(batch_size=19 * (1 + k % 3)) for k in range(number)]
    begin(processes)
    answers = [process.communicate(timeout=120)[0].split() for process in processes]
    assert len({answer[2] for answer in answers}) == 1
    assert sum(int(answer[0]) for answer in answers) == 2 * L
    assert all(int(computed) + int(read) == 2 * L for computed, read, _ in answers)
    assert not list(cache_folder.rglob("claims/*.owner"))
    assert not [path for path in cache_folder.rglob("claims/*") if path.name.isdecimal()]


def test_what_a_killed_process_had_claimed_is_computed_by_the_others() -> None:
    processes = [start() for _ in range(3)]
    begin(processes)
    time.sleep(0.15)
    processes[0].kill()
    processes[0].communicate(timeout=30)
    answers = [process.communicate(timeout=120)[0].split() for process in processes[1:]]
    assert len({answer[2] for answer in answers}) == 1
    assert all(int(computed) + int(read) == 2 * L for computed, read, _ in answers)


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
