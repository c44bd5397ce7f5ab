"""Bootstrap intervals of the precision of one map."""

from __future__ import annotations

from typing import Literal

import numpy as np

from catjac_widgets.analysis.benchmark.scored_pairs import Scored
from catjac_widgets.analysis.statistics import CONFIDENCE, DRAWS, check_confidence, percentiles
from catjac_widgets.errors import UsageError

Unit = Literal["residues", "pairs"]

#: Draws that are ranked together: more would leave the processor's cache.
_AT_ONCE = 50


def precision_interval(
    scored: Scored,
    count: int,
    *,
    unit: Unit = "residues",
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of the precision of one map's `count` best pairs.

    In each draw the pairs are ranked anew with the weight that they were drawn with, until `count` is full;
    what is lacking counts as misses. Tied pairs share the mean of their verdicts.

    Parameters
    ----------
    unit
        "residues": residues are drawn, and a pair weighs the product of its two residues' numbers, because
        pairs of one residue are no independent evidence. "pairs": pairs are drawn, as if they were.

    Returns
    -------
    low, high : float
        NaN without a pair, or for a count below 1.

    Raises
    ------
    UsageError
        For another unit; see also `mean_interval`.

    References
    ----------
    Efron B., Tibshirani R. (1993), An Introduction to the Bootstrap, chapter 13 (percentile intervals).
    """
    check_confidence(confidence, draws)
    if unit not in ("residues", "pairs"):
        raise UsageError(f"unit={unit!r} is neither 'residues' nor 'pairs'.")
    if count < 1 or not len(scored.scores):
        return float("nan"), float("nan")
    order, hits = ranked(scored)
    # Beyond this rank no draw gets.
    head = min(len(order), 4 * count + 1000)
    order, hits = order[:head], hits[:head]
    random = np.random.default_rng(seed)
    if unit == "residues":
        residues, place = np.unique(np.concatenate([scored.first, scored.second]), return_inverse=True)
        first, second = place[: len(scored.first)][order], place[len(scored.first) :][order]
        number = len(residues)
    found = []
    for begin in range(0, draws, _AT_ONCE):
        some = min(_AT_ONCE, draws - begin)
        if unit == "residues":
            drawn = random.integers(number, size=(some, number)) + number * np.arange(some)[:, None]
            times = np.bincount(drawn.ravel(), minlength=some * number).reshape(some, number).astype(float)
            weights = times[:, first] * times[:, second]
        else:
            # Drawing all pairs with replacement gives each a number that is Poisson with mean 1, nearly.
            weights = random.poisson(1.0, size=(some, head))
        found.append(weighted_precision(hits, weights, count))
    return percentiles(np.concatenate(found), confidence)


def ranked(scored: Scored) -> tuple[np.ndarray, np.ndarray]:
    """Order of the pairs, best first, and the verdicts in that order, tied pairs sharing theirs (float64)."""
    order = np.argsort(-scored.scores, kind="stable")
    _, group = np.unique(-scored.scores[order], return_inverse=True)
    total = np.bincount(group, weights=scored.hits[order].astype(np.float64))
    return order, (total / np.bincount(group))[group]


def weighted_precision(hits: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """Precision of the first `count` places when each pair in turn takes as many as it weighs.

    Weights have shape (..., P), and the precisions that of their first axes.
    """
    before = np.cumsum(weights, axis=-1) - weights
    taken = np.minimum(np.maximum(count - before, 0), weights)
    return taken @ hits / count
