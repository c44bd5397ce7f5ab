"""What was stored beside a completed Jacobian, found again from its plan or from the Jacobian itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from catjac_widgets.engine.cache.entries import CorruptRowError, Entry
from catjac_widgets.engine.cache.folder_entry import FolderEntry
from catjac_widgets.engine.cache.store import cache
from catjac_widgets.engine.labels import label_map
from catjac_widgets.engine.plans.jacobian import Plan, make_plan
from catjac_widgets.errors import CatjacError
from catjac_widgets.language_models.base import Numerics

if TYPE_CHECKING:
    import xarray as xr


def stored_contacts(what: Plan | xr.DataArray) -> xr.DataArray | None:
    """Return the order-A contact map that was stored when a Jacobian was completed.

    Parameters
    ----------
    what
        A plan (``job.plan``), or a Jacobian as `catjac.jacobian` returned it. One that lies on disk is not
        read; of one in memory three rows are compared with those stored, since arithmetic may have changed
        its numbers and kept its attributes.

    Returns
    -------
    xarray.DataArray or None
        Dims (pos_i, pos_j), NaN where masked; None where nothing is stored for it.
    """
    plan = what if isinstance(what, Plan) else plan_of(what)
    entry = cache.find(plan) if plan is not None else None
    if plan is None or entry is None or not (isinstance(what, Plan) or _is_stored(what, entry)):
        return None
    values = entry.read_beside("contacts")
    return None if values is None else label_map(values, plan, name="contacts")


def plan_of(jacobian: xr.DataArray) -> Plan | None:
    """Make the plan of a labelled Jacobian again from its labels; None if they do not suffice."""
    from catjac_widgets.proteins.masks import Mask
    from catjac_widgets.proteins.reading import read_residues

    attrs = jacobian.attrs
    try:
        letters = "".join(str(letter) for letter in jacobian["aa_out"].values)
        sequence = read_residues(attrs["sequence"], letters=letters, name=attrs["sequence_name"])
        plan = make_plan(
            sequence,
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
            rows=attrs["rows"],
        )
    except (KeyError, CatjacError):
        return None
    return plan if plan.key == attrs.get("key") else None


def _is_stored(jacobian: xr.DataArray, entry: Entry) -> bool:
    """Whether a Jacobian has the stored rows, all of them."""
    plan = entry.plan
    if not isinstance(plan, Plan) or not jacobian.attrs.get("complete"):
        return False
    if jacobian.dims != plan.rows_dims or jacobian.shape != plan.rows_shape:
        return False
    positions = list(plan.sequence.positions)
    axes = (positions, list(plan.letters_in), positions, list(plan.letters))
    if any(list(jacobian[name].values) != axis for name, axis in zip(plan.rows_dims, axes, strict=True)):
        return False
    if isinstance(entry, FolderEntry) and entry.is_opened_as(jacobian):
        return True
    for index in {plan.runnable[0], plan.runnable[len(plan.runnable) // 2], plan.runnable[-1]}:
        try:
            if not entry.has(index) or not np.array_equal(jacobian[index].values, entry.read(index)):
                return False
        except CorruptRowError:
            return False
    return True
