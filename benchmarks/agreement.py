"""How near rows, and whole maps, come to those of the plain loop."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr

#: Pairs nearer along the chain than this count in no comparison of maps.
APART = 6


def of_rows(found: dict[int, np.ndarray], plain: dict[int, np.ndarray]) -> dict[str, float]:
    """Compare rows (A, L, A), by position.

    Returns
    -------
    dict
        "largest_error", in logits, and "relative_error": the root of the squared differences' sum over that
        of the plain rows, without what a residue does to itself.
    """
    worst = error = total = 0.0
    for position, row in found.items():
        others = np.arange(row.shape[1]) != position
        difference = row - plain[position]
        worst = max(worst, float(np.abs(difference).max()))
        error += float(np.square(difference[:, others]).sum())
        total += float(np.square(plain[position][:, others]).sum())
    return {"largest_error": worst, "relative_error": (error / total) ** 0.5}


def contact_map(jacobian: np.ndarray) -> np.ndarray:
    """Contact map (L, L) of (L, A, L, A): centred on every axis, symmetrised, norms, APC (Zhang et al.)."""
    centred = jacobian.astype(np.float64)
    for axis in range(4):
        centred -= centred.mean(axis=axis, keepdims=True)
    centred = (centred + centred.transpose(2, 3, 0, 1)) / 2
    norms = np.sqrt(np.square(centred).sum(axis=(1, 3)))
    np.fill_diagonal(norms, 0.0)
    return norms - np.outer(norms.sum(axis=1), norms.sum(axis=0)) / norms.sum()


def of_maps(found: np.ndarray, plain: np.ndarray) -> dict[str, float]:
    """Compare the contact maps of two Jacobians (L, A, L, A): rank correlation, and the best L pairs."""
    length = len(plain)
    far = np.triu_indices(length, APART)
    ours, theirs = (contact_map(jacobian)[far] for jacobian in (found, plain))
    best = [set(np.argsort(-values)[:length]) for values in (ours, theirs)]
    return {
        "map_spearman": float(spearmanr(ours, theirs)[0]),
        "top_L_overlap": len(best[0] & best[1]) / length,
    }
