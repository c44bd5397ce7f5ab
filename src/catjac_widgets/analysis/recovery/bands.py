"""Means over segments with a band that says how certain they are."""

from __future__ import annotations

import numpy as np

from catjac_widgets.analysis.statistics import DRAWS

BANDS = ("bootstrap", "wilson")


def bootstrap(values: np.ndarray, owner: np.ndarray, confidence: float, seed: int) -> dict[str, np.ndarray]:
    """Average over segments, with a percentile bootstrap that draws proteins with all their segments.

    Parameters
    ----------
    values
        (segments, steps), NaN where a segment has no such step.
    owner
        Int (segments,): which protein each belongs to, 0, 1, ….

    Returns
    -------
    dict
        By step: value, NaN without a segment; low and high, NaN with fewer than two proteins; segments and
        proteins, how many are behind it.

    References
    ----------
    Efron B., Tibshirani R. (1993), An Introduction to the Bootstrap, chapter 13.
    """
    count = int(owner.max()) + 1 if len(owner) else 0
    there = np.isfinite(values)
    sums, numbers = np.zeros((count, values.shape[1])), np.zeros((count, values.shape[1]))
    np.add.at(sums, owner, np.where(there, values, 0.0))
    np.add.at(numbers, owner, there)
    segments, proteins = there.sum(axis=0), (numbers > 0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        value = sums.sum(axis=0) / segments
    low, high = np.full_like(value, np.nan), np.full_like(value, np.nan)
    enough = proteins > 1
    if enough.any():
        weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=DRAWS)
        with np.errstate(invalid="ignore"):
            drawn = (weights @ sums[:, enough]) / (weights @ numbers[:, enough])
        tail = (1 - confidence) / 2
        # A draw may miss all proteins behind a point; it says nothing of that point.
        low[enough], high[enough] = np.nanquantile(drawn, [tail, 1 - tail], axis=0)
    return {"value": value, "low": low, "high": high, "segments": segments, "proteins": proteins}


def wilson(values: np.ndarray, owner: np.ndarray, confidence: float) -> dict[str, np.ndarray]:
    """Give the share of segments at 100 (the others are at 0) in per cent, with Wilson's score interval.

    Parameters and result as of `bootstrap`; segments count as independent, and one is enough for a band.

    References
    ----------
    Wilson E. B. (1927), Probable inference, the law of succession, and statistical inference, Journal of the
    American Statistical Association 22:209.
    """
    from scipy.stats import norm

    there = np.isfinite(values)
    n = there.sum(axis=0)
    z = norm.ppf(0.5 + confidence / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(there, values, 0.0).sum(axis=0) / (100 * n)
        middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    proteins = np.array([len(set(owner[column])) for column in there.T], dtype=int)
    return {
        "value": 100 * share,
        "low": 100 * (middle - half),
        "high": 100 * (middle + half),
        "segments": n,
        "proteins": proteins,
    }
