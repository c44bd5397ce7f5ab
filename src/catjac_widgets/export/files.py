"""Output files: checked before any work, and in place only when they are whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from catjac_widgets.errors import UsageError
from catjac_widgets.input_files import reason, shown

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

#: Bytes of a file's name at most, on all usual file systems.
LONGEST_NAME = 255

#: A working folder's name, the lock of the process that works in it, and what its output replaces.
_PREFIX, _SUFFIX, _LOCK, _BEFORE = ".catjac-", ".partial", "lock", "before"

#: A working folder younger than this may be about to be locked.
_ABANDONED_SECONDS = 600

#: By one of these a folder is known for a zarr store.
_STORE_FILES = ("zarr.json", ".zgroup", ".zarray")


def check_output(output: Path, force: bool, *, is_store: bool = False) -> None:
    """Refuse, before any work, an output that exists or cannot be written.

    Parameters
    ----------
    output
        Where it is to be.
    force
        Whether what lies there is replaced: a file, or a link, by a file, a zarr store by a zarr store. A
        folder that is no such store, or behind a link, never is.
    is_store
        Whether the output is a zarr store, which is a folder.

    Raises
    ------
    UsageError
        Saying which.
    """
    check_folder(output)
    if not os.path.lexists(output):
        return
    _check_replaceable(output, is_store)
    if not force:
        raise UsageError(
            f"{shown(output)} exists already; name another file, or overwrite it with force (--force)."
        )


def _check_replaceable(output: Path, is_store: bool) -> None:
    """Refuse to put an output in place of a folder that is not a store of the same kind, or of a device."""
    if not os.path.lexists(output):
        return
    if output.is_dir():
        if not is_store or output.is_symlink() or not any((output / name).is_file() for name in _STORE_FILES):
            what = "a link to a folder" if output.is_symlink() else "a folder"
            raise UsageError(f"{shown(output)} is {what}, which is never overwritten; name another file.")
    elif is_store or not (output.is_file() or output.is_symlink()):
        raise UsageError(f"{shown(output)} is a file or a device; name another.")


def check_folder(output: Path) -> None:
    """Refuse an output whose folder does not exist or cannot be written to.

    Raises
    ------
    UsageError
        Saying which.
    """
    folder = output.parent
    if "\0" in str(output) or len(os.fsencode(output.name)) > LONGEST_NAME:
        raise UsageError(
            f"{shown(output.name)} cannot be a file's name, which has at most {LONGEST_NAME} bytes; "
            "name another."
        )
    if not os.path.isdir(folder):
        raise UsageError(
            f"There is no folder {shown(folder)} to write {shown(output.name)} into; make it first."
        )
    if not os.access(folder, os.W_OK):
        raise UsageError(
            f"The folder {shown(folder)} cannot be written to; choose another for {shown(output.name)}."
        )


@contextmanager
def replacing(output: Path) -> Iterator[Path]:
    """Give a path that takes the place of `output` when all went well, and is removed otherwise.

    It lies in a folder of its own beside `output`, that nobody else can guess or has made before. Of what
    lies at `output` only a file, a link, or a zarr store in whose place a zarr store comes is replaced.

    Raises
    ------
    UsageError
        If it cannot be written, or a folder lies in its place.
    """
    try:
        _remove_abandoned(output.parent)
        work = Path(tempfile.mkdtemp(prefix=_PREFIX, suffix=_SUFFIX, dir=output.parent))
        lock = _locked(work / _LOCK)
    except OSError as error:
        raise UsageError(f"{shown(output)} could not be written ({reason(error)}).") from error
    partial = work / output.name
    try:
        yield partial
        _check_replaceable(output, partial.is_dir())
        if partial.is_dir() and output.is_dir():
            # A folder cannot take the place of another in one step.
            output.rename(work / _BEFORE)
        partial.replace(output)
    except OSError as error:
        raise UsageError(f"{shown(output)} could not be written ({reason(error)}).") from error
    finally:
        if not os.path.lexists(output) and (work / _BEFORE).exists():
            (work / _BEFORE).rename(output)
        shutil.rmtree(work, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _locked(path: Path) -> int | None:
    """Lock a file as long as this process lives, or until it is closed; None where that cannot be."""
    if fcntl is None:
        return None
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _remove_abandoned(folder: Path) -> None:
    """Remove the working folders of processes that were killed: those that nobody holds locked any more."""
    for work in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        # One with something that was to be replaced in it is kept: it may be the only copy.
        if work.is_symlink() or not (work / _LOCK).is_file() or (work / _BEFORE).exists():
            continue
        with contextlib.suppress(OSError):
            if time.time() - work.stat().st_mtime < _ABANDONED_SECONDS:
                continue
            lock = _locked(work / _LOCK)
            if lock is not None:
                shutil.rmtree(work, ignore_errors=True)
                os.close(lock)
