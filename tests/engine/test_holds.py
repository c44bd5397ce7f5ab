"""Holding an entry: what another process works with is not evicted, and what a dead one held is."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stored_stubs import RESIDUES, compute, entry_of
from stubs import PottsModel

from catjac_widgets.engine.cache.folder import holds
from catjac_widgets.engine.cache.folder.holds import Hold, alone, is_held
from catjac_widgets.engine.cache.store import cache

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has leases only")

HOLDER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from stubs import PottsModel
from catjac_widgets.engine.api import jacobian
J = jacobian(sys.argv[2], PottsModel(), progress=False, lazy=True)
print("held", flush=True)
input()
assert float(abs(J.values).sum()) > 0
print("read", flush=True)
"""


def holder(*before: str) -> subprocess.Popen[str]:
    """Start another process that has a lazy Jacobian open until it is told to read it and end."""
    process = subprocess.Popen(
        [*before, sys.executable, "-c", HOLDER, str(Path(__file__).parents[1]), RESIDUES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child")


def can_unshare() -> bool:
    return (
        shutil.which("unshare") is not None
        and not subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode
    )


@pytest.mark.parametrize("where", ["this container", "another container"])
def test_what_another_process_has_open_is_not_evicted(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if where == "another container" and not can_unshare():
        monkeypatch.setattr(os, "getpid", lambda: 1)  # numbers mean nothing there; locks do
        process = holder()
    else:
        process = holder(*(NAMESPACE if where == "another container" else ()))
    folder = entry_of(RESIDUES, PottsModel()).folder
    monkeypatch.setenv("CATJAC_CACHE_LIMIT", str(int(1.2 * cache.info().size)))
    with pytest.warns(UserWarning, match="in use"):
        compute(PottsModel(seed=1))
    assert cache.clear() == 0
    assert folder.exists()
    answer, _ = process.communicate("\n", timeout=60)
    assert answer == "read\n"
    compute(PottsModel(seed=2))
    assert not folder.exists()


def test_a_process_that_is_killed_holds_nothing() -> None:
    process = holder()
    folder = entry_of(RESIDUES, PottsModel()).folder
    assert is_held(folder)
    process.kill()
    process.wait(timeout=30)
    assert not is_held(folder)
    assert cache.clear() == 1


def test_a_hold_on_what_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Hold(tmp_path / "gone")
    assert not is_held(tmp_path / "gone")


def test_nobody_begins_to_hold_what_is_being_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "_PATIENCE_SECONDS", 0.05)
    folder = tmp_path / "entry"
    folder.mkdir()
    Hold(folder).release()
    with alone(folder) as free:
        assert free
        with pytest.raises(FileNotFoundError, match="being removed"):
            Hold(folder)
    hold = Hold(folder)
    with alone(folder) as free:
        assert not free
    hold.release()


def test_where_there_are_no_locks_a_lease_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(holds.fcntl, "flock", refuse)
    folder = tmp_path / "entry"
    folder.mkdir()
    hold = Hold(folder)
    assert is_held(folder)
    hold.release()
    assert not is_held(folder)
    # One whose process died runs out.
    Hold(folder)
    (lease,) = (folder / holds.LEASES).iterdir()
    past = time.time() - holds.LEASE_SECONDS - 1
    os.utime(lease, (past, past))
    assert not is_held(folder)
    assert not list((folder / holds.LEASES).iterdir())
