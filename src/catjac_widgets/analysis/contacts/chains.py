"""What maps of several chains say about contacts between them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from catjac_widgets.analysis.benchmark.precision import scored_pairs
from catjac_widgets.errors import JacobianError, UsageError

if TYPE_CHECKING:
    import pandas as pd


def chain_block(C: xr.DataArray, first: str, second: str) -> xr.DataArray:
    """Cut the block of two chains out of a map of several.

    The map stays as it was centred and corrected: over all chains together, which is what makes its blocks
    comparable.

    Parameters
    ----------
    C
        Map over several chains, dims (pos_i, pos_j), for instance ``contacts(J)`` of "AAA:BBB".
    first, second
        Names of chains.

    Returns
    -------
    xr.DataArray
        Dims (pos_i, pos_j): residues of `first` by residues of `second`, with their labels.

    Raises
    ------
    JacobianError
        If C does not say to which chain its residues belong, or has no such chain.
    """
    names = _chains(C)
    for name in (first, second):
        if name not in names:
            raise JacobianError(f"The map has no chain {name!r}; it has {', '.join(dict.fromkeys(names))}.")
    belongs = np.array(names)
    block = C.transpose("pos_i", "pos_j").isel(
        pos_i=np.flatnonzero(belongs == first), pos_j=np.flatnonzero(belongs == second)
    )
    return block.assign_attrs(C.attrs)


def inter_chain_precision(C: xr.DataArray, truth: Any, counts: Iterable[int] = (10, 20)) -> pd.DataFrame:
    """Share of true contacts among the best-scoring pairs of residues of different chains.

    Parameters
    ----------
    C
        Map over several chains, dims (pos_i, pos_j). Pairs without a score are left out.
    truth
        As of `catjac.precision_at_l`: a `Structure` of the complex, or a map of contacts. Pairs of which a
        residue is not resolved are left out.
    counts
        How many pairs.

    Returns
    -------
    pandas.DataFrame
        One row a count: `precision` (pairs that do not exist count as misses), `pairs` and `contacts` (all
        there are between chains), `random`, the share of contacts among all pairs.

    Raises
    ------
    JacobianError, StructureError
        If C has one chain, or the truth does not fit it.
    UsageError
        For a count below 1.
    """
    import pandas as pd

    wanted = [int(count) for count in counts]
    if not wanted or min(wanted) < 1:
        raise UsageError("counts are numbers of pairs, 1 or more; give for instance (10, 20).")
    if len(set(_chains(C))) < 2:
        raise JacobianError("The map has one chain; give the sequence as 'AAA:BBB' to have two.")
    # Residues of different chains are infinitely far apart along the sequence.
    scored = scored_pairs(C, truth, separation=math.inf)
    return pd.DataFrame(
        {
            "precision": [scored.precision(count) for count in wanted],
            "pairs": len(scored.hits),
            "contacts": int(scored.hits.sum()),
            "random": float(scored.hits.mean()) if len(scored.hits) else float("nan"),
        },
        index=pd.Index(wanted, name="best"),
    )


def _chains(C: xr.DataArray) -> list[str]:
    if set(C.dims) != {"pos_i", "pos_j"} or "chain_i" not in C.coords:
        raise JacobianError("A map with the axes pos_i and pos_j and the label chain_i is needed here.")
    return [str(name) for name in C["chain_i"].values]
