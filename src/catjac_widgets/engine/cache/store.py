"""The cache: finds and opens entries in the store that there is, keeps to its limit, and counts."""

from __future__ import annotations

import atexit
import contextlib
import datetime
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from catjac_widgets.engine.cache.entries import Entry, Kept, Store
from catjac_widgets.engine.cache.folder_store import FolderStore
from catjac_widgets.engine.cache.info import (
    CacheInfo,
    CacheWarning,
    parse_duration,
    parse_size,
    readable_size,
)
from catjac_widgets.engine.cache.memory import MemoryStore

FOLDER_VARIABLE = "CATJAC_CACHE"
LIMIT_VARIABLE = "CATJAC_CACHE_LIMIT"

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
        self._memory = MemoryStore()
        self._folders: dict[Path, FolderStore] = {}
        self._other: Store | None = None
        self._unwritable: set[Store] = set()
        self._estimated: dict[Store, int] = {}
        self._said_where: set[Store] = set()

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
        return self._other is None and os.environ.get(FOLDER_VARIABLE, "").strip().lower() == "off"

    @property
    def in_memory(self) -> bool:
        """Whether rows are kept in this process only."""
        return self.store is self._memory

    @property
    def store(self) -> Store | None:
        """Where entries are kept now; None where nothing is."""
        if self.is_off:
            return None
        wanted = self._wanted()
        return self._memory if wanted in self._unwritable else wanted

    def use(self, store: Store | None) -> None:
        """Keep entries in another store than the environment asks for, or again in that one (None)."""
        self._other = store

    def _wanted(self) -> Store:
        folder = self.folder
        if self._other is not None:
            return self._other
        if folder is None:
            return self._memory
        with self._lock:
            return self._folders.setdefault(folder, FolderStore(folder))

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
        store = self.store or self._memory
        return store.default_limit(self._size_estimate(store))

    # ---- entries

    def find(self, plan: Kept) -> Entry | None:
        """Return the entry of a plan if there is one; nothing is written."""
        store = self.store
        return None if store is None else store.find(plan)

    def open(self, plan: Kept, note: Callable[[str], None], found: Entry | None = None) -> Entry | None:
        """Return the entry of a plan, made if need be; None where nothing is kept.

        Parameters
        ----------
        plan
            Whose entry.
        note
            Told, once a store, that it cannot be written and that rows are kept in memory instead.
        found
            What `find` gave for it before, so that it is not looked for twice.
        """
        store = self.store
        if store is None:
            return None
        try:
            return store.open(plan, found if found is not None and found.store is store else None)
        except OSError as error:
            self._unwritable.add(store)
            note(
                f"The cache in {store.name} cannot be written ({error.strerror or error}); Jacobians are "
                f"kept in memory, for this process only: set {FOLDER_VARIABLE} to another folder."
            )
        return self._memory.open(plan)

    def make_room(self, entry: Entry) -> bool:
        """Evict least recently used entries until all rows of `entry` fit; False if they never will."""
        needed, store = entry.plan.store_bytes, entry.store
        with self._lock:
            limit = self.limit
            if needed > limit:
                return False
            self._estimated[store] = self._size_estimate(store) + needed
            if self._estimated[store] > limit:
                self._estimated[store] = _evict(store, entry, limit)
            return True

    def _size_estimate(self, store: Store) -> int:
        """Bytes of all entries: counted once a process, then kept up by adding what will be written."""
        with self._lock:
            if store not in self._estimated:
                self._estimated[store] = sum(entry.size for entry in store.entries())
            return self._estimated[store]

    def where_message(self, plan: Kept) -> str | None:
        """Say, before the first large write of this process, where it goes and how much it is."""
        store = self.store
        if store is None or store.free() is None or store in self._said_where:
            return None
        if plan.store_bytes < _LARGE_BYTES:
            return None
        self._said_where.add(store)
        return (
            f"Writing {readable_size(plan.store_bytes)} of rows to {store.name} (limit "
            f"{readable_size(self.limit)}; {FOLDER_VARIABLE} and {LIMIT_VARIABLE} change this)."
        )

    # ---- who uses what

    def hold(self, entry: Entry) -> None:
        """Keep an entry from being evicted until `release` (or the end of the process)."""
        with self._lock:
            entry.store.hold(entry.plan.key)

    def release(self, entry: Entry) -> None:
        """Undo one `hold`."""
        with self._lock:
            entry.store.release(entry.plan.key)

    def close(self) -> None:
        """Let go of all entries that this process holds, because it ends."""
        for store in self._folders.values():
            store.close()

    # ---- what a person asks

    def count(self, **counts: int) -> None:
        """Add to the counts that `info` reports."""
        with self._lock:
            self._counts.update(counts)

    def info(self) -> CacheInfo:
        """Count entries and bytes, and report what this process computed, read and loaded."""
        store = self.store
        with self._lock:
            sizes = [] if store is None else [entry.size for entry in store.entries()]
            if store is not None:
                self._estimated[store] = sum(sizes)
            return CacheInfo(
                path=None if store is None else store.folder,
                size=sum(sizes),
                limit=self.limit,
                entries=len(sizes),
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
            # What is in memory because nothing can be written, or could not once, goes too.
            for store in {self._memory, self._wanted()}:
                for entry in store.entries():
                    if entry.used <= before and not store.in_use(entry.key):
                        with contextlib.suppress(OSError):
                            store.remove(entry.key)
                            removed += 1
                self._estimated.pop(store, None)
        return removed


def _evict(store: Store, entry: Entry, limit: int) -> int:
    """Remove what was not used for longest until `entry` fits; bytes that are (or will be) taken then."""
    others = [other for other in store.entries() if other.key != entry.plan.key]
    total = sum(other.size for other in others) + entry.plan.store_bytes
    for other in sorted(others, key=lambda other: other.used):
        if total <= limit:
            break
        if not store.in_use(other.key):
            with contextlib.suppress(OSError):
                store.remove(other.key)
                total -= other.size
    return total


#: The cache of this process: `catjac.cache`.
cache = Cache()
atexit.register(cache.close)

__all__ = ["Cache", "CacheInfo", "CacheWarning", "cache"]
