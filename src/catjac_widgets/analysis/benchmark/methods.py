"""The contact maps that are compared: each method's map of one protein, and what identifies it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from catjac_widgets.analysis.benchmark.entries import Entry
from catjac_widgets.analysis.contacts.head import contact_head
from catjac_widgets.analysis.contacts.maps import contacts
from catjac_widgets.analysis.couplings.closed_form import (
    PSEUDOCOUNT,
    SHRINKAGE,
    inverse_covariance,
    mean_field,
)
from catjac_widgets.analysis.couplings.coupling_contacts import coupling_contacts
from catjac_widgets.engine.api import jacobian
from catjac_widgets.engine.cache.kept_maps import kept_map
from catjac_widgets.errors import SequenceError
from catjac_widgets.language_models.potts.fit import REGULARISATION, fit_potts
from catjac_widgets.language_models.potts.parameters import PottsParameters
from catjac_widgets.proteins.alignments import Alignment
from catjac_widgets.proteins.coordinates import residue_coordinates

#: Columns with fewer gaps than this have couplings (`fit_potts`); the closed forms take all columns.
_GAP_FRACTION = 0.5


@dataclass(frozen=True)
class Method:
    """One way from a protein to a contact map.

    Attributes
    ----------
    title
        What figures call it.
    reads
        "model" or "alignment".
    settings
        What decides its map besides the protein (and the model).
    make
        (entry, model) → map of scores, dims (pos_i, pos_j).
    """

    title: str
    reads: str
    settings: str
    make: Callable[[Entry, Any], xr.DataArray]


def _jacobian(entry: Entry, model: Any) -> xr.DataArray:
    return contacts(jacobian(entry.query, model, progress=False))


def _contact_head(entry: Entry, model: Any) -> xr.DataArray:
    return contact_head(entry.query, model)


def _potts(entry: Entry, model: Any) -> xr.DataArray:
    alignment = _alignment_of(entry)
    columns = alignment.columns_below(_GAP_FRACTION)
    return _couplings("potts", entry, lambda rows: fit_potts(rows, progress=False), columns)


def _inverse_covariance(entry: Entry, model: Any) -> xr.DataArray:
    alignment = _alignment_of(entry)
    return _couplings("inverse_covariance", entry, inverse_covariance, np.arange(alignment.length))


def _mean_field(entry: Entry, model: Any) -> xr.DataArray:
    alignment = _alignment_of(entry)
    return _couplings("mean_field", entry, mean_field, np.arange(alignment.length))


#: All of them, in the order of tables.
METHODS: dict[str, Method] = {
    "jacobian": Method("Jacobian", "model", "full, order A, APC", _jacobian),
    "contact_head": Method("contact head", "model", "contact head", _contact_head),
    "potts": Method("Potts", "alignment", f"pseudo-likelihood, {REGULARISATION}", _potts),
    "inverse_covariance": Method("inverse covariance", "alignment", f"{SHRINKAGE}", _inverse_covariance),
    "mean_field": Method("mean field", "alignment", f"{PSEUDOCOUNT}", _mean_field),
}

#: Those compared where nothing else is asked for.
USUAL = ("jacobian", "contact_head", "potts", "inverse_covariance")


def _alignment_of(entry: Entry) -> Alignment:
    if entry.aligned is None:
        raise SequenceError("There is no alignment; put one beside the structure, named alike, as .a3m.")
    if entry.aligned.length != len(entry.query):
        raise SequenceError(
            f"The alignment has {entry.aligned.length} columns for {len(entry.query)} residues; its first "
            "row must be the sequence."
        )
    return entry.aligned


def _couplings(
    name: str, entry: Entry, fit: Callable[[Alignment], PottsParameters], columns: np.ndarray
) -> xr.DataArray:
    """Make the map of couplings, or read it from the store; NaN where a residue has no column."""
    alignment = _alignment_of(entry)
    digest = hashlib.sha256(
        np.ascontiguousarray(alignment.states).tobytes()
        + f"{name} {METHODS[name].settings} {alignment.letters} {alignment.states.shape}".encode()
    ).hexdigest()

    def make() -> np.ndarray:
        return coupling_contacts(fit(alignment)).values[np.ix_(columns, columns)]

    found = kept_map(f"couplings_{name}", digest, len(columns), make)
    scores = np.full((len(entry.query),) * 2, np.nan)
    scores[np.ix_(columns, columns)] = found
    return xr.DataArray(
        scores,
        dims=("pos_i", "pos_j"),
        coords=residue_coordinates(entry.query),
        name="contacts",
        attrs={"kind": METHODS[name].title, "sequence": str(entry.query)},
    )
