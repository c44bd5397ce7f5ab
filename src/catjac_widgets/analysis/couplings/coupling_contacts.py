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
from catjac_widgets.proteins.sequences import Chain, Sequence, as_sequence


def coupling_contacts(
    parameters: PottsParameters,
    *,
    sequence: Sequence | str | None = None,
    average: Literal["all", "others"] = "all",
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
        (GREMLIN and Zhang et al.), or of the "others" (plmc, EVcouplings), which corrects by
        L / (L − 1) as much.
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
    """
    if average not in ("all", "others"):
        raise UsageError(f"average={average!r} is neither 'all' nor 'others'.")
    over = _query(parameters, sequence)
    parameters = parameters if sequence is None else parameters.of_query(over.residues)
    inner = parameters.without_gap()[1].astype(np.float64)
    norms = zero_diagonal(np.sqrt(np.einsum("iajb,iajb->ij", inner, inner)))
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
    }
    coords = residue_coordinates(over)
    return xr.DataArray(scores, dims=("pos_i", "pos_j"), coords=coords, name="contacts", attrs=attrs)


def _query(parameters: PottsParameters, sequence: Sequence | str | None) -> Sequence:
    if sequence is not None:
        return as_sequence(sequence, letters=parameters.residue_letters + UNKNOWN)
    residues = parameters.sequence or UNKNOWN * parameters.length
    return Sequence((Chain("A", residues, parameters.numbers),))
