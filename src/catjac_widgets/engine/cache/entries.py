"""Entries: what is kept under one key, and the one that keeps it in memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from catjac_widgets.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    """A row whose checksum fails or that holds numbers which are not finite."""


class Entry(Protocol):
    """Keeps the rows of one key, with the wild-type logits and the summaries beside them."""

    plan: Kept
    #: What was found wrong, and put right, on opening.
    notes: list[str]

    def done(self) -> set[int]:
        """0-based positions whose row is there."""
        ...

    def has(self, index: int) -> bool:
        """Whether that row is there."""
        ...

    def read(self, index: int) -> np.ndarray:
        """Read one row, of a Jacobian (A_in, L, A_out); raises `CorruptRowError`."""
        ...

    def write(self, index: int, row: np.ndarray) -> None:
        """Keep one row; raises OSError where that fails."""
        ...

    def discard(self, index: int) -> None:
        """Forget one row."""
        ...

    def read_beside(self, name: str) -> np.ndarray | None:
        """Read one of the arrays of `Kept.beside_shapes`, None where it is not there."""
        ...

    def write_beside(self, name: str, values: np.ndarray) -> None:
        """Keep one of the arrays of `Kept.beside_shapes`."""
        ...

    def devices(self) -> tuple[str, ...]:
        """Where rows were computed."""
        ...

    def add_device(self, name: str) -> None:
        """Note that rows are computed there."""
        ...


class MemoryEntry:
    """Keeps rows in this process only; see `Entry`."""

    def __init__(self, plan: Kept) -> None:
        self.plan = plan
        self.notes: list[str] = []
        #: When it was used last, in seconds since the epoch.
        self.used = time.time()
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
