"""The contact head: contacts that a model was taught to read off its attention maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from catjac_widgets.engine.backends.threads import Priority, worker_for
from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.base import ContactHead
from catjac_widgets.language_models.registry import identify, resolve_model
from catjac_widgets.proteins.coordinates import residue_coordinates
from catjac_widgets.proteins.masks import Mask, as_mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Sequence


def contact_head(
    sequence: Sequence | str | Path,
    model: Any = "mini",
    mask: Mask | np.ndarray | Iterable[bool] | None = None,
    *,
    unknown: Mapping[str, str] | None = None,
) -> xr.DataArray:
    """Predict contacts with the model's supervised contact head: one pass, regression on its attention.

    Parameters
    ----------
    sequence
        As for `jacobian`; chains are joined without a linker.
    model
        A model with a fitted contact head.
    mask
        Which residues the model may not see.
    unknown
        What to put for letters that the model does not know.

    Returns
    -------
    xr.DataArray
        float32, dims (pos_i, pos_j), symmetric, in (0, 1); for all residues, masked ones included.
        `attrs["kind"]` is "attention head".

    Raises
    ------
    ModelError
        If the model has no fitted contact head.
    SequenceError, MaskError
        As for `jacobian`.

    References
    ----------
    Rao et al. (2021), Transformer protein language models are unsupervised structure learners, ICLR.
    """
    identity = identify(model)
    parsed = as_sequence(sequence, letters=identity.letters, unknown=unknown)
    hidden = as_mask(mask, parsed)
    if not identity.has_contact_head:
        raise ModelError(
            f"{identity.name} has no fitted contact head; use contacts of its Jacobian, or a model with one."
        )
    resolved = resolve_model(model)
    if not isinstance(resolved, ContactHead):
        raise ModelError(f"{identity.name} gives no contact probabilities; use contacts of its Jacobian.")
    # A model runs on its device's one thread, or a sweep in the background would run it at the same time.
    worker = worker_for(resolved.device)
    masks: list[Mask | None] = [hidden if hidden else None]

    def run() -> np.ndarray:
        return resolved.contact_probabilities(parsed.residues, masks)

    found = run() if worker.owns_this_thread() else worker.submit_call(run, Priority.SCREEN).result()
    return xr.DataArray(
        found[0],
        dims=("pos_i", "pos_j"),
        coords=residue_coordinates(parsed),
        name="contact_head",
        attrs={
            "kind": "attention head",
            "sequence": str(parsed),
            "sequence_name": parsed.name,
            "visible": str(hidden),
            "model": identity.name,
            "model_fingerprint": identity.fingerprint,
        },
    )
