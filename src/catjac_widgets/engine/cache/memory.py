"""Entries in the memory of this process: where no folder can be written, or none is wanted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from catjac_widgets.engine.cache.entries import Entry, EntrySummary, Kept, Store
from catjac_widgets.engine.compute.memory import total_memory

#: Bytes that entries may take at most, or a tenth of the memory if that is less.
MEMORY_LIMIT = 2 * 10**9


class MemoryEntry(Entry):
    """Keeps rows in this process only; see `Entry`."""

    def __init__(self, plan: Kept, store: Store) -> None:
        super().__init__(plan, store)
        self._rows: dict[int, np.ndarray] = {}
        self._beside: dict[str, np.ndarray] = {}
        self._devices: set[str] = set()

    def done(self) -> set[int]:
        """See `Entry`."""
        return set(self._rows)

    def has(self, index: int) -> bool:
        """See `Entry`."""
        return index in self._rows

    def read(self, index: int) -> np.ndarray:
        """See `Entry`."""
        return self._rows[index]

    def write(self, index: int, row: np.ndarray) -> None:
        """See `Entry`."""
        # A copy: the row is part of an array that a person will hold and may change.
        self._rows[index] = row.copy()

    def discard(self, index: int) -> None:
        """See `Entry`."""
        self._rows.pop(index, None)

    def read_beside(self, name: str) -> np.ndarray | None:
        """See `Entry`."""
        values = self._beside.get(name)
        return None if values is None else values.copy()

    def write_beside(self, name: str, values: np.ndarray) -> None:
        """See `Entry`."""
        self._beside[name] = np.array(values, dtype=self.plan.dtype)

    def devices(self) -> tuple[str, ...]:
        """See `Entry`."""
        return tuple(sorted(self._devices))

    def add_device(self, name: str) -> None:
        """See `Entry`."""
        self._devices.add(name)

    @property
    def size(self) -> int:
        """Bytes it takes."""
        return len(self._rows) * self.plan.row_bytes + sum(kept.nbytes for kept in self._beside.values())


@dataclass
class _Known:
    entry: MemoryEntry
    used: float


class MemoryStore(Store):
    """Holds entries in this process; see `Store`."""

    name = "in memory, this process only"

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._users: Counter[str] = Counter()

    def find(self, plan: Kept) -> Entry | None:
        """See `Store`."""
        known = self._known.get(plan.key)
        return None if known is None else known.entry

    def open(self, plan: Kept, found: Entry | None = None) -> Entry:
        """See `Store`; an entry that was removed since it was found is made anew."""
        known = self._known.setdefault(plan.key, _Known(MemoryEntry(plan, self), 0.0))
        known.used = time.time()
        return known.entry

    def entries(self) -> Iterable[EntrySummary]:
        """See `Store`."""
        return [EntrySummary(key, known.used, known.entry.size) for key, known in list(self._known.items())]

    def remove(self, key: str) -> None:
        """See `Store`."""
        self._known.pop(key, None)

    def touch(self, key: str) -> None:
        """See `Store`."""
        known = self._known.get(key)
        if known is not None:
            known.used = time.time()

    def hold(self, key: str) -> None:
        """See `Store`."""
        self._users[key] += 1
        self.touch(key)

    def release(self, key: str) -> None:
        """See `Store`."""
        self._users[key] -= 1
        if self._users[key] <= 0:
            del self._users[key]
        self.touch(key)

    def in_use(self, key: str) -> bool:
        """See `Store`."""
        return self._users[key] > 0

    def close(self) -> None:
        """See `Store`; what it holds ends with the process."""

    def default_limit(self, taken: int) -> int:
        """See `Store`."""
        return min(MEMORY_LIMIT, total_memory() // 10)
