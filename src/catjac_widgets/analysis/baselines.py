"""Linear baselines: couplings read off an alignment in closed form, and the contact maps of couplings."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

import numpy as np
import xarray as xr

from catjac_widgets.alignments import Alignment, as_alignment
from catjac_widgets.analysis.operations import apc, zero_diagonal
from catjac_widgets.language_models.potts_parameters import PottsParameters
from catjac_widgets.sequences import Chain, Sequence
from catjac_widgets.structures.residue_labels import residue_coordinates

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

    Source: Morcos et al. (2011), PNAS 108:E1293.
    """
    used = as_alignment(alignment)
    weights = used.weights(identity)
    N, L = used.states.shape
    q = len(used.letters)
    one_hot = (used.states[:, :, None] == np.arange(q)).reshape(N, L * q).astype(np.float64)
    share = weights / weights.sum()
    single = (1 - pseudocount) * share @ one_hot + pseudocount / q
    double = (1 - pseudocount) * (one_hot * share[:, None]).T @ one_hot + pseudocount / q**2
    blocks = double.reshape(L, q, L, q)
    for i in range(L):
        # Within a column, two letters never occur together.
        blocks[i, :, i, :] = np.diag(single.reshape(L, q)[i])
    connected = double - np.outer(single, single)
    # The last state follows from the others.
    kept = np.arange(L * q).reshape(L, q)[:, : q - 1].ravel()
    W = np.zeros((L, q, L, q))
    W[:, : q - 1, :, : q - 1] = -np.linalg.inv(connected[np.ix_(kept, kept)]).reshape(L, q - 1, L, q - 1)
    W[np.arange(L), :, np.arange(L), :] = 0
    return _parameters(used, W, float(weights.sum())).zero_sum()


def inverse_covariance(alignment: Alignment | str | Path, *, shrinkage: float = SHRINKAGE) -> PottsParameters:
    """Couplings as minus the inverse of the shrunk covariance of one-hot letters; positive is attraction.

    ``−inv(cov(X) + shrinkage / √N · 1)`` of the unweighted rows (ddof 1), the gap being a letter. Of a single
    row the covariance is 0.

    Source: the authors' code of Zhang et al. (2024), sign included.
    """
    used = as_alignment(alignment)
    N, L = used.states.shape
    q = len(used.letters)
    one_hot = (used.states[:, :, None] == np.arange(q)).reshape(N, L * q).astype(np.float64)
    covariance = np.cov(one_hot, rowvar=False) if N > 1 else np.zeros((L * q, L * q))
    W = -np.linalg.inv(covariance + shrinkage / np.sqrt(N) * np.eye(L * q)).reshape(L, q, L, q)
    W[np.arange(L), :, np.arange(L), :] = 0
    return _parameters(used, W, used.effective_number())


def coupling_contacts(parameters: PottsParameters, *, name: str = "couplings") -> xr.DataArray:
    """Contact map of couplings: Frobenius norm over the residues' letters, zero diagonal, APC, zero diagonal.

    Returns
    -------
    xr.DataArray
        float64, dims (pos_i, pos_j) over the L residues of the query; NaN where a residue has no column.
    """
    keep = [parameters.letters.index(letter) for letter in parameters.residue_letters]
    inner = parameters.couplings[:, keep][:, :, :, keep].astype(np.float64)
    norms = np.sqrt(np.einsum("iajb,iajb->ij", inner, inner))
    scores = np.full((parameters.length,) * 2, np.nan)
    place = np.array(parameters.columns)
    scores[np.ix_(place, place)] = zero_diagonal(apc(zero_diagonal(norms)))
    sequence = Sequence((Chain("A", parameters.sequence or "X" * parameters.length),))
    attrs: dict[Hashable, str | float] = {
        "kind": name,
        "sequence": str(sequence),
        "neff": float(parameters.neff),
    }
    coords = residue_coordinates(sequence)
    return xr.DataArray(scores, dims=("pos_i", "pos_j"), coords=coords, name="contacts", attrs=attrs)


def _parameters(used: Alignment, W: np.ndarray, neff: float) -> PottsParameters:
    query = used.query if used.letters[used.gap] not in used.query else ""
    return PottsParameters(np.zeros(W.shape[:2]), W, used.letters, query, neff=neff)
