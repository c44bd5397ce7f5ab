"""Libraries compiled from C: structures that both sides agree on, and versions that nobody uses any more."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_libraries import finish, started, write_sources

from catjac_widgets.language_models.esm.cpu_kernels import structs
from catjac_widgets.language_models.esm.cpu_kernels.build import UNUSED_DAYS, NotCompiled
from catjac_widgets.language_models.esm.cpu_kernels.exact import FEATURES, compiled_function

# They can be compiled and loaded, if not run, on processors without AVX-512 too.
pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or sys.platform == "win32" or shutil.which("cc") is None,
    reason="kernels are compiled for x86-64, where there is a C compiler",
)

LIBRARIES = {
    "exact_pass": (FEATURES, structs.PASSES),
    "delta_pass": ((*FEATURES, "avx512vnni"), structs.PASSES),
    "direct_effects": (FEATURES, structs.DIRECT_EFFECTS),
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_structures_are_laid_out_as_in_c(name: str) -> None:
    features, mirrors = LIBRARIES[name]
    assert callable(compiled_function(name, features, mirrors))


def with_fields(mirror: type[ctypes.Structure], fields: list[Any]) -> type[ctypes.Structure]:
    return type(mirror.__name__, (ctypes.Structure,), {"_fields_": fields})


def larger(mirror: type[ctypes.Structure]) -> type[ctypes.Structure]:
    return with_fields(mirror, [*mirror._fields_, ("more", ctypes.c_int64)])


def shifted(mirror: type[ctypes.Structure]) -> type[ctypes.Structure]:
    """Of the same size, but for a nested structure, with the last member somewhere else."""
    *first, last = mirror._fields_
    return with_fields(mirror, [*first, ("more", ctypes.c_int32), (last[0], ctypes.c_int32)])


@pytest.mark.parametrize("wrong", [larger, shifted])
@pytest.mark.parametrize("place", range(len(structs.PASSES)))
def test_a_wrong_mirror_is_refused(wrong: Callable[[Any], Any], place: int) -> None:
    mirrors = list(structs.PASSES)
    mirrors[place] = wrong(mirrors[place])
    name = mirrors[place].__name__
    with pytest.raises(NotCompiled, match=f"exact_pass.c and Python lay out {name} differently"):
        compiled_function("exact_pass", FEATURES, mirrors)


# ---- what is kept


def compile_in(home: Path, *, remove: bool = False) -> None:
    """Ask for a library in a process whose user's cache folder is `home`; remove it when it is loaded."""
    sources = home / "sources"
    finish(started(home, sources if sources.exists() else write_sources(sources), remove=remove))


def libraries_in(home: Path) -> list[Path]:
    return sorted(home.rglob("direct_effects-*.so"))


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    """A library, in a cache folder of its own under `tmp_path`."""
    compile_in(tmp_path)
    (found,) = libraries_in(tmp_path)
    return found


def unused_since(path: Path, days: float) -> Path:
    then = time.time() - days * 86400
    os.utime(path, (then, then))
    return path


def test_libraries_that_nobody_uses_go_when_another_is_compiled(compiled: Path, tmp_path: Path) -> None:
    folder = compiled.parent
    names = (
        "direct_effects-0123456789abcdef.so",
        "gone_kernel-00000000000000ff.so",
        "recent-00000000000000aa.so",
    )
    old, of_another_name, recent = (folder / name for name in names)
    foreign = folder / "somebody-elses-notes.so"
    for path in (old, of_another_name, recent, foreign):
        path.write_bytes(b"")
        unused_since(path, UNUSED_DAYS + 1)
    unused_since(recent, UNUSED_DAYS - 1)
    compile_in(tmp_path)
    assert old.exists()  # Nothing was compiled.
    compiled.unlink()
    compile_in(tmp_path)
    assert compiled.exists()
    assert not old.exists()
    assert not of_another_name.exists()
    assert recent.exists()
    assert foreign.exists()


def test_loading_marks_a_library_as_used_and_leaves_the_time_it_was_made(
    compiled: Path, tmp_path: Path
) -> None:
    made = compiled.stat().st_mtime_ns
    os.utime(compiled, ns=(0, made))
    compile_in(tmp_path)
    assert compiled.stat().st_atime > time.time() - 600
    assert compiled.stat().st_mtime_ns == made


def test_a_library_that_is_removed_while_in_use_goes_on_working(tmp_path: Path) -> None:
    compile_in(tmp_path, remove=True)
    assert libraries_in(tmp_path) == []
