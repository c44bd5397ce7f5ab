"""The folders of entries, looked at from outside: how large, when used, by whom, and how to remove one."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import time
from pathlib import Path

#: The marks of processes on other machines, which cannot be asked, are believed for this long.
_FOREIGN_USE_SECONDS = 3600.0

_REMOVED = ".removed-"


def entry_folders(root: Path) -> list[Path]:
    """All entries under the cache's folder."""
    try:
        groups = [group for group in root.iterdir() if len(group.name) == 2 and group.is_dir()]
        return [path for group in groups for path in group.iterdir() if (path / "key.json").is_file()]
    except OSError:
        return []


def last_used(folder: Path) -> float:
    """When an entry was used last, in seconds since the epoch."""
    for name in ("used", "key.json"):
        with contextlib.suppress(OSError):
            return (folder / name).stat().st_mtime
    return 0.0


def touch(folder: Path) -> None:
    """Note that an entry was used now."""
    with contextlib.suppress(OSError):
        (folder / "used").touch()


def entry_size(folder: Path) -> int:
    """Bytes that an entry takes on disk."""
    total = 0
    stack = [folder]
    while stack:
        with contextlib.suppress(OSError), os.scandir(stack.pop()) as listing:
            for item in listing:
                if item.is_dir(follow_symlinks=False):
                    stack.append(Path(item.path))
                else:
                    with contextlib.suppress(OSError):
                        total += item.stat(follow_symlinks=False).st_size
    return total


def in_use(folder: Path) -> bool:
    """Whether a living process, this one included, works with an entry; marks of dead ones are taken away."""
    used = False
    with contextlib.suppress(OSError):
        for mark in list((folder / "in_use").iterdir()):
            host, _, pid = mark.name.rpartition("-")
            if host == _host():
                alive = pid.isdigit() and _alive(int(pid))
            else:
                alive = time.time() - mark.stat().st_mtime < _FOREIGN_USE_SECONDS
            if alive:
                used = True
            else:
                mark.unlink(missing_ok=True)
    return used


def mark_in_use(folder: Path) -> None:
    """Say that this process works with an entry, so that no other evicts it."""
    with contextlib.suppress(OSError):
        (folder / "in_use").mkdir(exist_ok=True)
        (folder / "in_use" / process_name()).touch()


def unmark_in_use(folder: Path) -> None:
    """Take the mark of this process away."""
    with contextlib.suppress(OSError):
        (folder / "in_use" / process_name()).unlink(missing_ok=True)


def remove_entry(folder: Path) -> None:
    """Delete an entry; it is renamed first, so that nobody opens half of it.

    Raises
    ------
    OSError
        If it cannot be renamed.
    """
    trash = folder.with_name(f"{_REMOVED}{folder.name}-{os.getpid()}-{time.monotonic_ns()}")
    try:
        folder.rename(trash)
    except FileNotFoundError:
        return  # Another process was quicker.
    shutil.rmtree(trash, ignore_errors=True)


def free_disk(folder: Path) -> int:
    """Bytes free where `folder` lies, or will lie."""
    for existing in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(existing).free
    return 0


def process_name() -> str:
    """Name this process among those of all machines that share a cache."""
    return f"{_host()}-{os.getpid()}"


def _host() -> str:
    return platform.node().replace("/", "_") or "localhost"


def _alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # There, os.kill would end the process; a mark goes when its owner ends in good order.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # It lives but belongs to somebody else.
    return True
