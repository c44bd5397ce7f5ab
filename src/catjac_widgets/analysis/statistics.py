"""Rank correlations, and bootstrap intervals of means and correlations over proteins."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from catjac_widgets.errors import UsageError

#: How often a bootstrap draws, and how much of the draws an interval holds.
DRAWS = 1000
CONFIDENCE = 0.95


def mean_interval(
    values: np.ndarray, *, confidence: float = CONFIDENCE, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """Interval of the mean over proteins, each drawn as a whole.

    Parameters
    ----------
    values
        One a protein; NaN is left out.

    Returns
    -------
    low, high : float
        NaN with fewer than two values.

    Raises
    ------
    UsageError
        For a confidence that is not between 0 and 1, or fewer than one draw.

    References
    ----------
    Efron B., Tibshirani R. (1993), An Introduction to the Bootstrap, chapter 13 (percentile intervals).
    """
    check_confidence(confidence, draws)
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    if len(known) < 2:
        return float("nan"), float("nan")
    drawn = known[np.random.default_rng(seed).integers(len(known), size=(draws, len(known)))]
    return percentiles(drawn.mean(axis=1), confidence)


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Rank correlation of two lists, NaN with fewer than three known pairs or where either is constant."""
    from scipy.stats import spearmanr

    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(spearmanr(x, y).statistic)


def spearman_interval(
    x: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of Spearman's correlation over proteins.

    Parameters
    ----------
    x, y
        One value a point; points where either is NaN are left out.
    groups
        Which protein each point belongs to, int; all points of a protein are drawn together. Each point its
        own by default.

    Returns
    -------
    low, high : float
        NaN with fewer than three proteins. Draws whose points are all alike say nothing and are left out.

    Raises
    ------
    UsageError
        See `mean_interval`.

    References
    ----------
    Efron B., Tibshirani R. (1993), An Introduction to the Bootstrap, chapter 13 (percentile intervals).
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    owners = np.arange(len(x)) if groups is None else np.asarray(groups)
    known = np.isfinite(x) & np.isfinite(y)
    x, y, owners = x[known], y[known], owners[known]
    members = [np.flatnonzero(owners == owner) for owner in np.unique(owners)]

    def one(random: np.random.Generator) -> float:
        chosen = random.integers(len(members), size=len(members))
        points = np.concatenate([members[k] for k in chosen])
        return spearman(x[points], y[points])

    check_confidence(confidence, draws)
    if len(members) < 3:
        return float("nan"), float("nan")
    return percentiles(_drawn(one, draws, seed), confidence)


def percentiles(drawn: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the percentiles that leave out the same share on either side; NaN is left out."""
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def check_confidence(confidence: float, draws: int) -> None:
    """Refuse a confidence that is none, and no draws."""
    if not 0 < confidence < 1:
        raise UsageError(f"confidence={confidence!r} is not between 0 and 1; give for instance 0.95.")
    if draws < 1:
        raise UsageError(f"draws={draws!r} draws nothing; give for instance 1000.")


def _drawn(one: Callable[[np.random.Generator], float], draws: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.array([one(random) for _ in range(draws)])
