"""The rows of an entry as an xarray array that reads, and checks, each row when it is used."""

from __future__ import annotations

import contextlib
import math
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from catjac_widgets.engine.cache.entries import CorruptRowError
from catjac_widgets.engine.compute.memory import check_selection
from catjac_widgets.errors import CacheError

if TYPE_CHECKING:
    import xarray as xr

    from catjac_widgets.engine.cache.entries import Entry


class RowArray(BackendArray):
    """Reads rows of an entry; holds the entry for as long as somebody has the array.

    Parameters
    ----------
    entry
        Whose rows.
    expected
        0-based numbers of the rows that must be there: where one is not, that is an error. Other rows are NaN
        while they are not there.
    """

    def __init__(self, entry: Entry, expected: frozenset[int]) -> None:
        self.entry, self.expected = entry, expected
        self.shape = entry.plan.rows_shape
        self.dtype = entry.plan.dtype
        self._hold()

    def _hold(self) -> None:
        key, store = self.entry.plan.key, self.entry.store
        # Where it is gone already, reading says so.
        with contextlib.suppress(OSError):
            store.hold(key)
            weakref.finalize(self, store.release, key)

    def __getstate__(self) -> dict[str, Any]:
        return {"entry": self.entry, "expected": self.expected}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Read what an index asks for.

        Raises
        ------
        CacheError
            For a row that is damaged or gone.
        ResourceError
            If that does not fit into memory.
        """
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        first, rest = key[0], key[1:]
        if isinstance(first, int | np.integer):
            return self._row(int(first), rest)
        indices = np.arange(self.shape[0])[first]
        # One that is never filled says which shape a row of the selection has.
        shape = (len(indices), *_select(np.empty(self.shape[1:], self.dtype), rest).shape)
        check_selection(math.prod(shape) * self.dtype.itemsize)
        made = np.empty(shape, self.dtype)
        for place, index in enumerate(indices):
            made[place] = self._row(int(index), rest)
        return made

    def _row(self, index: int, rest: tuple[Any, ...]) -> np.ndarray:
        row = self._whole_row(index)
        return _select(np.full(self.shape[1:], np.nan, self.dtype) if row is None else row, rest)

    def _whole_row(self, index: int) -> np.ndarray | None:
        entry = self.entry
        if not entry.has(index) and index not in self.expected:
            return None
        try:
            return entry.read(index)
        except CorruptRowError as error:
            raise CacheError(
                f"Residue {index + 1} of this Jacobian cannot be read from the cache: {error}. Ask for the "
                "Jacobian again (the row is then computed anew), and this array reads it too."
            ) from error


def _select(row: np.ndarray, indices: tuple[Any, ...]) -> np.ndarray:
    """Index each axis apart; numpy would take several arrays of indices as one list of places."""
    for axis in range(len(indices) - 1, -1, -1):
        row = row[(slice(None),) * axis + (indices[axis],)]
    return row


def lazy_rows(entry: Entry, expected: frozenset[int]) -> xr.DataArray:
    """Make the array of all rows; see `RowArray`."""
    import xarray as xr

    rows = RowArray(entry, expected)
    variable = xr.Variable(entry.plan.rows_dims, indexing.LazilyIndexedArray(rows))
    return xr.DataArray(variable, name=entry.plan.rows_name)


def rows_behind(array: xr.DataArray) -> RowArray | None:
    """Find the `RowArray` that an array, or a selection of one, which was not loaded reads from."""
    inner: Any = getattr(array.variable, "_data", None)
    while inner is not None and not isinstance(inner, RowArray):
        inner = getattr(inner, "array", None)
    return inner
