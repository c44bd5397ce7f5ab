"""Parts of a Jacobian that are small enough to be held while they are written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

#: Bytes of rows that are written at a time.
PART_BYTES = 64 * 2**20


def row_parts(J: xr.DataArray, part_bytes: int = PART_BYTES) -> Iterator[slice]:
    """Divide the rows into parts that may be held: what lies on disk is not loaded as a whole."""
    step = max(1, part_bytes * J.shape[0] // max(1, J.nbytes))
    for start in range(0, J.shape[0], step):
        yield slice(start, min(start + step, J.shape[0]))
