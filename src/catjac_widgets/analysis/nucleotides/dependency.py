"""Nucleotide dependencies: how far a substitution moves the odds of any letter elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from catjac_widgets.analysis import labels
from catjac_widgets.analysis.contacts.maps import refuse_centred
from catjac_widgets.analysis.probabilities import log_softmax
from catjac_widgets.errors import JacobianError, UsageError

#: Added to every probability, so that none is 0.
_LEAST = 1e-10


def dependency(
    what: Any,
    model: Any = None,
    *,
    cache: bool = True,
    unknown: Mapping[str, str] | None = None,
    progress: bool = True,
) -> xr.DataArray:
    """Map of nucleotide dependencies: D_ij = max over a ≠ w_i and b of |Δ log₂ odds of b at j|, for a at i.

    The odds of b are p / (1 − p), with p the softmax over the model's letters. Nothing is centred or
    symmetrised: row i is what substitutions at i do. For a model that reads from left to right D_ij is 0 for
    j before i. Where both strands were summed, p is the normalised product of what they predict.

    Parameters
    ----------
    what
        A raw Jacobian of the full variant with its wild-type logits, or a sequence, of which the Jacobian is
        computed then.
    model
        As of `catjac.jacobian`; with a sequence only.
    cache, unknown, progress
        See `catjac.jacobian`; with a sequence only.

    Returns
    -------
    xr.DataArray
        float64, dims (pos_i, pos_j), i the substituted nucleotide; diagonal 0, NaN where J has no row.

    Raises
    ------
    JacobianError
        For a J that is not raw, not of the full variant, or without its wild-type logits.
    UsageError
        If a model is given with a Jacobian, or none with a sequence.

    References
    ----------
    Tomaz da Silva P. et al. (2024), Nucleotide dependency analysis of DNA language models reveals genomic
    functional elements, bioRxiv 2024.07.27.605418.
    """
    if isinstance(what, xr.DataArray | xr.Dataset):
        if model is not None:
            raise UsageError("A Jacobian knows its model; leave model= out, or give a sequence.")
        given: Any = what
        J = labels.check_axes(given)
    else:
        if model is None:
            raise UsageError("Dependencies of a sequence are those that a model sees; give model=.")
        from catjac_widgets.engine.api import jacobian

        J = jacobian(what, model, cache=cache, unknown=unknown, progress=progress)
    return _dependency(J)


def _dependency(J: xr.DataArray) -> xr.DataArray:
    if labels.is_fast(J):
        raise JacobianError(
            "The fast variant hides nucleotides instead of substituting them; compute the Jacobian with "
            'variant="full".'
        )
    refuse_centred(J)
    if "wild_type_logits" not in J.coords:
        raise JacobianError(
            "Odds need the logits of the wild type, and the coordinate wild_type_logits is gone; keep it."
        )
    wild_type = J["wild_type_logits"].transpose("pos_out", "aa_out").values.astype(np.float64)
    before = _log2_odds(wild_type)
    inputs, outputs = labels.positions(J, "pos_in"), labels.positions(J, "pos_out")
    found = np.full((len(outputs), len(outputs)), np.nan)
    column_of = {int(position): k for k, position in enumerate(outputs)}
    for row in np.flatnonzero(labels.rows_present(J)):
        if (at := column_of.get(int(inputs[row]))) is None:
            continue
        mutants = wild_type + J.isel(pos_in=int(row)).values
        found[at] = np.abs(_log2_odds(mutants) - before).max(axis=(0, 2))
        found[at, at] = 0.0
    return xr.DataArray(
        found,
        dims=("pos_i", "pos_j"),
        coords=labels.map_coordinates(J),
        name="dependency",
        attrs={**labels.provenance(J), "kind": "nucleotide dependency", "units": "log2 odds"},
    )


def _log2_odds(logits: np.ndarray) -> np.ndarray:
    p = np.exp(log_softmax(logits)) + _LEAST
    p /= p.sum(axis=-1, keepdims=True)
    return np.log2(p) - np.log2(1 - p)
