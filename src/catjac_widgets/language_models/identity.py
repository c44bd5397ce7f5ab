"""What is known of a model without loading it."""

from __future__ import annotations

from dataclasses import dataclass

from catjac_widgets.language_models.base import EXACT, FLOAT64, LanguageModel, Numerics


@dataclass(frozen=True)
class ModelIdentity:
    """What a cache key and a check of the input need to know of a model.

    Attributes
    ----------
    name
        What a person calls it.
    fingerprint
        See `LanguageModel.fingerprint`.
    letters
        The letters of its logits in its own order.
    max_residues
        The longest sequence it takes, or None.
    has_contact_head
        Whether it has a fitted contact head.
    numerics
        The numerics in which its Jacobians can be computed, the preferred first.
    """

    name: str
    fingerprint: str
    letters: str
    max_residues: int | None
    has_contact_head: bool
    numerics: tuple[Numerics, ...] = (EXACT, FLOAT64)


def identity_of(model: LanguageModel) -> ModelIdentity:
    """Ask a model in memory what is to be known of it."""
    return ModelIdentity(
        model.name,
        model.fingerprint,
        model.letters,
        model.max_residues,
        bool(getattr(model, "has_contact_head", hasattr(model, "contact_probabilities"))),
        model.numerics,
    )
