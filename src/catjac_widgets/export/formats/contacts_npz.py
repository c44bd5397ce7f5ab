"""A whole contact map as compressed numpy arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from catjac_widgets.export.format_table import Format, register_format

if TYPE_CHECKING:
    import xarray as xr


def write_map(C: xr.DataArray, path: Path) -> None:
    """Write scores, positions and residues."""
    import numpy as np

    with path.open("wb") as file:
        np.savez_compressed(
            file,
            scores=C.values,
            positions=C["pos_i"].values,
            residues=C["residue_i"].values.astype(str),
            model=str(C.attrs.get("model", "")),
            sequence=str(C.attrs.get("sequence", "")),
        )


register_format(Format("contacts", ".npz", "the map as numpy arrays", write_map))
