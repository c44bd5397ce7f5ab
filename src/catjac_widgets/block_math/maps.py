"""Corrections of a square map of block norms; plain numpy, no labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def average_product_corrected(values: np.ndarray) -> np.ndarray:
    """Subtract the product of the margins over the sum: C_ij − (Σ_k C_ik)(Σ_k C_kj) / ΣC.

    Parameters
    ----------
    values
        float64 (n, n); the diagonal counts as it is.

    Returns
    -------
    numpy.ndarray
        float64 (n, n); zeros where ΣC = 0.

    References
    ----------
    Dunn, Wahl & Gloor (2008), Mutual information without the influence of phylogeny or entropy dramatically
    improves residue contact prediction, Bioinformatics 24:333.
    """
    total = values.sum()
    if total == 0.0:
        return np.zeros_like(values)
    return values - values.sum(axis=1, keepdims=True) * values.sum(axis=0, keepdims=True) / total


def zero_diagonal(values: np.ndarray) -> np.ndarray:
    """Return a map (n, n) with its diagonal set to 0, where that is not NaN."""
    made = values.copy()
    diagonal = np.einsum("ii->i", made)
    diagonal[~np.isnan(diagonal)] = 0.0
    return made


def without_singular(values: np.ndarray, count: int) -> np.ndarray:
    """Take the `count` largest singular components out of a map (n, n), whatever sign they carry."""
    left, sizes, right = np.linalg.svd(values)
    return (left[:, count:] * sizes[count:]) @ right[count:]


def over_diagonal(values: np.ndarray) -> np.ndarray:
    """Divide C_ij by sqrt(C_ii C_jj), none of which may be 0; a map (n, n) of zeros stays so."""
    if not values.any():
        return values
    scale = np.sqrt(np.diagonal(values))
    return values / np.outer(scale, scale)


def over_finite(values: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Apply a function of a map to the residues that have values; rows and columns that are NaN stay so."""
    kept = ~np.isnan(values).all(axis=1)
    made = np.full_like(values, np.nan)
    made[np.ix_(kept, kept)] = function(values[np.ix_(kept, kept)])
    return made
