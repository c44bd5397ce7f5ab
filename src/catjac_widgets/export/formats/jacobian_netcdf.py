"""A Jacobian as a netCDF 4 file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from catjac_widgets.export.format_table import Format, register_format
from catjac_widgets.export.row_parts import PART_BYTES, row_parts

if TYPE_CHECKING:
    import xarray as xr


def write_netcdf(J: xr.DataArray, path: Path, *, part_bytes: int = PART_BYTES) -> None:
    """Write a Jacobian as netCDF 4.

    Parameters
    ----------
    part_bytes
        How much is held in memory at a time.
    """
    import h5netcdf
    import numpy as np

    parts = row_parts(J, part_bytes)
    J.coords.to_dataset().to_netcdf(path, engine="h5netcdf")
    with h5netcdf.File(path, "a") as file:
        made = file.create_variable(J.name, J.dims, J.dtype, fillvalue=np.nan)
        made.attrs.update(J.attrs)
        for rows in parts:
            made[rows] = J[rows].values


register_format(Format("jacobian", ".nc", "netCDF 4", write_netcdf))
