"""Corrections of a square map of block norms; plain numpy, no labels, no missing values."""

from __future__ import annotations

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
    Dunn, Wahl & Gloor (2008), Bioinformatics 24:333.
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
    """Take the `count` largest singular components out of a map (n, n)."""
    left, sizes, right = np.linalg.svd(values)
    return (left[:, count:] * sizes[count:]) @ right[count:]
