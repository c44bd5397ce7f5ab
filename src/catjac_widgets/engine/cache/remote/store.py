"""Entries at a URL, which many machines may share."""

from __future__ import annotations

import contextlib
import errno
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from typing import Any

from catjac_widgets.engine.cache.chunked.entry import ChunkedEntry
from catjac_widgets.engine.cache.chunked.store import FileStore
from catjac_widgets.engine.cache.entries import Entry, EntrySummary, Kept
from catjac_widgets.engine.cache.remote.files import ObjectFiles
from catjac_widgets.engine.cache.remote.objects import Objects, Stat
from catjac_widgets.errors import CacheError
from catjac_widgets.input_files import reason

#: The time of the last use is written no more often than this.
_TOUCH_SECONDS = 60.0

#: Begins the "key" of objects that are left of an entry that has no key any more.
_LEFT = "left:"

_OBJECT = re.compile(r"(?P<two>[0-9a-f]{2})/(?P<key>(?P=two)[0-9a-f]{62})/(?P<name>.+)")


class RemoteStore(FileStore):
    """Holds entries as objects ``<URL>/<first two digits of the key>/<key>/…``; see `Store`.

    The layout is that of a folder. There are neither locks nor claims, since object stores have none: who
    uses an entry is known of this process only, and so nothing is evicted but what a person clears.

    Parameters
    ----------
    url
        See `Objects`.
    """

    limited = False

    def __init__(self, url: str) -> None:
        self._objects = Objects(url)
        self.name = self._objects.shown
        self._lock = threading.RLock()
        self._users: Counter[str] = Counter()
        self._touched: dict[str, float] = {}
        self._left: list[EntrySummary] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteStore, (self._objects.url,)

    def find(self, plan: Kept) -> ChunkedEntry | None:
        """See `Store`."""
        entry = ChunkedEntry(self.files(plan.key), plan, self)
        return entry if entry.matches() else None

    def open(self, plan: Kept, found: Entry | None = None) -> Entry:
        """See `Store`."""
        if found is not None and found.plan.key == plan.key:
            with contextlib.suppress(FileNotFoundError):
                self.files(plan.key).read("key.json")
                self.touch(plan.key)
                return found
        entry = ChunkedEntry(self.files(plan.key), plan, self)
        try:
            entry.create()
        except OSError:
            if not entry.matches():
                raise
            # A cache that can be read but not written is still worth reading.
        self.touch(plan.key)
        return entry

    def files(self, key: str) -> ObjectFiles:
        """See `FileStore`."""
        return ObjectFiles(self._objects, key)

    def make(self, key: str) -> ObjectFiles:
        """See `FileStore`."""
        return self.files(key)

    def why_not_written(self) -> str:
        """See `FileStore`; tries it."""
        trial = f"trial-{uuid.uuid4().hex}"
        try:
            self._objects.write(trial, b"")
            self._objects.remove(trial)
        except OSError as error:
            return f"cannot be written to ({reason(error)})"
        return ""

    def entries(self) -> Iterable[EntrySummary]:
        """See `Store`.

        Raises
        ------
        CacheError
            If the place does not answer.
        """
        try:
            listed = self._objects.walk()
        except OSError as error:
            raise CacheError(f"The cache at {self.name} cannot be listed ({reason(error)}).") from error
        objects: dict[str, dict[str, Stat]] = {}
        for path, stat in listed.items():
            if (match := _OBJECT.fullmatch(path)) is not None:
                objects.setdefault(match["key"], {})[match["name"]] = stat
        made, left = [], []
        for key, of_entry in objects.items():
            size = sum(stat.size for stat in of_entry.values())
            if "key.json" in of_entry:
                used = of_entry.get("used", of_entry["key.json"]).changed
                made.append(EntrySummary(key, used, size))
            else:
                used = max(stat.changed for stat in of_entry.values())
                left.append(EntrySummary(f"{_LEFT}{key}", used, size))
        self._left = left
        return made

    def beside(self) -> Iterable[EntrySummary]:
        """See `Store`: what is left of entries without a key, as `entries` found it last."""
        return self._left

    def remove(self, key: str) -> None:
        """See `Store`."""
        key = key.removeprefix(_LEFT)
        if self.in_use(key):
            raise BlockingIOError(errno.EAGAIN, "the cache entry is in use", key)
        files = self.files(key)
        # The key first, so that nobody finds half an entry.
        files.remove("key.json")
        self._objects.remove_all(f"{key[:2]}/{key}")
        with self._lock:
            self._touched.pop(key, None)

    def touch(self, key: str) -> None:
        """See `Store`."""
        now = time.monotonic()
        with self._lock:
            if key in self._touched and now - self._touched[key] < _TOUCH_SECONDS:
                return
            self._touched[key] = now
        with contextlib.suppress(OSError):
            self.files(key).mark("used")

    def hold(self, key: str) -> None:
        """See `Store`."""
        with self._lock:
            self._users[key] += 1
        self.touch(key)

    def release(self, key: str) -> None:
        """See `Store`."""
        with self._lock:
            self._users[key] -= 1
            if self._users[key] <= 0:
                del self._users[key]

    def in_use(self, key: str) -> bool:
        """See `Store`: whether this process uses it."""
        with self._lock:
            return self._users[key] > 0

    def default_limit(self, taken: int) -> int:
        """See `Store`; what is there may stay."""
        return taken

    def close(self) -> None:
        """See `Store`; what it holds ends with the process."""
