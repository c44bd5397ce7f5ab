"""A recovery as `catjac.recovery` returns it, with R that follows from the masks alone."""

from __future__ import annotations

import numpy as np
import xarray as xr

from catjac_widgets.proteins.masks import Mask


def made_up_recovery(
    length: int, fragments: list[tuple[int, int]], pattern: str, flanks: int = 8, seed: int = 0
) -> xr.Dataset:
    """Show 2 more residues a step; R is the share of the residues that are visible."""
    rng = np.random.default_rng(seed)
    masked = np.ones((1, 1, flanks, length), dtype=bool)
    for step in range(flanks):
        row = masked[0, 0, step]
        for first, last in fragments:
            row[first - 1 : last] = False
        if pattern.startswith("flanking"):
            row[max(0, fragments[0][0] - 1 - step) : fragments[0][0]] = False
            row[fragments[-1][1] - 1 : fragments[-1][1] + step] = False
        else:
            row[rng.choice(np.flatnonzero(row), 2 * step, replace=False)] = False
    visible = (~masked).sum(axis=-1)
    R = visible / length
    if pattern == "random_distant":
        R[0, 0, -2:] = np.nan
    text = ",".join(f"{first}-{last}" for first, last in fragments)
    return xr.Dataset(
        {
            "R": (("pattern", "fragment", "step"), R),
            "visible": (("pattern", "fragment", "step"), visible),
            "masked": (("pattern", "fragment", "step", "pos"), masked),
        },
        coords={"pattern": [pattern], "fragment": [text], "step": np.arange(flanks)},
    )


def runs(mask: np.ndarray) -> list[list[int]]:
    return [list(run) for run in Mask.from_array(mask).fragments]
