"""Blocks of a map over several chains."""

from __future__ import annotations

import numpy as np
import xarray as xr

from catjac_widgets.errors import JacobianError


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
    names = chain_names(C)
    for name in (first, second):
        if name not in names:
            raise JacobianError(f"The map has no chain {name!r}; it has {', '.join(dict.fromkeys(names))}.")
    belongs = np.array(names)
    block = C.transpose("pos_i", "pos_j").isel(
        pos_i=np.flatnonzero(belongs == first), pos_j=np.flatnonzero(belongs == second)
    )
    return block.assign_attrs(C.attrs)


def chain_names(C: xr.DataArray) -> list[str]:
    """List the chain of each residue of a map.

    Raises
    ------
    JacobianError
        If C is no map, or does not say to which chain its residues belong.
    """
    if set(C.dims) != {"pos_i", "pos_j"} or "chain_i" not in C.coords:
        raise JacobianError("A map with the axes pos_i and pos_j and the label chain_i is needed here.")
    return [str(name) for name in C["chain_i"].values]
