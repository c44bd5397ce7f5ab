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
    unseen
        See `LanguageModel.unseen`.
    length, causal, has_mask_token, attributes, alphabets, strands
        See `LanguageModel`.
    """

    name: str
    fingerprint: str
    letters: str
    max_residues: int | None
    has_contact_head: bool
    numerics: tuple[Numerics, ...] = (EXACT, FLOAT64)
    unseen: str = ""
    length: int | None = None
    causal: bool = False
    has_mask_token: bool = True
    attributes: tuple[tuple[str, str], ...] = ()
    alphabets: tuple[str, ...] = ()
    strands: bool = False


def identity_of(model: LanguageModel) -> ModelIdentity:
    """Ask a model in memory what is to be known of it."""
    return ModelIdentity(
        model.name,
        model.fingerprint,
        model.letters,
        model.max_residues,
        bool(getattr(model, "has_contact_head", hasattr(model, "contact_probabilities"))),
        model.numerics,
        model.unseen,
        model.length,
        model.causal,
        model.has_mask_token,
        model.attributes,
        model.alphabets,
        model.strands,
    )


def not_kept(identity: ModelIdentity) -> str:
    """Say that nothing is kept of a model some of which cannot be seen, and what to do about it."""
    return (
        f"Results of {identity.name} are computed anew each time and not kept in the cache, because some of "
        f"its code cannot be seen through ({identity.unseen}); to keep them, wrap it by catjac.wrap(…, "
        "fingerprint='a text of yours that changes with its code')."
    )
