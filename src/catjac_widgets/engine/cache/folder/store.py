"""Entries in a folder, which several processes and machines may share."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from catjac_widgets.engine.cache.chunked.store import FileStore
from catjac_widgets.engine.cache.entries import Entry, EntrySummary, Kept
from catjac_widgets.engine.cache.folder import folders
from catjac_widgets.engine.cache.folder.entry import FolderEntry
from catjac_widgets.engine.cache.folder.files import FolderFiles
from catjac_widgets.engine.cache.folder.holds import Hold, alone, in_turn, is_held

DEFAULT_LIMIT = 20 * 10**9


class FolderStore(FileStore):
    """Holds entries as folders ``<first two digits of the key>/<key>``; see `Store`.

    Parameters
    ----------
    folder
        Need not exist yet.
    fits
        The folder of fitted Potts models, which count towards the limit.
    """

    folder: Path

    def __init__(self, folder: Path, fits: Path | None = None) -> None:
        self.folder, self.name = folder, str(folder)
        self._fits = fits
        self._lock = threading.RLock()
        self._holds: dict[str, tuple[Hold, int]] = {}
        self._sizes: dict[Path, tuple[float, int]] = {}
        self._swept = False

    def __reduce__(self) -> tuple[Any, ...]:
        return FolderStore, (self.folder, self._fits)

    def find(self, plan: Kept) -> FolderEntry | None:
        """See `Store`."""
        entry = FolderEntry(self.folder_of(plan.key), plan, self)
        return entry if entry.matches() else None

    def open(self, plan: Kept, found: Entry | None = None) -> FolderEntry:
        """See `Store`; whatever lies where an entry should, and cannot be one, is moved out of the way."""
        if not self._swept:
            self._swept = True
            folders.sweep(self.folder)
        entry = FolderEntry(self.folder_of(plan.key), plan, self)
        # What was found sound is not compared with its key again, unless it was removed meanwhile.
        if found is not None and os.path.exists(entry.folder / "key.json"):
            self.touch(plan.key)
            return entry
        try:
            try:
                entry.create()
            except (IsADirectoryError, NotADirectoryError, FileExistsError):
                folders.remove_entry(entry.folder)
                entry = FolderEntry(entry.folder, plan, self)
                entry.create()
                entry.notes.append(
                    f"The cache entry {plan.key[:12]} was no entry any more; it was made anew."
                )
            self.touch(plan.key)
            return entry
        except OSError:
            if entry.matches():
                return entry  # A cache that can be read but not written is still worth reading.
            raise

    def folder_of(self, key: str) -> Path:
        """Where the entry of a key lies, whether it exists or not."""
        return self.folder / key[:2] / key

    def files(self, key: str) -> FolderFiles:
        """See `FileStore`."""
        return FolderFiles(self.folder_of(key))

    def make(self, key: str) -> FolderFiles:
        """See `FileStore`."""
        self.folder_of(key).mkdir(parents=True, exist_ok=True)
        return self.files(key)

    def why_not_written(self) -> str:
        """See `FileStore`."""
        nearest = next((each for each in (self.folder, *self.folder.parents) if os.path.exists(each)), None)
        if nearest is None or not nearest.is_dir() or not os.access(nearest, os.W_OK):
            return "cannot be written to"
        return ""

    def entries(self) -> Iterable[EntrySummary]:
        """See `Store`; one that is in use counts as large as it may become."""
        made = []
        for path in folders.entry_folders(self.folder):
            size = self._size_of(path)
            if self.in_use(path.name):
                size = max(size, folders.full_size(path))
            made.append(EntrySummary(path.name, folders.last_used(path), size))
        return made

    def _size_of(self, path: Path) -> int:
        # Each write leaves a digest, so an entry whose folder of digests is as it was is as large as it was.
        changed = folders.last_change(path)
        known = self._sizes.get(path)
        if known is None or known[0] != changed:
            known = self._sizes[path] = (changed, folders.entry_size(path))
        return known[1]

    def beside(self) -> Iterable[EntrySummary]:
        """See `Store`: fitted Potts models, and what processes that died left over."""
        return folders.files_beside(self.folder, self._fits)

    def remove(self, key: str) -> None:
        """See `Store`."""
        if key.startswith(folders.BESIDE):
            folders.remove_beside(self.folder, self._fits, key)
            return
        with self._lock:
            if key in self._holds:
                raise BlockingIOError(errno.EAGAIN, "the cache entry is in use", key)
        folder = self.folder_of(key)
        with alone(folder) as free:
            if not free:
                raise BlockingIOError(errno.EAGAIN, "the cache entry is in use", key)
            removed = folders.move_away(folder)
        if removed is not None:
            shutil.rmtree(removed, ignore_errors=True)

    def touch(self, key: str) -> None:
        """See `Store`."""
        folders.touch(self.folder_of(key))
        with self._lock:
            if key in self._holds:
                self._holds[key][0].renew()

    def hold(self, key: str) -> None:
        """See `Store`."""
        with self._lock:
            hold, times = self._holds[key] if key in self._holds else (Hold(self.folder_of(key)), 0)
            self._holds[key] = hold, times + 1
        self.touch(key)

    def release(self, key: str) -> None:
        """See `Store`."""
        with self._lock:
            if key not in self._holds:
                return
            hold, times = self._holds.pop(key)
            if times > 1:
                self._holds[key] = hold, times - 1
            else:
                hold.release()

    def in_use(self, key: str) -> bool:
        """See `Store`."""
        with self._lock:
            if key in self._holds:
                return True
        return is_held(self.folder_of(key))

    @contextlib.contextmanager
    def in_turn(self) -> Iterator[None]:
        """See `Store`: no other process makes room at the same time."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
        with in_turn(self.folder / "making-room.lock"):
            yield

    def close(self) -> None:
        """See `Store`."""
        with self._lock:
            for hold, _ in self._holds.values():
                hold.release()
            self._holds.clear()

    def default_limit(self, taken: int) -> int:
        """See `Store`: 20 GB, or a tenth of the disk that is free or taken, if that is less."""
        return min(DEFAULT_LIMIT, (folders.free_disk(self.folder) + taken) // 10)

    def free(self) -> int | None:
        """See `Store`."""
        return folders.free_disk(self.folder)
