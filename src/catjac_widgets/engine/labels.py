"""Labels: how a Jacobian's numbers are named, so that they mean something far from their model."""

from __future__ import annotations

from collections.abc import Sequence as ListLike
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets._version import __version__
from catjac_widgets.engine.rounding import largest_error
from catjac_widgets.proteins.coordinates import AXES, residue_coordinates
from catjac_widgets.proteins.reading import STRANDS_ATTRIBUTE

if TYPE_CHECKING:
    import xarray as xr

    from catjac_widgets.engine.plans.jacobian import Plan

#: Least bytes of a chunk of dask's: smaller ones cost more to schedule than to read.
DASK_BYTES = 64 * 2**20


def label_jacobian(
    values: Any,
    plan: Plan,
    *,
    wild_type_logits: np.ndarray | None = None,
    numerics_error: float | None = None,
    devices: ListLike[str] = (),
    complete: bool = True,
    approximation: str = "",
) -> xr.DataArray:
    """Name the rows asked for.

    Parameters
    ----------
    values
        Array of shape (positions, A_in, L, A_out), or all rows as an xarray array that is not loaded.
    plan
        What was asked for.
    wild_type_logits
        Logits of the baseline, shape (L, A_out).
    numerics_error
        What was measured on a few rows of approximate numerics; None if nothing was.
    devices
        Where the rows were computed, for instance ("cpu",).
    complete
        Whether all rows that the mask allows are there.
    approximation
        How these numbers were made, where they are not (all) the rows of the plan; see `as_approximate`.

    Returns
    -------
    xarray.DataArray
        "jacobian", dims (pos_in, aa_in, pos_out, aa_out). Positions are 1-based; chain, number, wild type and
        residue ride along on both sides; `wild_type_logits` (pos_out, aa_out) where given. Attributes are
        text and numbers only. Of rows that were rounded to be kept, `storage` says so and `storage_error` how
        large the relative error of a number is at most.
    """
    import xarray as xr

    rows = np.array(plan.positions, dtype=np.int64) - 1
    coords: dict[Any, Any] = {
        "aa_in": _text(plan.letters_in),
        "aa_out": _text(plan.letters),
        **residue_coordinates(plan.sequence, ("in",), rows),
        **residue_coordinates(plan.sequence, ("out",)),
    }
    if wild_type_logits is not None:
        coords["wild_type_logits"] = (("pos_out", "aa_out"), wild_type_logits)
    attrs = {
        "long_name": "categorical Jacobian",
        "units": "logits",
        "description": "logits of the mutant minus logits of the wild type, neither centred nor symmetrised",
        "kind": "raw",
        **_request_attributes(plan),
        "devices": ", ".join(devices),
        "complete": int(complete),
    }
    if plan.rows_bits is not None:
        attrs["storage_error"] = largest_error(plan.rows_bits)
    if plan.is_approximate:
        attrs["numerics_error"] = "not estimated" if numerics_error is None else numerics_error
    if isinstance(values, xr.DataArray):
        array = values if len(rows) == plan.length else values.isel(pos_in=rows)
        array = array.assign_coords(coords).rename("jacobian")
        array.attrs = attrs
    else:
        array = xr.DataArray(values, dims=AXES, coords=coords, name="jacobian", attrs=attrs)
    return as_approximate(array, approximation) if approximation else array


def _request_attributes(plan: Plan) -> dict[str, Any]:
    """Say what a person needs to ask for the same again."""
    bits = plan.rows_bits
    return {
        "sequence": str(plan.sequence),
        "sequence_name": plan.sequence.name,
        "visible": str(plan.mask),
        "model": plan.model,
        "model_fingerprint": plan.fingerprint,
        "variant": plan.variant,
        "numerics": plan.numerics.name,
        "linker": plan.linker,
        "package_version": __version__,
        "key": plan.key,
        **({"one_sided": "left to right"} if plan.causal else {}),
        **({STRANDS_ATTRIBUTE: plan.sequence.strands} if plan.sequence.strands else {}),
        **({"alphabets": " ".join(plan.alphabets)} if plan.alphabets else {}),
        **({} if bits is None else {"storage": f"rows rounded to {bits} bits", "storage_bits": bits}),
        **dict(plan.attributes),
    }


def in_dask(array: xr.DataArray) -> xr.DataArray:
    """Make a lazy Jacobian one of dask's arrays, in chunks of at least 64 MB along ``pos_in``."""
    row = max(1, array.nbytes // max(1, array.sizes["pos_in"]))
    return array.chunk({"pos_in": max(1, -(-DASK_BYTES // row))})


def as_approximate(array: xr.DataArray, how: str) -> xr.DataArray:
    """Say of an array that its numbers, or some of them, are not those that its numerics promise.

    Parameters
    ----------
    array
        A Jacobian or a map made of one.
    how
        How they were made, for instance "first order"; becomes the attribute ``numerics``. The key, which
        names exact rows in the cache, goes.

    Returns
    -------
    xarray.DataArray
        The same numbers.
    """
    made = array.copy(deep=False)
    made.attrs = {name: value for name, value in array.attrs.items() if name != "key"}
    made.attrs.update(numerics=how, numerics_error="not estimated")
    return made


def _text(labels: ListLike[str]) -> np.ndarray:
    return np.array(list(labels), dtype=str)


def label_summary(values: np.ndarray, plan: Plan, name: str, dims: tuple[str, ...]) -> xr.DataArray:
    """Name an array of which each dimension is one of a Jacobian's (pos_in …), or of a map's (pos_i, pos_j).

    Chain, number, wild type and residue ride along with positions; attributes say what it was made of.
    """
    import xarray as xr

    coords: dict[Any, Any] = {}
    for dim in dims:
        kind, side = dim.split("_")
        if kind == "aa":
            coords[dim] = _text(plan.letters_in if side == "in" else plan.letters)
        else:
            coords.update(residue_coordinates(plan.sequence, (side,)))
    return xr.DataArray(values, dims=dims, coords=coords, name=name, attrs=_request_attributes(plan))
