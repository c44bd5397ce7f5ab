"""A Jacobian against couplings read off an alignment: do they say the same, entry by entry."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from catjac_widgets.analysis import labels
from catjac_widgets.analysis.contacts.operations import centre, symmetrise
from catjac_widgets.analysis.couplings.closed_form import inverse_covariance, mean_field
from catjac_widgets.analysis.couplings.coupling_contacts import coupling_contacts
from catjac_widgets.errors import CatjacError, JacobianError, SequenceError, UsageError
from catjac_widgets.language_models.potts.parameters import PottsParameters
from catjac_widgets.progress import with_progress
from catjac_widgets.proteins.alignments import read_alignment

if TYPE_CHECKING:
    import pandas as pd

#: Cut-offs in units of σ.
CUTOFFS = (0.0, 1.0, 2.0, 3.0, 4.0)

Couplings = Literal["inverse_covariance", "mean_field", "potts"]


def couplings_entries(
    J: xr.DataArray, parameters: PottsParameters, *, pairs: int | None = None, separation: int = 1
) -> xr.Dataset:
    """Lay J's entries beside couplings, over the best-coupled pairs of residues.

    Pairs i < j are ranked by the couplings' own contact map; J is centred over all four axes and symmetrised.

    Parameters
    ----------
    J
        Full Jacobian of the query, every row there.
    parameters
        Couplings over the query's columns (`inverse_covariance`, `fit_potts`, `mean_field`); the gap is left
        out.
    pairs
        How many pairs; L, the number of columns, by default.
    separation
        Smallest j − i.

    Returns
    -------
    xr.Dataset
        `jacobian` and `couplings`, float64, dims (pair, aa_i, aa_j), best pair first, with `pos_i` < `pos_j`
        (1-based) and `score` by pair. `attrs["sigma"]` is the root mean square of the couplings, NaN without
        pairs.

    Raises
    ------
    JacobianError
        If J is partial, or of another sequence than the couplings.
    """
    J = labels.check_axes(J)
    if J.sizes["pos_in"] != J.sizes["pos_out"]:
        raise JacobianError(
            f"J has {J.sizes['pos_in']} rows of {J.sizes['pos_out']} residues; give one with every row."
        )
    residues = labels.sequence_of(J).residues
    try:
        parameters = parameters.of_query(residues)
    except SequenceError as error:
        raise JacobianError(
            f"J is of another sequence than the couplings' query; give both of the same. {error}"
        ) from error
    labels.usable_positions(J, allow_partial=False)
    letters = [letter for letter in parameters.residue_letters if letter in labels.letters(J, "aa_out")]
    centred = symmetrise(centre(J)).sel(aa_in=letters, aa_out=letters).values
    keep = [parameters.letters.index(letter) for letter in letters]
    place = np.array(parameters.columns)
    scores = coupling_contacts(parameters).values[np.ix_(place, place)]
    first, second = np.triu_indices(len(place), 1)
    apart = place[second] - place[first] >= separation
    first, second = first[apart], second[apart]
    best = np.argsort(-scores[first, second], kind="stable")[: len(place) if pairs is None else pairs]
    first, second = first[best], second[best]
    W = parameters.couplings[:, keep][:, :, :, keep][first, :, second, :].astype(np.float64)
    ours = centred[place[first], :, place[second], :].astype(np.float64)
    attrs: dict[Hashable, str | int | float] = {
        **labels.provenance(J),
        "sigma": float(np.sqrt(np.mean(W**2))) if W.size else float("nan"),
        "separation": int(separation),
    }
    dims = ("pair", "aa_i", "aa_j")
    return xr.Dataset(
        {"jacobian": (dims, ours), "couplings": (dims, W)},
        coords={
            "pos_i": ("pair", place[first] + 1),
            "pos_j": ("pair", place[second] + 1),
            "score": ("pair", scores[first, second]),
            "aa_i": letters,
            "aa_j": letters,
        },
        attrs=attrs,
    )


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
    J, parameters, pairs, separation
        See `couplings_entries`.
    cutoffs
        The n.

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

    References
    ----------
    Zhang Z. et al. (2024), Protein language models learn evolutionary statistics of interacting sequence
    motifs, PNAS 121:e2406285121, figure 4B.
    """
    from scipy.stats import spearmanr

    limits = [float(n) for n in cutoffs]
    if not limits or min(limits) < 0:
        raise UsageError("cutoffs are numbers of σ, 0 or more; give for instance (0, 1, 2).")
    entries = couplings_entries(J, parameters, pairs=pairs, separation=separation)
    W, ours = entries["couplings"].values.ravel(), entries["jacobian"].values.ravel()
    sigma = float(entries.attrs["sigma"])
    found, counts = [], []
    for n in limits:
        kept = np.abs(W) > n * sigma
        counts.append(int(kept.sum()))
        constant = counts[-1] < 3 or np.ptp(W[kept]) == 0 or np.ptp(ours[kept]) == 0
        found.append(float("nan") if constant else float(spearmanr(ours[kept], W[kept]).statistic))
    return xr.Dataset(
        {"spearman": ("cutoff", np.array(found)), "entries": ("cutoff", np.array(counts, dtype=int))},
        coords={"cutoff": limits},
        attrs={**entries.attrs, "pairs": entries.sizes["pair"]},
    )


def couplings_table(
    alignments: Iterable[str | Path],
    model: Any = "mini",
    *,
    couplings: Couplings = "inverse_covariance",
    cutoffs: Iterable[float] = CUTOFFS,
    separation: int = 1,
    progress: bool = True,
) -> pd.DataFrame:
    """Compare a model's Jacobian with the couplings of many families, each at its query.

    Parameters
    ----------
    alignments
        Paths of A3M or aligned FASTA; the first row of each is its query.
    model
        What `catjac.jacobian` takes.
    couplings
        "inverse_covariance" (the paper's), "mean_field" or "potts".
    cutoffs, separation
        See `couplings_correlation`.
    progress
        Whether to show progress bars.

    Returns
    -------
    pandas.DataFrame
        One row a family and cut-off: family, residues, sequences, neff, model, model_fingerprint (12
        letters), couplings, in_sample (whether the model is known to have learnt the family), pairs, sigma,
        cutoff, entries, spearman; and `error`, a sentence where a family could not be compared.

    Raises
    ------
    UsageError
        If there is no alignment, or `couplings` is none of the three.

    References
    ----------
    Zhang Z. et al. (2024), Protein language models learn evolutionary statistics of interacting sequence
    motifs, PNAS 121:e2406285121, figure 4B.
    """
    import pandas as pd

    paths = [Path(path) for path in alignments]
    if not paths:
        raise UsageError("There is no alignment to compare with; give the paths of A3M files.")
    if couplings not in ("inverse_covariance", "mean_field", "potts"):
        raise UsageError(f"couplings={couplings!r} is none of inverse_covariance, mean_field and potts.")
    rows: list[dict[str, Any]] = []
    for path in with_progress(paths, "J against couplings", unit="family", shown=progress):
        name = path.name.removesuffix(".gz").rsplit(".", 1)[0]
        try:
            rows += _rows_of(name, path, model, couplings, list(cutoffs), separation, progress)
        except CatjacError as error:
            # One family that cannot be compared does not end a run over many.
            rows.append({"family": name, "error": str(error)})
    return pd.DataFrame(rows)


def _rows_of(
    name: str,
    path: Path,
    model: Any,
    couplings: Couplings,
    cutoffs: list[float],
    separation: int,
    progress: bool,
) -> list[dict[str, Any]]:
    from catjac_widgets.engine.api import jacobian
    from catjac_widgets.language_models.potts.fit import fit_potts

    alignment = read_alignment(path)
    if couplings == "potts":
        parameters = fit_potts(alignment, progress=progress)
    else:
        parameters = (inverse_covariance if couplings == "inverse_covariance" else mean_field)(alignment)
    if not parameters.sequence:
        raise SequenceError(f"The query of {path.name} has gaps or unknown residues; give one without.")
    J = jacobian(parameters.sequence, model, progress=progress)
    found = couplings_correlation(J, parameters, cutoffs=cutoffs, separation=separation)
    return [
        {
            "family": name,
            "residues": parameters.length,
            "sequences": len(alignment),
            "neff": parameters.neff,
            "model": str(J.attrs.get("model", "")),
            "model_fingerprint": str(J.attrs.get("model_fingerprint", ""))[:12],
            "couplings": couplings,
            "in_sample": _in_sample(J),
            "pairs": int(found.attrs["pairs"]),
            "sigma": float(found.attrs["sigma"]),
            "cutoff": float(cutoff),
            "entries": int(found["entries"].sel(cutoff=cutoff)),
            "spearman": float(found["spearman"].sel(cutoff=cutoff)),
            "error": "",
        }
        for cutoff in found["cutoff"].values
    ]


def _in_sample(J: xr.DataArray) -> bool:
    """Whether the model is the embedded one and has learnt this family; of others nothing is known."""
    from catjac_widgets.language_models.esm.mini.familiarity import familiarity

    return J.attrs.get("model") == "mini" and familiarity(labels.sequence_of(J).residues).known
