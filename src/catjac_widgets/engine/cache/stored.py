"""What is stored beside a complete Jacobian, found again from its plan or from the Jacobian itself.

So the first picture of a known protein, and its sensitivity, need no row of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from catjac_widgets.engine.cache.entries import CorruptRowError, Entry
from catjac_widgets.engine.cache.store import cache
from catjac_widgets.engine.labels import label_summary
from catjac_widgets.engine.plans.jacobian import Plan
from catjac_widgets.engine.plans.making import make_plan
from catjac_widgets.errors import CatjacError
from catjac_widgets.language_models.base import Numerics

if TYPE_CHECKING:
    import xarray as xr


def contacts(what: Plan | xr.DataArray) -> xr.DataArray | None:
    """Order-A contact map, dims (pos_i, pos_j), NaN where masked; see `stored`."""
    return stored(what, "contacts")


def block_norms(what: Plan | xr.DataArray) -> xr.DataArray | None:
    """Norms of all blocks, centred over letters, dims (pos_in, pos_out); see `stored`."""
    return stored(what, "block_norms")


def mean_over_pos_in(what: Plan | xr.DataArray) -> xr.DataArray | None:
    """Mean of all rows, dims (aa_in, pos_out, aa_out), NaN where masked; see `stored`."""
    return stored(what, "mean_over_pos_in")


def mean_over_pos_out(what: Plan | xr.DataArray) -> xr.DataArray | None:
    """Mean of each row over visible positions, dims (pos_in, aa_in, aa_out); see `stored`."""
    return stored(what, "mean_over_pos_out")


def stored(what: Plan | xr.DataArray, name: str) -> xr.DataArray | None:
    """Read one of the arrays that were stored when a Jacobian was completed.

    Parameters
    ----------
    what
        A plan (``job.plan``), or a Jacobian as `catjac.jacobian` returned it. One that lies on disk is not
        read; of one in memory three rows are compared with those stored, since arithmetic may have changed
        its numbers and kept its attributes.
    name
        "contacts", "block_norms", "mean_over_pos_in" or "mean_over_pos_out".

    Returns
    -------
    xarray.DataArray or None
        None where nothing is stored for it.
    """
    plan = what if isinstance(what, Plan) else plan_of(what)
    entry = cache.find(plan) if plan is not None else None
    if plan is None or entry is None or not (isinstance(what, Plan) or _is_stored(what, plan, entry)):
        return None
    values = entry.read_beside(name)
    return None if values is None else label_summary(values, plan, name, plan.beside_shapes[name][1])


def plan_of(jacobian: xr.DataArray) -> Plan | None:
    """Make the plan of a labelled Jacobian again from its labels; None if they do not suffice."""
    from catjac_widgets.proteins.masks import Mask
    from catjac_widgets.proteins.reading import STRANDS_ATTRIBUTE, read_residues

    attrs = jacobian.attrs
    try:
        letters = "".join(str(letter) for letter in jacobian["aa_out"].values)
        sequence = read_residues(attrs["sequence"], letters=letters, name=attrs["sequence_name"])
        plan = make_plan(
            sequence.on_strands(attrs.get(STRANDS_ATTRIBUTE, "")),
            model=attrs["model"],
            fingerprint=attrs["model_fingerprint"],
            letters=letters,
            positions=[int(position) for position in np.atleast_1d(jacobian["pos_in"].values)],
            mask=Mask.parse(sequence, attrs["visible"]),
            variant=attrs["variant"],
            # The model is not at hand to be asked; of its numerics the labels say all that matters here.
            numerics=Numerics(
                attrs["numerics"],
                "as labelled",
                approximate="numerics_error" in attrs,
                dtype=str(jacobian.dtype),
            ),
            linker=attrs["linker"],
            rows_bits=int(attrs["storage_bits"]) if "storage_bits" in attrs else None,
        )
    except (KeyError, ValueError, CatjacError):
        return None
    return plan if plan.key == attrs.get("key") else None


def _is_stored(jacobian: xr.DataArray, plan: Plan, entry: Entry) -> bool:
    """Whether a Jacobian has the stored rows, all of them."""
    if not jacobian.attrs.get("complete"):
        return False
    if jacobian.dims != plan.rows_dims or jacobian.shape != plan.rows_shape:
        return False
    positions = list(plan.sequence.positions)
    axes = (positions, list(plan.letters_in), positions, list(plan.letters))
    if any(list(jacobian[name].values) != axis for name, axis in zip(plan.rows_dims, axes, strict=True)):
        return False
    if entry.is_opened_as(jacobian):
        return True
    for index in {plan.runnable[0], plan.runnable[len(plan.runnable) // 2], plan.runnable[-1]}:
        try:
            if not entry.has(index) or not np.array_equal(jacobian[index].values, entry.read(index)):
                return False
        except CorruptRowError:
            return False
    return True
