"""The best-scoring pairs of residues of a map, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from catjac_widgets.analysis.benchmark.scored_pairs import separations, square_scores, truth_on_map
from catjac_widgets.errors import UsageError
from catjac_widgets.input_files import shown

if TYPE_CHECKING:
    import pandas as pd


def top_contacts(
    C: xr.DataArray, count: int | None = None, separation: int = 6, *, truth: Any = None
) -> pd.DataFrame:
    """List the best-scoring pairs of residues, best first.

    Parameters
    ----------
    count
        How many; L (the residues of the map) by default.
    separation
        Smallest |i − j|; residues of different chains are infinitely far apart.
    truth
        What `precision_at_l` takes; adds the column `contact` (True, False, or None where unknown).

    Returns
    -------
    pandas.DataFrame
        residue_i, residue_j (what a person calls them), pos_i < pos_j (1-based), separation (inf between
        chains), score.

    Raises
    ------
    JacobianError
        If C bears no labels or is not square.
    UsageError
        If `count` is no whole number from 1 on, or `separation` no number from 1 on.
    """
    import pandas as pd

    _check(count, separation)

    scores, positions, chains = square_scores(C)
    apart = separations(positions, chains)
    first, second = np.triu_indices(len(positions), 1)
    kept = (apart[first, second] >= separation) & np.isfinite(scores[first, second])
    first, second = first[kept], second[kept]
    order = np.argsort(-scores[first, second], kind="stable")[: len(positions) if count is None else count]
    first, second = first[order], second[order]
    names = [str(p) for p in positions]
    if isinstance(C, xr.DataArray) and "residue_i" in C.coords:
        names = [str(name) for name in C["residue_i"].values]
    table = pd.DataFrame(
        {
            "residue_i": [names[k] for k in first],
            "residue_j": [names[k] for k in second],
            "pos_i": positions[first],
            "pos_j": positions[second],
            "separation": apart[first, second],
            "score": scores[first, second],
        },
        index=pd.RangeIndex(1, len(first) + 1, name="rank"),
    )
    if not np.isinf(table["separation"]).any():
        table["separation"] = table["separation"].astype(int)
    if truth is not None:
        known = truth_on_map(C, truth, positions)[first, second]
        table["contact"] = pd.array([None if np.isnan(v) else bool(v > 0) for v in known], dtype="boolean")
    return table


def _check(count: Any, separation: Any) -> None:
    number = isinstance(count, int | np.integer) and not isinstance(count, bool)
    if count is not None and (not number or count < 1):
        raise UsageError(f"{shown(repr(count))} is not a number of pairs; leave it out or give 1 or more.")
    number = isinstance(separation, int | float | np.number) and not isinstance(separation, bool)
    if not number or not separation >= 1:
        raise UsageError(
            f"separation={shown(repr(separation))} is no distance along the sequence; give 1 or more."
        )
