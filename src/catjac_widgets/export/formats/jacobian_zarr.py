"""A Jacobian as a zarr folder."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from catjac_widgets.export.format_table import Format, register_format
from catjac_widgets.export.row_parts import PART_BYTES, row_parts

if TYPE_CHECKING:
    import xarray as xr


def write_zarr(J: xr.DataArray, path: Path, *, part_bytes: int = PART_BYTES) -> None:
    """Write a Jacobian as zarr: a chunk a row, labels as text that other readers of zarr understand.

    Parameters
    ----------
    part_bytes
        How much is held in memory at a time.
    """
    # numpy's fixed-width text has no zarr 3 specification; variable-length text has one.
    text = {name: (c.dims, c.values.astype(object)) for name, c in J.coords.items() if c.dtype.kind == "U"}
    J = J.assign_coords(text)
    with warnings.catch_warnings():
        # xarray opens consolidated stores without a warning, others with one; both kinds can be read.
        warnings.filterwarnings("ignore", "Consolidated metadata")
        for rows in row_parts(J, part_bytes):
            if rows.start == 0:
                J[rows].to_zarr(path, encoding={J.name: {"chunks": (1, *J.shape[1:])}})
            else:
                J[rows].to_zarr(path, append_dim="pos_in")


register_format(Format("jacobian", ".zarr", "zarr folder, one chunk a row", write_zarr, is_store=True))
