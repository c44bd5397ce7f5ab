"""Compile this package's C once a machine and load it; whoever asks must do without where that is impossible.

What was compiled is kept in the user's cache folder, under a name made of the source and of the compiler's
version. ``CATJAC_COMPILER`` names another compiler; an empty value asks for none.

A library runs whatever it holds, and one that is cut short kills the process that loads it. So each carries
the SHA-256 of its name and content at its end, which is checked before every loading; and it is loaded only
where nobody else (but root) may write to it or to its folder. One that fails is compiled anew.

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
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

_SOURCES = Path(__file__).parent
_OPTIONS = ("-std=c11", "-O3", "-fPIC", "-shared", "-fno-math-errno")

#: How long a compiler may take for one library, and to tell its version.
COMPILING_SECONDS, VERSION_SECONDS = 120.0, 15.0

#: Stands before the digest at the end of a library; the loader of the system reads no further than it needs.
_SEAL = b"catjac sealed\0\0\0"

#: Libraries that were not loaded for so long are removed when another is compiled.
UNUSED_DAYS = 30

#: Of the digest in a library's name.
_DIGITS = 16

#: Of the seal and the digest after it.
_SEALED_BYTES = len(_SEAL) + hashlib.sha256().digest_size

#: How the folders begin in which libraries are compiled.
_WORK = "compiling-"

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
        if _is_sound(made):
            with contextlib.suppress(FileNotFoundError):  # removed just now, by another process
                return _load(made)
        made.parent.mkdir(parents=True, exist_ok=True)
        # Other processes may be at it too: whole files only ever appear under the final name.
        with tempfile.TemporaryDirectory(prefix=_WORK, dir=made.parent) as work:
            fresh = Path(work) / made.name
            _run([program, *options, "-o", str(fresh), str(source), "-lm"], COMPILING_SECONDS)
            _seal(fresh)
            if made.is_dir() and not made.is_symlink():
                made.rename(Path(work) / "in the way")
            fresh.replace(made)
        _remove_unused(made.parent)
        if not _is_sound(made):
            return NotCompiled(f"{made.name} was changed while it was compiled")
        return _load(made)
    except NotCompiled as error:
        return error
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        return NotCompiled(f"{program} did not compile {source.name}: {said.strip()[:500]}")


def _seal(made: Path) -> None:
    """Write the digest of a library that was just compiled to its end; others may not write to it."""
    content = made.read_bytes()
    with made.open("ab") as file:
        file.write(_SEAL + _digest(made.name, content))
    made.chmod(0o700)


def _digest(name: str, content: bytes) -> bytes:
    """Digest a library together with its name, so that another one's is not taken for it."""
    return hashlib.sha256(name.encode() + b"\0" + content).digest()


def _is_sound(made: Path) -> bool:
    """Whether a library is there, is only ours to write, and is what was compiled under that name."""
    try:
        if not (_is_safe(made.parent.stat()) and _is_safe(found := made.lstat())):
            return False
        if not stat.S_ISREG(found.st_mode):
            return False
        content = made.read_bytes()
    except OSError:
        return False
    body, seal = content[:-_SEALED_BYTES], content[-_SEALED_BYTES:]
    return seal == _SEAL + _digest(made.name, body)


def _is_safe(found: os.stat_result) -> bool:
    """Whether a file or folder belongs to us or to root, and nobody else may write to it."""
    if not hasattr(os, "geteuid"):
        return True
    return found.st_uid in (0, os.geteuid()) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


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
    # What processes left that were killed while they compiled.
    for work in where.glob(f"{_WORK}*"):
        with contextlib.suppress(OSError):
            if work.is_dir() and not work.is_symlink() and work.stat().st_mtime < oldest:
                shutil.rmtree(work)


def at_hand(name: str, processor: tuple[str, ...]) -> bool:
    """Whether `library` need not compile; otherwise that is done in the background, for the next time."""
    try:
        if _is_sound(_place(name, processor, compiler())):
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
    version = _version(program)
    if isinstance(version, NotCompiled):
        raise version
    stamp = hashlib.sha256("\n".join([version, *_options(processor)]).encode())
    for part in sorted(_SOURCES.glob("*.[ch]")):
        stamp.update(part.read_bytes())
    return folder() / f"{name}-{stamp.hexdigest()[:_DIGITS]}.so"


@functools.cache
def _version(program: str) -> str | NotCompiled:
    """Ask a compiler for its version, once: one that hangs would do so every time."""
    try:
        return _run([program, "--version"], VERSION_SECONDS)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return NotCompiled(f"the compiler {program} does not tell its version: {error}")


def _options(processor: tuple[str, ...]) -> list[str]:
    return [*_OPTIONS, *(f"-m{feature}" for feature in processor)]


@functools.cache
def folder() -> Path:
    """Where compiled libraries are kept: in the user's cache folder, else for this process only."""
    import platformdirs

    wanted = Path(platformdirs.user_cache_dir("catjac", False)) / "compiled"
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        found = wanted.stat()
        # Of a folder made under a generous umask only the files have to be ours, which `_is_sound` sees to.
        if hasattr(os, "geteuid") and found.st_uid == os.geteuid() and not _is_safe(found):
            wanted.chmod(0o700)
        if os.access(wanted, os.W_OK) and _is_safe(wanted.stat()):
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


def _run(command: list[str], seconds: float) -> str:
    """Run a compiler, and end it with all that it started when it takes too long."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as running:
        try:
            said, complaint = running.communicate(timeout=seconds)
        except BaseException:
            # The compiler proper is a child of its driver, and would hold the pipes open.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            raise
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, command, said, complaint)
    return said
