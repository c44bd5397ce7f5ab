"""Entries in a folder, which several processes and machines may share."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from catjac_widgets.engine.cache import folders
from catjac_widgets.engine.cache.entries import Entry, EntrySummary, Kept, Store
from catjac_widgets.engine.cache.folder_entry import FolderEntry

DEFAULT_LIMIT = 20 * 10**9


class FolderStore(Store):
    """Holds entries as folders ``<first two digits of the key>/<key>``; see `Store`.

    Parameters
    ----------
    folder
        Need not exist yet.
    """

    folder: Path
    reads_lazily = True

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, str(folder)
        self._users: Counter[str] = Counter()

    def find(self, plan: Kept) -> FolderEntry | None:
        """See `Store`."""
        entry = FolderEntry(self.folder_of(plan.key), plan, self)
        return entry if entry.matches() else None

    def open(self, plan: Kept, found: Entry | None = None) -> FolderEntry:
        """See `Store`."""
        entry = FolderEntry(self.folder_of(plan.key), plan, self)
        # What was found sound is not compared with its key again, unless it was removed meanwhile.
        if found is not None and (entry.folder / "key.json").exists():
            self.touch(plan.key)
            return entry
        try:
            entry.create()
            self.touch(plan.key)
            return entry
        except OSError:
            if entry.matches():
                return entry  # A cache that can be read but not written is still worth reading.
            raise

    def folder_of(self, key: str) -> Path:
        """Where the entry of a key lies, whether it exists or not."""
        return self.folder / key[:2] / key

    def entries(self) -> Iterable[EntrySummary]:
        """See `Store`."""
        return [
            EntrySummary(path.name, folders.last_used(path), folders.entry_size(path))
            for path in folders.entry_folders(self.folder)
        ]

    def remove(self, key: str) -> None:
        """See `Store`."""
        folders.remove_entry(self.folder_of(key))

    def touch(self, key: str) -> None:
        """See `Store`."""
        folders.touch(self.folder_of(key))

    def hold(self, key: str) -> None:
        """See `Store`."""
        self._users[key] += 1
        folders.mark_in_use(self.folder_of(key))
        self.touch(key)

    def release(self, key: str) -> None:
        """See `Store`."""
        self._users[key] -= 1
        self.touch(key)
        if self._users[key] <= 0:
            del self._users[key]
            folders.unmark_in_use(self.folder_of(key))

    def in_use(self, key: str) -> bool:
        """See `Store`."""
        return self._users[key] > 0 or folders.in_use(self.folder_of(key))

    def close(self) -> None:
        """See `Store`; marks of a process that ended would keep its entries until somebody notices it."""
        for key in list(self._users):
            with contextlib.suppress(OSError):
                folders.unmark_in_use(self.folder_of(key))

    def default_limit(self, taken: int) -> int:
        """See `Store`: 20 GB, or a tenth of the disk that is free or taken, if that is less."""
        return min(DEFAULT_LIMIT, (folders.free_disk(self.folder) + taken) // 10)

    def free(self) -> int | None:
        """See `Store`."""
        return folders.free_disk(self.folder)
