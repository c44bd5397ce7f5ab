"""A Jacobian against couplings read off an alignment: do they say the same, entry by entry."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
import xarray as xr

from catjac_widgets.analysis import labels
from catjac_widgets.analysis.baselines import coupling_contacts
from catjac_widgets.analysis.operations import centre, symmetrise
from catjac_widgets.errors import JacobianError, UsageError
from catjac_widgets.language_models.potts_parameters import PottsParameters

#: Cut-offs in units of σ.
CUTOFFS = (0.0, 1.0, 2.0, 3.0, 4.0)


def couplings_correlation(
    J: xr.DataArray,
    parameters: PottsParameters,
    *,
    cutoffs: Iterable[float] = CUTOFFS,
    pairs: int | None = None,
    separation: int = 1,
) -> xr.Dataset:
    """Compute Spearman's correlation of J's entries with couplings, over the best-coupled pairs of residues.

    Pairs i < j are ranked by the couplings' own contact map; of the best L, with σ the root mean square of
    their entries, those larger than n σ in size are kept, and their rank correlation with J's (centred over
    all four axes, symmetrised) is taken.

    Parameters
    ----------
    J
        Full Jacobian of the query, every row there.
    parameters
        Couplings over the query's columns (`inverse_covariance`, `fit_potts`, `mean_field`); the gap is left
        out.
    cutoffs
        The n.
    pairs
        How many pairs; L, the number of columns, by default.
    separation
        Smallest j − i.

    Returns
    -------
    xr.Dataset
        By `cutoff`: spearman (NaN with fewer than three entries, or where either side is constant) and
        entries, how many were kept. `attrs`: sigma, pairs (as many as there are).

    Raises
    ------
    JacobianError
        If J is partial, or of another sequence than the couplings.
    UsageError
        For a negative cut-off.

    Source: Zhang et al. (2024), figure 4B.
    """
    from scipy.stats import spearmanr

    limits = [float(n) for n in cutoffs]
    if not limits or min(limits) < 0:
        raise UsageError("cutoffs are numbers of σ, 0 or more; give for instance (0, 1, 2).")
    J = labels.check_axes(J)
    if J.sizes["pos_in"] != parameters.length or J.sizes["pos_out"] != parameters.length:
        raise JacobianError(
            f"J is of {J.sizes['pos_out']} residues, the couplings of {parameters.length}; give both of the "
            "query."
        )
    residues = labels.sequence_of(J).residues
    if parameters.sequence and residues != parameters.sequence:
        raise JacobianError("J is of another sequence than the couplings' query; give both of the same.")
    labels.usable_positions(J, allow_partial=False)
    letters = [letter for letter in parameters.residue_letters if letter in labels.letters(J, "aa_out")]
    centred = symmetrise(centre(J)).sel(aa_in=letters, aa_out=letters).values
    keep = [parameters.letters.index(letter) for letter in letters]
    place = np.array(parameters.columns)
    scores = coupling_contacts(parameters).values[np.ix_(place, place)]
    first, second = np.triu_indices(len(place), 1)
    apart = place[second] - place[first] >= separation
    first, second = first[apart], second[apart]
    count = len(place) if pairs is None else pairs
    best = np.argsort(-scores[first, second], kind="stable")[:count]
    first, second = first[best], second[best]
    W = parameters.couplings[:, keep][:, :, :, keep][first, :, second, :].astype(np.float64).ravel()
    ours = centred[place[first], :, place[second], :].astype(np.float64).ravel()
    sigma = float(np.sqrt(np.mean(W**2))) if len(W) else float("nan")
    found, entries = [], []
    for n in limits:
        kept = np.abs(W) > n * sigma
        entries.append(int(kept.sum()))
        constant = entries[-1] < 3 or np.ptp(W[kept]) == 0 or np.ptp(ours[kept]) == 0
        found.append(float("nan") if constant else float(spearmanr(ours[kept], W[kept]).statistic))
    attrs: dict[Hashable, str | int | float] = {**labels.provenance(J), "sigma": sigma, "pairs": len(best)}
    return xr.Dataset(
        {"spearman": ("cutoff", np.array(found)), "entries": ("cutoff", np.array(entries, dtype=int))},
        coords={"cutoff": limits},
        attrs={**attrs, "separation": int(separation)},
    )
