"""Two libraries of a function each, and processes that compile and load them as the package does kernels."""

from __future__ import annotations

import os
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import forked

from catjac_widgets.language_models.esm.cpu_kernels import build

Running = tuple[BaseProcess, Connection]

#: What the function of each library, which is called as the library, returns.
NUMBERS = {"direct_effects": 17, "exact_pass": 5}


def write_sources(folder: Path) -> Path:
    """Write the C of the libraries into a folder, which is made."""
    folder.mkdir()
    for name, number in NUMBERS.items():
        (folder / f"{name}.c").write_text(f"int {name}(void) {{ return {number}; }}\n", encoding="ascii")
    return folder


def started(home: Path, sources: Path, name: str = "direct_effects", *, remove: bool = False) -> Running:
    """Load a library in a process whose user's cache folder is `home`, where it is compiled if need be."""
    return forked.start(_load, home, sources, name, remove)


def finish(running: Running, name: str = "direct_effects") -> Path:
    """See that a process got the right library, and return the folder in which it kept it."""
    number, folder = forked.answer(*running, seconds=240)
    assert number == NUMBERS[name]
    process, _ = running
    process.join(60)
    assert process.exitcode == 0
    return Path(folder)


def _load(told: Connection, home: Path, sources: Path, name: str, remove: bool) -> None:
    os.environ |= {"XDG_CACHE_HOME": str(home), "HOME": str(home)}
    build._SOURCES = sources
    function = build.library(name, ())[name]
    folder = build.folder()
    if remove:
        (made,) = folder.glob(f"{name}-*.so")
        made.unlink()
        function = build.library(name, ())[name]
    told.send((function(), str(folder)))
