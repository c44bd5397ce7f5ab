"""gLM2 in memory, and without strands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.base import LanguageModel
from catjac_widgets.language_models.glm2.adapter import Glm2
from catjac_widgets.language_models.glm2.encoding import GenomicEncoding, encoding_by, published_encoding
from catjac_widgets.language_models.glm2.published import CONTEXT, WITHOUT


def wrap_glm2(
    network: Any,
    tokenizer: Any = None,
    *,
    strands: bool = True,
    max_residues: int | None = CONTEXT,
    name: str = "",
    fingerprint: str | None = None,
) -> LanguageModel:
    """Use a gLM2 that is in memory already; it is never moved.

    Parameters
    ----------
    network
        Called with `input_ids`, gives `logits`; on any device.
    tokenizer
        Of transformers; the published vocabulary by default.
    strands
        Whether each element stands behind the token of its strand, <+> where none is said.
    max_residues
        The longest input, strands included.
    name, fingerprint
        See `catjac.wrap`.

    Returns
    -------
    LanguageModel
        Takes elements as chains: "<+>MALTKVE<->aatttaag", amino acids in upper case.

    Raises
    ------
    ModelError
        If the tokenizer has no such vocabulary, or it is no torch network.
    """
    if not hasattr(network, "named_modules"):
        raise ModelError(f"A {type(network).__name__} is no torch network; wrap gLM2's own model.")
    name = name or f"{type(network).__name__} in memory"
    if tokenizer is None:
        encoding = published_encoding(strands=strands)
    else:
        encoding = encoding_by(tokenizer, name, strands=strands)
    return Glm2(network, encoding, name=name, max_residues=max_residues, fingerprint=fingerprint)


def without_strands(model: Any) -> LanguageModel:
    """Read a gLM2's elements one after the other, without strands between them; it shares its weights.

    Parameters
    ----------
    model
        Anything that `catjac.jacobian` takes as ``model=`` and that is a gLM2.

    Raises
    ------
    ModelError
        If it is none.
    """
    from catjac_widgets.language_models.registry import resolve_model

    found = resolve_model(model)
    if not isinstance(found, Glm2) or not isinstance(found.encoding, GenomicEncoding):
        raise ModelError(f"{found.name} reads no strands; this is for gLM2.")
    name = f"{WITHOUT}{found.name.removeprefix(WITHOUT)}"
    return found.encoded(replace(found.encoding, strands=()), name)
