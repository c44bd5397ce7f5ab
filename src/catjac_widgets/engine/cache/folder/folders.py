"""The folders of entries, looked at from outside: how large, when used, how to remove one or what is left."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from catjac_widgets.engine.cache.chunked.chunks import CHECKSUM_BYTES
from catjac_widgets.engine.cache.chunked.digests import DIGESTS
from catjac_widgets.engine.cache.chunked.layout import GROUP
from catjac_widgets.engine.cache.chunked.upkeep import arrays_of
from catjac_widgets.engine.cache.entries import EntrySummary
from catjac_widgets.engine.cache.folder.files import PARTIAL, FolderFiles
from catjac_widgets.engine.cache.folder.holds import is_held

#: Begins the "key" of what lies beside entries, see `files_beside`.
BESIDE = "beside:"

_REMOVED = ".removed-"

_FITS = "fits"

#: What has no key, or is half written, is left alone for so long: somebody may be at it.
_UNFINISHED_SECONDS = 3600.0


def entry_folders(root: Path) -> list[Path]:
    """All entries under the cache's folder."""
    return [path for path in _in_groups(root) if _has_key(path)]


def _has_key(path: Path) -> bool:
    # Unlike pathlib, this raises nothing where one may not look.
    return os.path.isfile(path / "key.json")


def _in_groups(root: Path) -> Iterator[Path]:
    """Everything in the folders named by two digits."""
    with contextlib.suppress(OSError):
        for group in sorted(root.iterdir()):
            if len(group.name) == 2 and group.is_dir():
                with contextlib.suppress(OSError):
                    yield from list(group.iterdir())


def last_used(folder: Path) -> float:
    """When an entry was used last, in seconds since the epoch."""
    for name in ("used", "key.json"):
        with contextlib.suppress(OSError):
            return (folder / name).stat().st_mtime
    return 0.0


def last_change(folder: Path) -> float:
    """When something was written to an entry last, in seconds since the epoch."""
    times = [0.0]
    for path in (folder, folder / DIGESTS, *(folder / GROUP).glob("*")):
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times)


def touch(folder: Path) -> None:
    """Note that an entry was used now."""
    with contextlib.suppress(OSError):
        (folder / "used").touch()


def entry_size(folder: Path) -> int:
    """Bytes that an entry, or any folder, takes on disk."""
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


def full_size(folder: Path) -> int:
    """Bytes that the arrays of an entry take at most when all is written, by their metadata."""
    arrays = arrays_of(FolderFiles(folder))
    return sum(array.chunks * (array.form.array_bytes + CHECKSUM_BYTES) for array in arrays)


def remove_entry(folder: Path) -> None:
    """Delete whatever lies where an entry should; it is renamed first, so that nobody opens half of it.

    Raises
    ------
    OSError
        If it cannot be renamed.
    """
    removed = move_away(folder)
    if removed is not None:
        _delete(removed)


def move_away(folder: Path) -> Path | None:
    """Rename an entry so that nobody finds it any more; None where another process was quicker.

    Raises
    ------
    OSError
        If it cannot be renamed.
    """
    trash = folder.with_name(f"{_REMOVED}{folder.name}-{uuid.uuid4().hex}")
    try:
        folder.rename(trash)
    except FileNotFoundError:
        return None
    return trash


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def sweep(root: Path) -> None:
    """Delete what processes that died left over: entries half removed or half made, files half written."""
    long_ago = time.time() - _UNFINISHED_SECONDS
    for path in _in_groups(root):
        with contextlib.suppress(OSError):
            if path.name.startswith(_REMOVED):
                _delete(path)
            elif not _has_key(path) and path.stat().st_mtime < long_ago and not is_held(path):
                remove_entry(path)
            else:
                for partial in [*path.glob(f"*{PARTIAL}"), *path.glob(f"{GROUP}/*/*{PARTIAL}")]:
                    if partial.stat().st_mtime < long_ago:
                        partial.unlink()


def files_beside(root: Path, fits: Path | None) -> list[EntrySummary]:
    """List what is kept beside entries, and what is left over, as things that can be removed one by one.

    Parameters
    ----------
    root
        The folder of the entries.
    fits
        The folder of fitted Potts models.
    """
    found = [(_FITS, path) for path in (fits.glob("*.safetensors*") if fits is not None else ())]
    found += [(path.parent.name, path) for path in _in_groups(root) if not _has_key(path)]
    made = []
    for place, path in found:
        with contextlib.suppress(OSError):
            size = entry_size(path) if path.is_dir() else path.stat().st_size
            made.append(EntrySummary(f"{BESIDE}{place}/{path.name}", path.stat().st_mtime, size))
    return made


def remove_beside(root: Path, fits: Path | None, key: str) -> None:
    """Delete one of `files_beside`."""
    place, _, name = key.removeprefix(BESIDE).partition("/")
    folder = fits if place == _FITS else root / place
    if folder is not None:
        _delete(folder / name)


def free_disk(folder: Path) -> int:
    """Bytes free where `folder` lies, or will lie."""
    for existing in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(existing).free
    return 0
