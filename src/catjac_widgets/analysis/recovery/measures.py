"""How much of a block of contacts came back, where a curve jumps, and how much had to be shown for that."""

from __future__ import annotations

import numpy as np

from catjac_widgets.errors import UsageError

#: A block is recovered if R is larger than this (set for probabilities of a contact head).
RECOVERED = 0.5


def recovered_fraction(original: np.ndarray, masked: np.ndarray) -> float:
    """Compute R = Σ(O ⊙ M) / Σ(O ⊙ O) of a block.

    Parameters
    ----------
    original, masked
        The same block of the unmasked and of the masked map, any equal shape. Entries that are NaN in either
        are left out.

    Returns
    -------
    float
        1 where nothing was lost, 0 where nothing is left; may exceed 1, and is not symmetric in its
        arguments. NaN where the unmasked block is 0 throughout, or nothing is left to compare.

    References
    ----------
    Zhang Z. et al. (2024), Protein language models learn evolutionary statistics of interacting sequence
    motifs, PNAS 121:e2406285121; ``norm_sum_mult`` of the
    authors' code.
    """
    before, after = _together(original, masked)
    scale = float((before * before).sum())
    return float((before * after).sum()) / scale if scale > 0 else float("nan")


def block_cosine(original: np.ndarray, masked: np.ndarray) -> float:
    """Compute the cosine of two blocks, Σ(O ⊙ M) / sqrt(Σ O² Σ M²); NaN where one is 0 throughout."""
    before, after = _together(original, masked)
    scale = float(np.sqrt((before * before).sum() * (after * after).sum()))
    return float((before * after).sum()) / scale if scale > 0 else float("nan")


def _together(original: np.ndarray, masked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    before, after = np.asarray(original, dtype=np.float64), np.asarray(masked, dtype=np.float64)
    if before.shape != after.shape:
        raise UsageError(
            f"The blocks have the shapes {before.shape} and {after.shape}; take the same residues of both."
        )
    known = np.isfinite(before) & np.isfinite(after)
    return before[known], after[known]
