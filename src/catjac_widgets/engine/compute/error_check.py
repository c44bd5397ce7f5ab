"""How far approximate rows are from exact ones, measured on a few rows of the very protein."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.engine.compute.sweep import batches

if TYPE_CHECKING:
    from catjac_widgets.engine.plans.jacobian import Plan

#: Fewer rows than this are not worth a sample.
FEWEST_ROWS = 64

#: The share of the rows that is computed once more, exactly.
LARGEST_SHARE = 0.02


def sampled_rows(rows: list[int]) -> list[int]:
    """Choose rows to compute exactly: at most 2 %, evenly spread, none of fewer than 64."""
    if len(rows) < FEWEST_ROWS:
        return []
    number = max(1, int(LARGEST_SHARE * len(rows)))
    return [rows[(2 * k + 1) * len(rows) // (2 * number)] for k in range(number)]


def estimated_error(
    exact: Any, plan: Plan, sample: list[int], row: Callable[[int], np.ndarray], batch_size: int
) -> Iterator[float | None]:
    """Compare rows with exact ones, stopping between batches.

    Parameters
    ----------
    exact
        The exact runner of the same input.
    plan
        Whose rows they are.
    sample
        0-based positions to compare.
    row
        Gives the approximate row (A_in, L, A_out) of a position.
    batch_size
        Sequences a batch.

    Yields
    ------
    None between batches, and at last the root of the squared differences' sum over that of the squared exact
    values, without a residue's effect on itself.
    """
    difference = total = 0.0
    for made in batches(exact, plan, sample, batch_size):
        for index, wanted in made or ():
            others = np.arange(plan.length) != index
            exactly = wanted[:, others].astype(np.float64)
            difference += float(np.square(row(index)[:, others] - exactly).sum())
            total += float(np.square(exactly).sum())
        yield None
    yield float(np.sqrt(difference / total)) if total > 0 else 0.0
