"""Compile this package's C once a machine and load it; whoever asks must do without where that is impossible.

What was compiled is kept in the user's cache folder, under a name made of the source and of the compiler's
version. ``CATJAC_COMPILER`` names another compiler; an empty value asks for none.

Loading a library marks it as used, in its access time. Whoever compiles a new one removes those, of other
versions, that nobody has used for `UNUSED_DAYS`. That disturbs no process, of whichever version: one that has
such a library loaded keeps it, since a file that is open outlives its name; one that is about to load it
compiles it again when it finds it gone.
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

_SOURCES = Path(__file__).parent
_OPTIONS = ("-std=c11", "-O3", "-fPIC", "-shared", "-fno-math-errno")
_PATIENCE_SECONDS = 120

#: Libraries that were not loaded for so long are removed when another is compiled.
UNUSED_DAYS = 30

#: Of the digest in a library's name.
_DIGITS = 16

_GUARDS: collections.defaultdict[str, threading.Lock] = collections.defaultdict(threading.Lock)


class NotCompiled(Exception):
    """The library cannot be had here; the text says why."""


def library(name: str, processor: tuple[str, ...]) -> ctypes.CDLL:
    """Load `name`.c of this folder, compiled for a processor with those features (gcc's names).

    Raises
    ------
    NotCompiled
        If there is no compiler, or it fails; the same one is not asked again in this process.
    """
    with _GUARDS[name]:
        found = _library(name, processor, compiler())
    if isinstance(found, NotCompiled):
        raise found
    return found


@functools.cache
def _library(name: str, processor: tuple[str, ...], program: str) -> ctypes.CDLL | NotCompiled:
    source, options = _SOURCES / f"{name}.c", _options(processor)
    try:
        made = _place(name, processor, program)
        try:
            return _load(made)
        except FileNotFoundError:
            made.parent.mkdir(parents=True, exist_ok=True)
            # Other processes may be at it too: whole files only ever appear under the final name.
            with tempfile.TemporaryDirectory(dir=made.parent) as work:
                fresh = Path(work) / made.name
                _run([program, *options, "-o", str(fresh), str(source), "-lm"])
                fresh.replace(made)
            _remove_unused(made.parent)
            return _load(made)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        return NotCompiled(f"{program} did not compile {source.name}: {said.strip()[:500]}")


def _load(made: Path) -> ctypes.CDLL:
    """Load a compiled library and mark it as used.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    OSError
        If it cannot be loaded.
    """
    status = made.stat()
    # Where the folder belongs to somebody else, they mark it.
    with contextlib.suppress(PermissionError):
        os.utime(made, ns=(time.time_ns(), status.st_mtime_ns))
    try:
        return ctypes.CDLL(str(made))
    except OSError as error:
        if made.exists():
            raise
        raise FileNotFoundError(str(made)) from error


def _remove_unused(where: Path) -> None:
    """Remove the libraries of a folder that nobody has loaded for a while."""
    oldest = time.time() - UNUSED_DAYS * 86400
    for library_file in where.glob(f"*-{'[0-9a-f]' * _DIGITS}.so"):
        with contextlib.suppress(OSError):
            status = library_file.stat()
            if max(status.st_atime, status.st_mtime) < oldest:
                library_file.unlink()


def at_hand(name: str, processor: tuple[str, ...]) -> bool:
    """Whether `library` need not compile; otherwise that is done in the background, for the next time."""
    try:
        if _place(name, processor, compiler()).exists():
            return True
        _start_compiling(name, processor)
    except (NotCompiled, OSError, subprocess.SubprocessError):
        pass
    return False


@functools.cache
def _start_compiling(name: str, processor: tuple[str, ...]) -> None:
    def compile_it() -> None:
        with contextlib.suppress(NotCompiled):
            library(name, processor)

    threading.Thread(target=compile_it, name="catjac-compiler", daemon=True).start()


@functools.cache
def _place(name: str, processor: tuple[str, ...], program: str) -> Path:
    """Where the compiled library lies, or will."""
    stamp = hashlib.sha256("\n".join([_run([program, "--version"]), *_options(processor)]).encode())
    for part in sorted(_SOURCES.glob("*.[ch]")):
        stamp.update(part.read_bytes())
    return folder() / f"{name}-{stamp.hexdigest()[:_DIGITS]}.so"


def _options(processor: tuple[str, ...]) -> list[str]:
    return [*_OPTIONS, *(f"-m{feature}" for feature in processor)]


@functools.cache
def folder() -> Path:
    """Where compiled libraries are kept: in the user's cache folder, else for this process only."""
    import platformdirs

    wanted = Path(platformdirs.user_cache_dir("catjac", False)) / "compiled"
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        if os.access(wanted, os.W_OK):
            return wanted
    except OSError:
        pass
    made = tempfile.mkdtemp(prefix="catjac-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def compiler() -> str:
    """Name the C compiler that would be used.

    Raises
    ------
    NotCompiled
        If there is none.
    """
    wanted = os.environ.get("CATJAC_COMPILER")
    if wanted is None:
        if sys.platform == "win32":
            raise NotCompiled("kernels in C are not compiled on Windows")
        wanted = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), "")
    if not wanted:
        raise NotCompiled("there is no C compiler")
    return wanted


def _run(command: list[str]) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PATIENCE_SECONDS)
    return done.stdout
