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

from catjac_widgets.engine.cache.chunked.store import FileStore
from catjac_widgets.engine.cache.entries import Entry, Kept, Store
from catjac_widgets.engine.cache.folder.store import DEFAULT_LIMIT, FolderStore
from catjac_widgets.engine.cache.info import (
    CacheInfo,
    CacheWarning,
    parse_duration,
    parse_size,
    readable_size,
)
from catjac_widgets.engine.cache.memory import MemoryStore
from catjac_widgets.engine.cache.remote.store import RemoteStore
from catjac_widgets.input_files import is_url, user_path
from catjac_widgets.language_models.potts.kept_fits import fits_folder

FOLDER_VARIABLE = "CATJAC_CACHE"
LIMIT_VARIABLE = "CATJAC_CACHE_LIMIT"

#: The first write of this much says where it goes.
_LARGE_BYTES = 10**9


class Cache:
    """Finds, opens and evicts entries.

    They are in ``$CATJAC_CACHE``, a folder or a URL that fsspec knows ("memory": in this process only; "off":
    nothing is kept), or in the platform's cache folder. The limit of a folder is ``$CATJAC_CACHE_LIMIT``
    ("5GB"), or 20 GB, or a tenth of the free disk if that is less; at a URL nothing is evicted.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._counts: Counter[str] = Counter()
        self._memory = MemoryStore()
        self._stores: dict[Path | str, FileStore] = {}
        self._other: Store | None = None
        #: Stores that could not be written when they were asked last, and what is kept in their place.
        self._failed: set[Store] = set()
        self._instead: dict[Store, MemoryStore] = {}
        self._said_where: set[Store] = set()

    # ---- where

    @property
    def folder(self) -> Path | None:
        """The folder of the entries, or None where the cache is off, in memory or at a URL."""
        setting = _setting()
        if setting.lower() in ("off", "memory") or is_url(setting):
            return None
        return user_path(setting) if setting else _platform_folder()

    @property
    def local_folder(self) -> Path | None:
        """A folder of this machine for other kept files; None where the cache is off or in memory."""
        return _platform_folder() if is_url(_setting()) else self.folder

    @property
    def is_off(self) -> bool:
        """Whether nothing is kept at all."""
        return self._other is None and _setting().lower() == "off"

    @property
    def in_memory(self) -> bool:
        """Whether rows are kept in this process only, by the last try."""
        store = self.store
        return store is not None and (store is self._memory or store in self._failed)

    @property
    def store(self) -> Store | None:
        """Where entries are kept now; None where nothing is."""
        return None if self.is_off else self._wanted()

    def use(self, store: Store | None) -> None:
        """Keep entries in another store than the environment asks for, or again in that one (None)."""
        self._other = store

    @property
    def file_store(self) -> FileStore | None:
        """The store of files that the environment names; None where it names none.

        Raises
        ------
        UsageError, DependencyError
            If it is a URL that cannot be one, or whose package is missing.
        """
        setting, folder = _setting(), self.folder
        with self._lock:
            if folder is not None:
                if folder not in self._stores:
                    self._stores[folder] = FolderStore(folder, fits_folder())
                return self._stores[folder]
            if not is_url(setting):
                return None
            if setting not in self._stores:
                self._stores[setting] = RemoteStore(setting)
            return self._stores[setting]

    def _wanted(self) -> Store:
        return self._other or self.file_store or self._memory

    @property
    def limit(self) -> int | None:
        """Bytes that the entries may take, None where nothing is evicted.

        Raises
        ------
        UsageError
            If the environment variable is not a size.
        """
        return self._limit_of(self.store or self._memory)

    @property
    def most_at_once(self) -> int:
        """Bytes that may come in one go, also where nothing is evicted; see `limit`."""
        limit = self.limit
        return limit_said() or DEFAULT_LIMIT if limit is None else limit

    def _limit_of(self, store: Store) -> int | None:
        limit = limit_said()
        if not store.limited:
            return None
        if limit is None:
            return store.default_limit(_size(store))
        # What a disk may take, the memory that stands in for it may not.
        instead = store in self._instead.values()
        return min(limit, store.default_limit(0)) if instead else limit

    # ---- entries

    def find(self, plan: Kept) -> Entry | None:
        """Return the entry of a plan if there is one; nothing is written."""
        store = self.store
        if store is None:
            return None
        found = store.find(plan)
        # What could not be written when it was computed is in memory.
        return self._instead[store].find(plan) if found is None and store in self._instead else found

    def open(self, plan: Kept, note: Callable[[str], None], found: Entry | None = None) -> Entry | None:
        """Return the entry of a plan, made if need be; None where nothing is kept.

        Where it cannot be written, it is one in memory, and the next call tries again.

        Parameters
        ----------
        plan
            Whose entry.
        note
            Told that it cannot be written, and is kept in memory instead.
        found
            What `find` gave for it before, so that it is not looked for twice.
        """
        store = self.store
        if store is None:
            return None
        if found is not None and found.store is self._instead.get(store):
            return found.store.open(plan, found)
        try:
            entry = store.open(plan, found if found is not None and found.store is store else None)
        except OSError as error:
            self._failed.add(store)
            note(
                f"The cache in {store.name} cannot be written ({error.strerror or error}); this is kept in "
                f"memory, for this process only: mend that, or set {FOLDER_VARIABLE} to another place."
            )
            return self._instead.setdefault(store, MemoryStore()).open(plan)
        self._failed.discard(store)
        return entry

    def make_room(self, entry: Entry, missing: int) -> str:
        """Evict least recently used entries until `entry`, which is held, fits with its missing rows.

        Parameters
        ----------
        entry
            Where rows will be written.
        missing
            How many.

        Returns
        -------
        str
            "", or why they do not fit, to come after "the Jacobian".
        """
        with self._lock, entry.store.in_turn():
            limit = self._limit_of(entry.store)
            if limit is None:
                return ""
            needed = (len(entry.done()) + missing) * entry.plan.row_bytes
            if needed > limit:
                return f"is larger than the cache may be ({readable_size(limit)})"
            if _evict(entry, needed, limit) > limit:
                return f"finds no room in the cache ({readable_size(limit)}), because what is in it is in use"
            return ""

    def where_message(self, plan: Kept, missing: int) -> str | None:
        """Say, before the first large write of this process, where these rows go and how much they are."""
        size = missing * plan.row_bytes
        store = self.store
        if store is None or not store.reads_lazily or store in self._said_where:
            return None
        if size < _LARGE_BYTES:
            return None
        self._said_where.add(store)
        limit = self._limit_of(store)
        said = "no limit" if limit is None else f"limit {readable_size(limit)}"
        return (
            f"Writing {readable_size(size)} of rows to {store.name} ({said}; {FOLDER_VARIABLE} and "
            f"{LIMIT_VARIABLE} change this)."
        )

    # ---- who uses what

    def hold(self, entry: Entry) -> None:
        """Keep an entry from being evicted until `release` (or the end of the process)."""
        with self._lock:
            try:
                entry.store.hold(entry.plan.key)
            except OSError:
                # Evicted since it was opened. What cannot be made again is found out when it is written.
                with contextlib.suppress(OSError):
                    entry.store.open(entry.plan)
                    entry.store.hold(entry.plan.key)

    def release(self, entry: Entry) -> None:
        """Undo one `hold`, when what was written is safe."""
        entry.finish()
        with self._lock:
            entry.store.release(entry.plan.key)

    def give_up(self, entry: Entry) -> None:
        """Undo one `hold` of an entry that is not written to after all; one without a row goes."""
        self.release(entry)
        if entry.is_empty():
            with contextlib.suppress(OSError):
                entry.store.remove(entry.plan.key)

    def close(self) -> None:
        """Let go of all entries that this process holds, because it ends."""
        for store in self._stores.values():
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
            entries = [] if store is None else list(store.entries())
            beside = [] if store is None else list(store.beside())
            if store in self._instead:
                entries += self._instead[store].entries()
            written = store is not None and store.reads_lazily and store not in self._failed
            return CacheInfo(
                path=store.folder if store is not None and written else None,
                where=store.name if store is not None and written else "",
                size=sum(each.size for each in (*entries, *beside)),
                limit=self.limit,
                entries=len(entries),
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
            for store in {self._memory, self._wanted(), *self._instead.values()}:
                for each in (*store.entries(), *store.beside()):
                    if each.used <= before and not store.in_use(each.key):
                        with contextlib.suppress(OSError):
                            store.remove(each.key)
                            removed += 1
        return removed


def _setting() -> str:
    return os.environ.get(FOLDER_VARIABLE, "").strip()


def limit_said() -> int | None:
    """Read the limit that the environment names, None where it names none.

    Raises
    ------
    UsageError
        If it is not a size.
    """
    setting = os.environ.get(LIMIT_VARIABLE, "").strip()
    return parse_size(setting, name=LIMIT_VARIABLE) if setting else None


def _platform_folder() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("catjac", appauthor=False)) / "jacobians"


def _size(store: Store) -> int:
    return sum(each.size for each in (*store.entries(), *store.beside()))


def _evict(entry: Entry, needed: int, limit: int) -> int:
    """Remove what was not used for longest until `entry` fits; bytes that are (or will be) taken then."""
    store = entry.store
    others = [each for each in (*store.entries(), *store.beside()) if each.key != entry.plan.key]
    total = sum(each.size for each in others) + needed
    for each in sorted(others, key=lambda each: each.used):
        if total <= limit:
            break
        if not store.in_use(each.key):
            # Another process may have begun to use it.
            with contextlib.suppress(OSError):
                store.remove(each.key)
                total -= each.size
    return total


#: The cache of this process: `catjac.cache`.
cache = Cache()
atexit.register(cache.close)

__all__ = ["Cache", "CacheInfo", "CacheWarning", "cache"]
