"""Contact map of the couplings of a Potts model."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Literal

import numpy as np
import xarray as xr

from catjac_widgets.analysis.contacts.operations import apc, zero_diagonal
from catjac_widgets.errors import UsageError
from catjac_widgets.language_models.potts.parameters import UNKNOWN, PottsParameters
from catjac_widgets.proteins.coordinates import residue_coordinates
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Chain, Sequence


def coupling_contacts(
    parameters: PottsParameters,
    *,
    sequence: Sequence | str | None = None,
    average: Literal["all", "others"] = "all",
    gap_state: bool = False,
    name: str = "couplings",
) -> xr.DataArray:
    """Contact map of couplings: Frobenius norm over the residues' letters, zero diagonal, APC, zero diagonal.

    Parameters
    ----------
    parameters
        `fit_potts`, `mean_field`, `inverse_covariance`, or `read_potts`.
    sequence
        The query with its chains (``"KINASE:REGULATOR"``) and numbering, the whole of it where the couplings
        are of a part (files of plmc and GREMLIN); by default one chain over the residues that the couplings
        tell of, with their own numbers.
    average
        Whose mean the average product correction takes: of "all" residues, the zero of the diagonal included
        (GREMLIN, CCMpred and Zhang et al.), or of the "others" (plmc, EVcouplings), which corrects by
        L / (L − 1) as much.
    gap_state
        Whether the norm runs over the gap's state too, where the couplings have one. GREMLIN, CCMpred and
        Zhang et al. leave it out. plmc takes it in, unless it was run with ``-g``, when its
        couplings have no gap at all.
    name
        What the attribute `kind` says.

    Returns
    -------
    xr.DataArray
        float64, dims (pos_i, pos_j) over the L residues of the query; NaN where a residue has no column.

    Raises
    ------
    SequenceError
        If `sequence` is not the couplings' query, nor holds the part of it that they are of.
    UsageError
        If `average` is neither of the two.

    Notes
    -----
    These are the scores of the programs themselves, but for two things that CCMpred does to those in its
    ``.mat`` files: before the norm, each block's mean over all 21 × 21 entries is subtracted, and after the
    correction the smallest score off the diagonal is subtracted from all others, so that none is negative.
    The latter changes no ranking, but it must be undone (or the mean of both maps be subtracted) before
    scores are compared. ``average="others", gap_state=True`` gives the couplings file of plmc without
    ``-g``.

    References
    ----------
    .. [1] Kamisetty, Ovchinnikov & Baker (2013), PNAS 110:15674 (GREMLIN).
    .. [2] Seemayer, Gruber & Söding (2014), Bioinformatics 30:3128 (CCMpred); ``sum_submatrices`` and ``apc``
       of its src/util.c.
    .. [3] Hopf et al. (2017), Nature Biotechnology 35:128 (plmc); the end of its src/plm.c.
    """
    if average not in ("all", "others"):
        raise UsageError(f"average={average!r} is neither 'all' nor 'others'.")
    over = _query(parameters, sequence)
    parameters = parameters if sequence is None else parameters.of_query(over.residues)
    couplings = parameters.couplings if gap_state else parameters.without_gap()[1]
    couplings = couplings.astype(np.float64)
    norms = zero_diagonal(np.sqrt(np.einsum("iajb,iajb->ij", couplings, couplings)))
    corrected = apc(norms)
    if average == "others" and len(norms) > 1:
        corrected = norms + (corrected - norms) * len(norms) / (len(norms) - 1)
    scores = np.full((parameters.length,) * 2, np.nan)
    place = np.array(parameters.columns)
    scores[np.ix_(place, place)] = zero_diagonal(corrected)
    attrs: dict[Hashable, str | float] = {
        "kind": name,
        "sequence": str(over),
        "neff": float(parameters.neff),
        "average": average,
        "gap_state": int(gap_state),
    }
    coords = residue_coordinates(over)
    return xr.DataArray(scores, dims=("pos_i", "pos_j"), coords=coords, name="contacts", attrs=attrs)


def _query(parameters: PottsParameters, sequence: Sequence | str | None) -> Sequence:
    if sequence is not None:
        return as_sequence(sequence, letters=parameters.residue_letters + UNKNOWN)
    residues = parameters.sequence or UNKNOWN * parameters.length
    return Sequence((Chain("A", residues, parameters.numbers),))
