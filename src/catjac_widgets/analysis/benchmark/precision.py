"""Precision of one map against a structure: at L, over ranges of sequence separation, between chains."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from catjac_widgets.analysis.benchmark.intervals import Unit, precision_interval
from catjac_widgets.analysis.benchmark.scored_pairs import Pairs, scored_pairs
from catjac_widgets.analysis.contacts.chains import chain_names
from catjac_widgets.analysis.statistics import CONFIDENCE, DRAWS
from catjac_widgets.errors import JacobianError, UsageError

if TYPE_CHECKING:
    import pandas as pd

#: Sequence separations |i − j|: from the first, below the second.
RANGES: dict[str, tuple[int, int | None]] = {
    "local": (3, 6),
    "short": (6, 12),
    "medium": (12, 24),
    "long": (24, None),
}


def precision_at_l(
    C: xr.DataArray | np.ndarray,
    truth: Any,
    *,
    separation: int = 6,
    max_separation: int | None = None,
    fraction: float = 1.0,
    length: int | None = None,
    pairs: Pairs = "unordered",
) -> float:
    """Share of true contacts among the best-scoring L · `fraction` pairs.

    Parameters
    ----------
    C
        Map of scores, labelled (pos_i, pos_j) or a bare square array. Of an asymmetric map the mean of both
        directions counts.
    truth
        A `Structure` (its default contacts are taken: observed Cβ below 8 Å), a map labelled like C, or a
        square array over the same residues. Above 0 is a contact; NaN and negative values are unknown and
        left out.
    separation, max_separation
        |i − j| from `separation` up to and without `max_separation`. Residues of different chains are
        infinitely far apart.
    fraction
        1, 1/2, 1/5, …; the count is rounded down.
    length
        L; by default the number of residues of C that the structure resolves.
    pairs
        "unordered"; or "ordered": (i, j) and (j, i) are ranked as two, as Zhang et al. (2024) do, which for a
        symmetric map is the precision of the best L/2 unordered pairs.

    Returns
    -------
    float
        0 … 1. Where fewer pairs exist than are asked for, the missing ones count as misses;
        `precision_by_range` reports how many there are.

    Raises
    ------
    JacobianError, StructureError
        If C or the truth is not square or they do not fit each other.
    UsageError
        For a separation, fraction or convention that makes no sense.

    References
    ----------
    .. [1] Rao R. et al. (2021), Transformer protein language models are unsupervised structure learners, ICLR
       (ranges of separation, precision at L, AUC).
    .. [2] Zhang Z. et al. (2024), PNAS 121:e2406285121 (ordered pairs, |i − j| ≥ 24).
    """
    _check(separation, max_separation, fraction, pairs)
    scored = scored_pairs(
        C, truth, separation=separation, max_separation=max_separation, length=length, pairs=pairs
    )
    return scored.precision(int(scored.length * fraction))


def auc(
    C: xr.DataArray | np.ndarray,
    truth: Any,
    *,
    separation: int = 6,
    max_separation: int | None = None,
    length: int | None = None,
) -> float:
    """Average the precision over the best 0.1 L, 0.2 L, …, 1.0 L pairs; see `precision_at_l`."""
    _check(separation, max_separation, 1.0, "unordered")
    return scored_pairs(C, truth, separation=separation, max_separation=max_separation, length=length).auc


def precision_by_range(
    C: xr.DataArray | np.ndarray,
    truth: Any,
    *,
    length: int | None = None,
    pairs: Pairs = "unordered",
    unit: Unit = "residues",
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Tabulate the precision of a map over the usual ranges of sequence separation.

    Parameters
    ----------
    C, truth, length, pairs
        See `precision_at_l`.
    unit, confidence, draws, seed
        Of the interval, see `precision_interval`: a bootstrap over the protein's residues, or over its pairs.
        ``draws=0`` leaves it out.

    Returns
    -------
    pandas.DataFrame
        One row a range ("all" is |i − j| ≥ 6, then local, short, medium and long) with the number of pairs
        and of contacts among them, precision at L, L/2 and L/5, the interval (low, high) of the first, AUC,
        and `random`, the share of contacts. Where there are fewer pairs than places, the places left count as
        misses.

    Raises
    ------
    JacobianError, StructureError, UsageError
        As `precision_at_l` and `precision_interval`.
    """
    import pandas as pd

    _check(1, None, 1.0, pairs)
    rows = []
    for name, (first, last) in {"all": (6, None), **RANGES}.items():
        scored = scored_pairs(C, truth, separation=first, max_separation=last, length=length, pairs=pairs)
        low = high = float("nan")
        if draws:
            low, high = precision_interval(
                scored, scored.length, unit=unit, confidence=confidence, draws=draws, seed=seed
            )
        rows.append(
            {
                "range": name,
                "separation": f"{first}–{last - 1}" if last else f"≥ {first}",
                "pairs": len(scored.hits),
                "contacts": int(scored.hits.sum()),
                "precision_at_l": scored.precision(scored.length),
                "precision_at_l_half": scored.precision(scored.length // 2),
                "precision_at_l_fifth": scored.precision(scored.length // 5),
                "low": low,
                "high": high,
                "auc": scored.auc,
                "random": float(scored.hits.mean()) if len(scored.hits) else float("nan"),
            }
        )
    return pd.DataFrame(rows).set_index("range")


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
    if len(set(chain_names(C))) < 2:
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


def _check(separation: int, max_separation: int | None, fraction: float, pairs: str) -> None:
    if pairs not in ("unordered", "ordered"):
        raise UsageError(f"pairs={pairs!r} is neither 'unordered' nor 'ordered'.")
    if separation < 1 or (max_separation is not None and max_separation <= separation):
        raise UsageError(
            f"A separation from {separation} up to {max_separation} holds no pair; give 1 ≤ separation < "
            "max_separation."
        )
    if not fraction > 0:
        raise UsageError(f"fraction={fraction!r} leaves no pair; give 1, 1/2, 1/5, ….")
