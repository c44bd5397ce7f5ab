"""The contact head: contacts that a model was taught to read off its attention maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from catjac_widgets.engine.compute.passes import run_one
from catjac_widgets.engine.jobs.calls import call_with_model
from catjac_widgets.engine.plans.mask_scan import MapKind
from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.base import ContactHead, LanguageModel
from catjac_widgets.language_models.identity import ModelIdentity
from catjac_widgets.language_models.registry import identify, resolve_model
from catjac_widgets.proteins.coordinates import residue_coordinates
from catjac_widgets.proteins.masks import Mask, as_mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Sequence

#: The attribute `kind` of a contact head's map.
KIND = "contact head"


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
        `attrs["kind"]` is "contact head".

    Raises
    ------
    ModelError
        If the model has no fitted contact head, or gives numbers that are not finite.
    DeviceError
        If the sequence is too much for the device, or the device is lost.
    SequenceError, MaskError
        As for `jacobian`.

    References
    ----------
    Rao et al. (2021), Transformer protein language models are unsupervised structure learners, ICLR.
    """
    identity = identify(model)
    parsed = as_sequence(sequence, letters=identity.letters, unknown=unknown)
    hidden = as_mask(mask, parsed)
    check_contact_head(identity)
    frame = contact_probabilities_of(parsed.residues)
    found = call_with_model(
        lambda loaded: run_one(lambda: frame(loaded, hidden), identity.name), resolve_model(model)
    )
    return xr.DataArray(
        found,
        dims=("pos_i", "pos_j"),
        coords=residue_coordinates(parsed),
        name="contact_head",
        attrs={
            "kind": KIND,
            "sequence": str(parsed),
            "sequence_name": parsed.name,
            "visible": str(hidden),
            "model": identity.name,
            "model_fingerprint": identity.fingerprint,
        },
    )


def check_contact_head(identity: ModelIdentity) -> None:
    """Refuse a model without a fitted contact head.

    Raises
    ------
    ModelError
        Naming what to use instead.
    """
    if not identity.has_contact_head:
        raise ModelError(
            f"{identity.name} has no fitted contact head; use contacts of its Jacobian (source='jacobian'), "
            "or a model with one."
        )


def contact_probabilities_of(residues: str) -> Callable[[LanguageModel, Mask], np.ndarray]:
    """Make the function of a model and a mask that gives the contact head's map, float32 (L, L).

    It is pure, and to be called on the thread of the model's device.
    """

    def under(model: LanguageModel, mask: Mask) -> np.ndarray:
        return contact_probability_maps(model, residues, [mask if mask else None])[0]

    return under


def contact_probability_maps(model: LanguageModel, residues: str, masks: list[Mask | None]) -> np.ndarray:
    """Give the contact head's maps, float32 (m, L, L), under m masks; on the thread of the model's device.

    Raises
    ------
    ModelError
        If the model gives no contact probabilities, or some that are no numbers.
    """
    if not isinstance(model, ContactHead):
        raise ModelError(f"{model.name} gives no contact probabilities; use contacts of its Jacobian.")
    maps = np.ascontiguousarray(model.contact_probabilities(residues, masks), dtype=np.float32)
    if not np.isfinite(maps).all():
        raise ModelError(
            f"{model.name} gives contact probabilities that are not finite; its weights or its number type "
            "cannot be used."
        )
    return maps


def _scanned(model: LanguageModel, sequence: Sequence, masks: list[Mask | None]) -> np.ndarray:
    return contact_probability_maps(model, sequence.residues, masks)


#: The contact head's maps under many masks, see `catjac_widgets.engine.jobs.mask_scan.scan_masks`.
CONTACT_HEAD_MAPS = MapKind("contact_head", _scanned, check_contact_head)
