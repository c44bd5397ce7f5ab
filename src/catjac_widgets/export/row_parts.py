"""Parts of a Jacobian that are small enough to be held while they are written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from catjac_widgets.errors import UsageError
from catjac_widgets.input_files import shown

if TYPE_CHECKING:
    import xarray as xr

#: Bytes of rows that are written at a time.
PART_BYTES = 64 * 2**20


def row_parts(J: xr.DataArray, part_bytes: int = PART_BYTES) -> Iterator[slice]:
    """Divide the rows into parts that may be held: what lies on disk is not loaded as a whole.

    Raises
    ------
    UsageError
        If `part_bytes` is no number of bytes.
    """
    if isinstance(part_bytes, bool) or not isinstance(part_bytes, int | np.integer) or part_bytes < 1:
        raise UsageError(
            f"part_bytes={shown(repr(part_bytes))} is no number of bytes; leave it out or give 1 or more."
        )
    return _parts(J, int(part_bytes))


def _parts(J: xr.DataArray, part_bytes: int) -> Iterator[slice]:
    step = max(1, part_bytes * J.shape[0] // max(1, J.nbytes))
    for start in range(0, J.shape[0], step):
        yield slice(start, min(start + step, J.shape[0]))
