"""Linear baselines: couplings read off an alignment in closed form, and the contact maps of couplings."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from catjac_widgets.errors import UsageError
from catjac_widgets.language_models.potts.parameters import PottsParameters
from catjac_widgets.proteins.alignments import Alignment, as_alignment

#: Share of uniform letters in the frequencies of mean-field direct coupling analysis.
PSEUDOCOUNT = 0.5

#: Shrinkage of the covariance: this over √N is added to its diagonal.
SHRINKAGE = 4.5


def mean_field(
    alignment: Alignment | str | Path, *, pseudocount: float = PSEUDOCOUNT, identity: float = 0.8
) -> PottsParameters:
    """Couplings of mean-field direct coupling analysis: minus the inverse of the connected correlations.

    Parameters
    ----------
    alignment
        N rows, L columns; all columns are used, and a gap is a letter.
    pseudocount
        λ: frequencies are (1 − λ) times those seen plus λ times uniform ones.
    identity
        Rows at least so alike share their weight.

    Returns
    -------
    PottsParameters
        In the zero-sum gauge; fields are 0.

    Raises
    ------
    UsageError
        If the pseudocount is not in (0, 1].

    References
    ----------
    Morcos F. et al. (2011), Direct-coupling analysis of residue coevolution captures native contacts across
    many protein families, PNAS 108:E1293.
    """
    used = as_alignment(alignment)
    weights = used.weights(identity)
    L = used.length
    if not 0 < pseudocount <= 1:
        raise UsageError(f"pseudocount={pseudocount!r} is not in (0, 1]; 0.5 is usual.")
    q = len(used.letters)
    seen, together = _frequencies(used, weights / weights.sum())
    single = (1 - pseudocount) * seen + pseudocount / q
    double = (1 - pseudocount) * together + pseudocount / q**2
    blocks = double.reshape(L, q, L, q)
    for i in range(L):
        # Within a column, two letters never occur together.
        blocks[i, :, i, :] = np.diag(single.reshape(L, q)[i])
    connected = double - np.outer(single, single)
    # The last state follows from the others.
    kept = np.arange(L * q).reshape(L, q)[:, : q - 1].ravel()
    W = np.zeros((L, q, L, q))
    W[:, : q - 1, :, : q - 1] = -_inverse(connected[np.ix_(kept, kept)]).reshape(L, q - 1, L, q - 1)
    W[np.arange(L), :, np.arange(L), :] = 0
    return _parameters(used, W, float(weights.sum())).zero_sum()


def inverse_covariance(alignment: Alignment | str | Path, *, shrinkage: float = SHRINKAGE) -> PottsParameters:
    """Couplings as minus the inverse of the shrunk covariance of one-hot letters; positive is attraction.

    ``−inv(cov(X) + shrinkage / √N · 1)`` of the unweighted rows (ddof 1), the gap being a letter. Of a single
    row the covariance is 0.

    Raises
    ------
    UsageError
        If the shrinkage is not above 0.

    References
    ----------
    Zhang Z. et al. (2024), Protein language models learn evolutionary statistics of interacting sequence
    motifs, PNAS 121:e2406285121; sign as in the authors' code
    (zzhangzzhang/pLMs-interpretability), which ColabBio leaves out.
    """
    used = as_alignment(alignment)
    N, L = used.states.shape
    q = len(used.letters)
    if not shrinkage > 0:
        raise UsageError(f"shrinkage={shrinkage!r} is not above 0; 4.5 is usual.")
    single, double = _frequencies(used, np.full(N, 1 / N))
    covariance = (double - np.outer(single, single)) * (N / max(1, N - 1))
    W = -_inverse(covariance + shrinkage / np.sqrt(N) * np.eye(L * q)).reshape(L, q, L, q)
    W[np.arange(L), :, np.arange(L), :] = 0
    return _parameters(used, W, used.effective_number())


def _frequencies(used: Alignment, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies of letters (L q,) and of pairs of letters (L q, L q) of rows that count as `share` each."""
    from scipy.sparse import csr_array

    N, L = used.states.shape
    q = len(used.letters)
    places = (used.states + np.arange(L) * q).ravel()
    one_hot = csr_array((np.ones(N * L), places, np.arange(0, N * L + 1, L)), shape=(N, L * q))
    # Rows hold L ones among L q numbers: the sparse product has a fraction of the dense one's terms.
    weighted = csr_array((np.repeat(share, L), places, one_hot.indptr), shape=one_hot.shape)
    single = np.bincount(places, weights=np.repeat(share, L), minlength=L * q)
    return single, (weighted.T @ one_hot).toarray()


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Invert a symmetric positive definite matrix by its Cholesky factor."""
    from scipy.linalg.lapack import dpotrf, dpotri

    factor, failed = dpotrf(matrix, lower=1)
    lower, missing = dpotri(factor, lower=1) if not failed else (factor, 1)
    if failed or missing:
        raise UsageError(
            "The alignment's correlations cannot be inverted; give a larger pseudocount or shrinkage."
        )
    lower = np.tril(lower)
    inverse: np.ndarray = lower + np.tril(lower, -1).T
    return inverse


def _parameters(used: Alignment, W: np.ndarray, neff: float) -> PottsParameters:
    query = used.query if used.letters[used.gap] not in used.query else ""
    return PottsParameters(np.zeros(W.shape[:2]), W, used.letters, query, neff=neff)
