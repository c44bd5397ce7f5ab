"""The store: one entry a key, on disk under a size limit, or in memory where no folder can be written."""

from __future__ import annotations

import atexit
import contextlib
import datetime
import os
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from catjac_widgets.engine.cache import folders
from catjac_widgets.engine.cache.entries import Entry, MemoryEntry
from catjac_widgets.engine.cache.folder_entry import FolderEntry
from catjac_widgets.engine.cache.info import (
    CacheInfo,
    CacheWarning,
    parse_duration,
    parse_size,
    readable_size,
)

if TYPE_CHECKING:
    from catjac_widgets.engine.cache.entries import Kept

FOLDER_VARIABLE = "CATJAC_CACHE"
LIMIT_VARIABLE = "CATJAC_CACHE_LIMIT"
DEFAULT_LIMIT = 20 * 10**9

#: In memory, for this process only.
MEMORY_LIMIT = 2 * 10**9

#: The first write of this much says where it goes.
_LARGE_BYTES = 10**9


class Cache:
    """Finds, opens and evicts entries.

    The folder is ``$CATJAC_CACHE`` ("memory": this process only; "off": nothing is kept), or the platform's
    cache folder. The limit is ``$CATJAC_CACHE_LIMIT`` ("5GB"), or 20 GB, or a tenth of the free disk if that
    is less.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._counts: Counter[str] = Counter()
        self._memory: OrderedDict[str, MemoryEntry] = OrderedDict()
        self._users: Counter[Path] = Counter()
        self._unwritable: set[Path] = set()
        self._estimated: dict[Path, int] = {}
        self._said_where: set[Path] = set()

    # ---- where

    @property
    def folder(self) -> Path | None:
        """The folder of the entries, or None where the cache is off or in memory."""
        setting = os.environ.get(FOLDER_VARIABLE, "").strip()
        if setting.lower() in ("off", "memory"):
            return None
        if setting:
            return Path(setting).expanduser()
        import platformdirs

        return Path(platformdirs.user_cache_dir("catjac", appauthor=False)) / "jacobians"

    @property
    def is_off(self) -> bool:
        """Whether nothing is kept at all."""
        return os.environ.get(FOLDER_VARIABLE, "").strip().lower() == "off"

    @property
    def in_memory(self) -> bool:
        """Whether rows are kept in this process only."""
        return not self.is_off and self._writable_folder() is None

    @property
    def limit(self) -> int:
        """Bytes that the entries may take.

        Raises
        ------
        UsageError
            If the environment variable is not a size.
        """
        setting = os.environ.get(LIMIT_VARIABLE, "").strip()
        if setting:
            return parse_size(setting, name=LIMIT_VARIABLE)
        folder = self._writable_folder()
        if folder is None:
            from catjac_widgets.engine.compute.memory import total_memory

            return min(MEMORY_LIMIT, total_memory() // 10)
        return min(DEFAULT_LIMIT, (folders.free_disk(folder) + self._size_estimate(folder)) // 10)

    def _writable_folder(self) -> Path | None:
        folder = self.folder
        return None if folder in self._unwritable else folder

    def entry_folder(self, plan: Kept) -> Path | None:
        """Where the entry of a plan lies, whether it exists or not; None without a folder."""
        folder = self._writable_folder()
        return None if folder is None else folder / plan.key[:2] / plan.key

    # ---- entries

    def find(self, plan: Kept) -> Entry | None:
        """Return the entry of a plan if there is one; nothing is written."""
        folder = self.entry_folder(plan)
        if folder is not None:
            entry = FolderEntry(folder, plan)
            return entry if entry.matches() else None
        with self._lock:
            return self._memory.get(plan.key)

    def open(self, plan: Kept, note: Callable[[str], None]) -> Entry | None:
        """Return the entry of a plan, made if need be; None where nothing is kept.

        Parameters
        ----------
        plan
            Whose entry.
        note
            Told, once a folder, that it cannot be written and that rows are kept in memory instead.
        """
        if self.is_off:
            return None
        root, folder = self.folder, self.entry_folder(plan)
        if root is not None and folder is not None:
            entry = FolderEntry(folder, plan)
            try:
                return entry.create()
            except OSError as error:
                if entry.matches():
                    return entry  # A cache that can be read but not written is still worth reading.
                self._unwritable.add(root)
                note(
                    f"The cache folder {root} cannot be written ({error.strerror or error}); Jacobians are "
                    f"kept in memory, for this process only: set {FOLDER_VARIABLE} to another folder."
                )
        with self._lock:
            kept = self._memory.setdefault(plan.key, MemoryEntry(plan))
            self._memory.move_to_end(plan.key)
            kept.used = time.time()
            return kept

    def make_room(self, entry: Entry) -> bool:
        """Evict least recently used entries until all rows of `entry` fit; False if they never will."""
        needed = entry.plan.store_bytes
        with self._lock:
            limit = self.limit
            if needed > limit:
                return False
            folder = self._writable_folder()
            if folder is None:
                self._make_room_in_memory(entry, limit)
            elif isinstance(entry, FolderEntry):
                self._estimated[folder] = self._size_estimate(folder) + needed
                if self._estimated[folder] > limit:
                    self._estimated[folder] = self._evict(folder, entry, limit)
            return True

    def _evict(self, root: Path, entry: FolderEntry, limit: int) -> int:
        """Remove what was not used for longest until `entry` fits; bytes that are (or will be) taken then."""
        others = (path for path in folders.entry_folders(root) if path != entry.folder)
        sizes = {path: folders.entry_size(path) for path in others}
        total = sum(sizes.values()) + entry.plan.store_bytes
        for path in sorted(sizes, key=folders.last_used):
            if total <= limit:
                break
            if not self._is_used(path):
                with contextlib.suppress(OSError):
                    folders.remove_entry(path)
                    total -= sizes[path]
        return total

    def _make_room_in_memory(self, entry: Entry, limit: int) -> None:
        total = entry.plan.store_bytes + sum(kept.size for kept in self._memory.values() if kept is not entry)
        for key in list(self._memory):
            if total <= limit:
                break
            if key != entry.plan.key:
                total -= self._memory.pop(key).size

    def _size_estimate(self, folder: Path) -> int:
        """Bytes of all entries: counted once a process, then kept up by adding what will be written."""
        with self._lock:
            if folder not in self._estimated:
                self._estimated[folder] = sum(map(folders.entry_size, folders.entry_folders(folder)))
            return self._estimated[folder]

    def where_message(self, plan: Kept) -> str | None:
        """Say, before the first large write of this process, where it goes and how much it is."""
        folder = self._writable_folder()
        if folder is None or folder in self._said_where or plan.store_bytes < _LARGE_BYTES:
            return None
        self._said_where.add(folder)
        return (
            f"Writing {readable_size(plan.store_bytes)} of rows to {folder} (limit "
            f"{readable_size(self.limit)}; {FOLDER_VARIABLE} and {LIMIT_VARIABLE} change this)."
        )

    # ---- who uses what

    def hold(self, entry: Entry) -> None:
        """Keep an entry from being evicted until `release` (or the end of the process)."""
        if isinstance(entry, FolderEntry):
            with self._lock:
                self._users[entry.folder] += 1
                entry.mark_in_use()
                entry.touch()

    def release(self, entry: Entry) -> None:
        """Undo one `hold`."""
        if isinstance(entry, FolderEntry):
            with self._lock:
                self._users[entry.folder] -= 1
                entry.touch()
                if self._users[entry.folder] <= 0:
                    del self._users[entry.folder]
                    entry.unmark_in_use()

    def _is_used(self, folder: Path) -> bool:
        return self._users[folder] > 0 or folders.in_use(folder)

    def _forget_users(self) -> None:
        for folder in list(self._users):
            with contextlib.suppress(OSError):
                (folder / "in_use" / folders.process_name()).unlink(missing_ok=True)

    # ---- what a person asks

    def count(self, **counts: int) -> None:
        """Add to the counts that `info` reports."""
        with self._lock:
            self._counts.update(counts)

    def info(self) -> CacheInfo:
        """Count entries and bytes, and report what this process computed, read and loaded."""
        folder = self._writable_folder()
        with self._lock:
            if folder is None:
                size, number = sum(kept.size for kept in self._memory.values()), len(self._memory)
            else:
                found = folders.entry_folders(folder)
                size, number = sum(map(folders.entry_size, found)), len(found)
                self._estimated[folder] = size
            return CacheInfo(
                path=folder,
                size=size,
                limit=self.limit,
                entries=number,
                rows_computed=self._counts["rows_computed"],
                rows_read=self._counts["rows_read"],
                models_loaded=self._counts["models_loaded"],
                in_memory=self.in_memory,
            )

    def clear(self, older_than: str | datetime.timedelta | None = None) -> int:
        """Remove entries, except those in use, and return how many were removed.

        Parameters
        ----------
        older_than
            Only those not used for that long: "30d", "12h", "2w" or a timedelta; all by default.

        Raises
        ------
        UsageError
            If `older_than` is not a duration.
        """
        before = float("inf") if older_than is None else time.time() - parse_duration(older_than)
        removed = 0
        with self._lock:
            for key in [key for key, entry in self._memory.items() if entry.used <= before]:
                del self._memory[key]
                removed += 1
            folder = self.folder
            if folder is not None:
                for path in folders.entry_folders(folder):
                    if folders.last_used(path) <= before and not self._is_used(path):
                        with contextlib.suppress(OSError):
                            folders.remove_entry(path)
                            removed += 1
                self._estimated.pop(folder, None)
        return removed


#: The cache of this process: `catjac.cache`.
cache = Cache()
# The marks of a process that ended would keep its entries until somebody notices that it is gone.
atexit.register(cache._forget_users)

__all__ = ["Cache", "CacheInfo", "CacheWarning", "cache"]
