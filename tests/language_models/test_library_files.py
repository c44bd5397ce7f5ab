"""What lies in the folder of compiled libraries is checked before it is loaded, else compiled anew."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small_libraries import finish, started, write_sources

from catjac_widgets.language_models.esm.cpu_kernels import build

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or sys.platform == "win32" or shutil.which("cc") is None,
    reason="kernels are compiled for x86-64, where there is a C compiler",
)


def load_in(home: Path, sources: Path, name: str = "direct_effects") -> Path:
    """Load a library in a process of its own, and tell where it lies."""
    finish(started(home, sources, name), name)
    (found,) = home.rglob(f"{name}-*.so")
    return found


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sources(tmp_path_factory.mktemp("small") / "sources")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory, sources: Path) -> Path:
    """A folder with two libraries, compiled once."""
    home = tmp_path_factory.mktemp("compiled")
    load_in(home, sources)
    load_in(home, sources, "exact_pass")
    return home


@pytest.fixture
def home(compiled: Path, tmp_path: Path) -> Path:
    shutil.copytree(compiled, tmp_path / "home", copy_function=shutil.copy2)
    return tmp_path / "home"


def cut(made: Path) -> None:
    os.truncate(made, made.stat().st_size // 2)


def emptied(made: Path) -> None:
    os.truncate(made, 0)


def flipped(made: Path) -> None:
    content = bytearray(made.read_bytes())
    content[len(content) // 3] ^= 4
    made.write_bytes(content)


def swapped(made: Path) -> None:
    """Take another library, sound under its own name."""
    (other,) = made.parent.glob("exact_pass-*.so")
    shutil.copyfile(other, made)


def foreign(made: Path) -> None:
    """A library that nobody here compiled, which says so when it is loaded."""
    source = made.parent / "foreign.c"
    source.write_text(
        "#include <stdlib.h>\n__attribute__((constructor)) static void go(void) { _Exit(99); }\n"
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(made), str(source)], check=True)
    made.chmod(0o700)


def linked(made: Path) -> None:
    """A link to a file that others might write."""
    made.rename(made.with_suffix(".elsewhere"))
    made.symlink_to(made.with_suffix(".elsewhere"))


def folder_instead(made: Path) -> None:
    made.unlink()
    made.mkdir()


@pytest.mark.parametrize("damage", [cut, emptied, flipped, swapped, foreign, linked, folder_instead])
def test_what_was_not_compiled_under_that_name_is_compiled_anew(
    home: Path, sources: Path, damage: Callable[[Path], None]
) -> None:
    (made,) = home.rglob("direct_effects-*.so")
    sound = made.read_bytes()
    damage(made)
    assert load_in(home, sources) == made
    assert made.read_bytes() == sound
    assert stat.S_ISREG(made.lstat().st_mode)


def test_a_sound_library_is_loaded_as_it_lies(home: Path, sources: Path) -> None:
    (made,) = home.rglob("direct_effects-*.so")
    before = made.stat().st_ino
    load_in(home, sources)
    assert made.stat().st_ino == before


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_library_that_others_may_write_is_compiled_anew(home: Path, sources: Path, mode: int) -> None:
    (made,) = home.rglob("direct_effects-*.so")
    before = made.stat().st_ino
    made.chmod(mode)
    load_in(home, sources)
    assert made.stat().st_ino != before
    assert not made.stat().st_mode & 0o022


def test_a_folder_of_ours_that_others_may_write_is_closed(home: Path, sources: Path) -> None:
    (made,) = home.rglob("direct_effects-*.so")
    made.parent.chmod(0o777)
    load_in(home, sources)
    assert not made.parent.stat().st_mode & 0o022


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="AVX-512 or not, needs root")
@pytest.mark.parametrize("whose", ["file", "folder"])
def test_what_belongs_to_somebody_else_is_not_loaded(home: Path, sources: Path, whose: str) -> None:
    (made,) = home.rglob("direct_effects-*.so")
    os.chown(made if whose == "file" else made.parent, 12345, 12345)
    used = finish(started(home, sources))
    if whose == "file":
        assert used == made.parent
        assert made.stat().st_uid == os.geteuid()
    else:  # compiled elsewhere, for that process only
        assert home not in used.parents
        assert not used.exists()


def test_processes_that_compile_at_once_all_get_it(tmp_path: Path, sources: Path) -> None:
    for running in [started(tmp_path, sources) for _ in range(4)]:
        finish(running)
    (made,) = tmp_path.rglob("direct_effects-*.so")
    assert [path.name for path in made.parent.iterdir()] == [made.name]


def test_what_a_killed_compiler_left_goes_when_another_is_compiled(home: Path, sources: Path) -> None:
    (made,) = home.rglob("direct_effects-*.so")
    left, recent = made.parent / "compiling-left", made.parent / "compiling-recent"
    for folder in (left, recent):
        folder.mkdir()
        (folder / "half.so").write_bytes(b"half")
    long_ago = time.time() - 86400 * (build.UNUSED_DAYS + 1)
    os.utime(left, (long_ago, long_ago))
    cut(made)
    load_in(home, sources)
    assert not left.exists()
    assert recent.exists()


SLEEPS = """#!/bin/sh
case "$1" in
  --version) echo one 1.0;;
  *) sleep 600 & wait;;
esac
"""


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (SLEEPS, "timed out"),
        ("#!/bin/sh\nsleep 600 & wait\n", "does not tell its version"),
        ("#!/bin/sh\necho 1.0\n", "did not compile"),
        ("#!/bin/sh\n[ $1 = --version ] || { printf 'b\\303d' >&2; exit 3; }\n", "did not compile"),
        ("#!/bin/sh\nhead -c 2000000 /dev/urandom; exit 1\n", "does not tell its version"),
        (None, "does not tell its version"),
    ],
)
def test_a_compiler_that_hangs_or_fails_is_one_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, said: str
) -> None:
    program = tmp_path / "compiler"
    if script is not None:
        program.write_text(script)
        program.chmod(0o755)
    monkeypatch.setenv("CATJAC_COMPILER", str(program))
    monkeypatch.setattr(build, "COMPILING_SECONDS", 1.0)
    monkeypatch.setattr(build, "VERSION_SECONDS", 1.0)
    for _ in range(2):  # the same compiler is not asked again
        with pytest.raises(build.NotCompiled, match=said):
            build.library("direct_effects", ())
        assert not build.at_hand("direct_effects", ())
        program.unlink(missing_ok=True)
