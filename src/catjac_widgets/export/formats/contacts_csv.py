"""The pairs of a contact map, best first, as a CSV table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from catjac_widgets.export.format_table import Format, register_format

if TYPE_CHECKING:
    import xarray as xr


def write_pairs(C: xr.DataArray, path: Path, *, top: int | None = None, separation: int = 6) -> None:
    """Write the best pairs, one a line.

    Parameters
    ----------
    top
        How many; all by default.
    separation
        The least |i − j|.

    Raises
    ------
    UsageError
        If there cannot be so many, or so far apart.
    """
    from catjac_widgets.analysis.benchmark.top_contacts import top_contacts

    top_contacts(C, C.size if top is None else top, separation).to_csv(path, index=False)


register_format(Format("contacts", ".csv", "table of pairs, best first", write_pairs))
