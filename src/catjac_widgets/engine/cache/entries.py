"""What a cache is made of: things to keep, entries that keep one of them, and stores of entries.

Another backend is one subclass of `Store` and one of `Entry`; `tests/engine/test_stores.py` checks all alike.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from catjac_widgets.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr


class Kept(Protocol):
    """What an entry needs to know of that which it keeps: a key, and the layout of one array made of rows.

    `Plan` is one (a row is a position of a Jacobian); `MaskScanPlan` another (a row is a block of masks).
    """

    @property
    def key(self) -> str:
        """SHA-256 of `key_json`."""
        ...

    @property
    def key_json(self) -> str:
        """`key_content` as canonical text."""
        ...

    @property
    def key_content(self) -> dict[str, Any]:
        """Everything that decides the values."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Type of all arrays."""
        ...

    @property
    def rows_name(self) -> str:
        """Name of the array of rows."""
        ...

    @property
    def rows_bits(self) -> int | None:
        """Bits of each number's mantissa that rows keep, None for all; rows were rounded to it before."""
        ...

    @property
    def rows_dims(self) -> tuple[str, ...]:
        """Its dimension names."""
        ...

    @property
    def rows_shape(self) -> tuple[int, ...]:
        """Its shape."""
        ...

    @property
    def chunk_length(self) -> int:
        """How long a row, which is one chunk, is along the first dimension."""
        ...

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        ...

    @property
    def store_bytes(self) -> int:
        """Bytes of all rows."""
        ...

    @property
    def beside_shapes(self) -> Mapping[str, tuple[tuple[int, ...], tuple[str, ...]]]:
        """Shape and dimension names of each array that is kept beside the rows."""
        ...

    def selection(self, index: int) -> int | slice:
        """Where the row of that number lies along the first dimension."""
        ...


class CorruptRowError(CacheError):
    """A row that is not there, cannot be read, or is not the one that was written there."""


class Entry(ABC):
    """Keeps the rows of one key, with the wild-type logits and the summaries beside them.

    Attributes
    ----------
    plan
        Whose key it is.
    store
        Where it is kept.
    notes
        What was found wrong, and put right, on opening.
    """

    def __init__(self, plan: Kept, store: Store) -> None:
        self.plan = plan
        self.store = store
        self.notes: list[str] = []

    # ---- rows

    @abstractmethod
    def done(self) -> set[int]:
        """0-based positions whose row is there."""

    @abstractmethod
    def read(self, index: int) -> np.ndarray:
        """Read one row, of a Jacobian (A_in, L, A_out); not to be changed.

        Raises
        ------
        CorruptRowError
            If it is damaged; it is then discarded, so that it is computed anew. One that cannot be read now
            (a disk that does not answer, too many open files) is not: it may be sound.
        """

    @abstractmethod
    def write(self, index: int, row: np.ndarray) -> None:
        """Keep one row (a copy of it).

        Raises
        ------
        OSError
            If it cannot be kept.
        """

    @abstractmethod
    def discard(self, index: int) -> None:
        """Forget one row."""

    def has(self, index: int) -> bool:
        """Whether that row is there."""
        return index in self.done()

    def is_empty(self) -> bool:
        """Whether there is certainly no row."""
        return not self.done()

    # ---- who computes what

    def claim(self, rows: Iterable[int]) -> bool:
        """Claim rows to compute, all or none; False if another process computes one of them now."""
        return True

    def give_back(self, rows: Iterable[int]) -> None:  # noqa: B027 - most have nothing to do
        """Give up claims at rows that are done, or will not be."""

    # ---- what lies beside

    @abstractmethod
    def read_beside(self, name: str) -> np.ndarray | None:
        """Read one of the arrays of `Kept.beside_shapes`, None where it is not there."""

    @abstractmethod
    def write_beside(self, name: str, values: np.ndarray) -> None:
        """Keep one of the arrays of `Kept.beside_shapes`."""

    @abstractmethod
    def devices(self) -> tuple[str, ...]:
        """Where rows were computed."""

    @abstractmethod
    def add_device(self, name: str) -> None:
        """Note that rows are computed there."""

    def finish(self) -> None:  # noqa: B027 - most have nothing to do
        """Give up all claims, and bring what was written to where it lasts."""

    # ---- rows that are read when they are used; for stores with `reads_lazily`

    def lazy(self, expected: frozenset[int]) -> xr.DataArray:
        """All rows as an array that reads them when it is used, and keeps the entry from being evicted.

        Parameters
        ----------
        expected
            0-based rows that must be there; others are NaN as long as they are not.
        """
        raise NotImplementedError(f"{type(self).__name__} gives no array that reads rows when they are used.")

    def is_opened_as(self, array: xr.DataArray) -> bool:
        """Whether an array is that of `lazy` (or a part of it), not loaded, so that it has the rows kept."""
        return False


@dataclass(frozen=True)
class EntrySummary:
    """One entry as a store's owner sees it.

    Attributes
    ----------
    key
        `Kept.key`.
    used
        When it was used last, in seconds since the epoch.
    size
        Bytes it takes.
    """

    key: str
    used: float
    size: int


class Store(ABC):
    """Holds entries; knows nothing of limits, see `Cache`.

    Attributes
    ----------
    name
        Where it is, in a person's words.
    folder
        Its folder, if it is one.
    reads_lazily
        Whether its entries offer `Entry.lazy`, so that a Jacobian need not fit into memory.
    limited
        Whether entries are evicted so that they take no more than a limit.
    """

    name: str
    folder: Path | None = None
    reads_lazily: bool = False
    limited: bool = True

    @abstractmethod
    def find(self, plan: Kept) -> Entry | None:
        """Return the entry of a plan if there is a sound one; nothing is written."""

    @abstractmethod
    def open(self, plan: Kept, found: Entry | None = None) -> Entry:
        """Return the entry of a plan for writing, made or put right if need be, and note that it is used.

        Parameters
        ----------
        plan
            Whose entry.
        found
            What `find` gave for it, so that it is not looked at twice.

        Raises
        ------
        OSError
            If nothing can be written.
        """

    @abstractmethod
    def entries(self) -> Iterable[EntrySummary]:
        """List all entries."""

    @abstractmethod
    def remove(self, key: str) -> None:
        """Remove an entry.

        Raises
        ------
        OSError
            If it cannot be removed, or is in use.
        """

    @abstractmethod
    def touch(self, key: str) -> None:
        """Note that an entry was used now."""

    def beside(self) -> Iterable[EntrySummary]:
        """List what else takes space and may be removed, under keys that `remove` knows."""
        return ()

    @abstractmethod
    def hold(self, key: str) -> None:
        """Say that this process uses an entry, until `release` as many times.

        Raises
        ------
        OSError
            If there is no such entry (any more).
        """

    @abstractmethod
    def release(self, key: str) -> None:
        """Undo one `hold`."""

    @abstractmethod
    def in_use(self, key: str) -> bool:
        """Whether somebody, this process included, uses an entry."""

    @abstractmethod
    def default_limit(self, taken: int) -> int:
        """Bytes that its entries may take where nobody says how many, if they take `taken` now."""

    @contextlib.contextmanager
    def in_turn(self) -> Iterator[None]:
        """Keep other processes from making room at the same time."""
        yield

    def free(self) -> int | None:
        """Bytes that can still be written, None where nobody can tell."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Let go of everything that this process holds, because it ends."""
