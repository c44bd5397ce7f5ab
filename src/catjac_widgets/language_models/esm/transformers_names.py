"""Names of transformers' ESM-2 and ESM-1b weights in fair-esm's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

Tensor = TypeVar("Tensor")

#: Patterns of transformers' names, "esm." in front of the trunk's taken away, and what fair-esm calls them.
_NAMES = {
    r"embeddings\.word_embeddings": "embed_tokens",
    r"embeddings\.position_embeddings": "embed_positions",
    r"embeddings\.layer_norm": "emb_layer_norm_before",
    r"encoder\.emb_layer_norm_after": "emb_layer_norm_after",
    r"encoder\.layer\.(\d+)\.attention\.self\.(query|key|value)": r"layers.\1.self_attn.\2_proj",
    r"encoder\.layer\.(\d+)\.attention\.output\.dense": r"layers.\1.self_attn.out_proj",
    r"encoder\.layer\.(\d+)\.attention\.LayerNorm": r"layers.\1.self_attn_layer_norm",
    r"encoder\.layer\.(\d+)\.intermediate\.dense": r"layers.\1.fc1",
    r"encoder\.layer\.(\d+)\.output\.dense": r"layers.\1.fc2",
    r"encoder\.layer\.(\d+)\.LayerNorm": r"layers.\1.final_layer_norm",
    r"contact_head\.regression": "contact_head.regression",
    r"lm_head\.decoder": "lm_head",
    r"lm_head\.(dense|layer_norm)": r"lm_head.\1",
}
_PROJECTIONS = {"query_proj": "q_proj", "key_proj": "k_proj", "value_proj": "v_proj"}


def fair_esm_weights(weights: Mapping[str, Tensor], *, rotary: bool = True) -> dict[str, Tensor]:
    """Rename the weights of an ``EsmModel`` or ``EsmForMaskedLM`` to those of fair-esm's classes.

    Parameters
    ----------
    weights
        A state_dict of transformers; of other heads than the two that fair-esm has nothing is taken.
    rotary
        Whether positions are rotary (ESM-2), so that learned ones, which transformers keeps all the same, are
        left out.

    Returns
    -------
    dict
        The same tensors by fair-esm's names. Rotary frequencies, which are computed, are left out.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        plain = name.removeprefix("esm.")
        stem, _, kind = plain.rpartition(".")
        if plain == "lm_head.bias":
            found["lm_head.bias"] = tensor
            continue
        for pattern, theirs in _NAMES.items():
            match = re.fullmatch(pattern, stem)
            if match is None or kind not in ("weight", "bias"):
                continue
            renamed = match.expand(theirs)
            for long, short in _PROJECTIONS.items():
                renamed = renamed.replace(long, short)
            if not (rotary and renamed == "embed_positions"):
                found[f"{renamed}.{kind}"] = tensor
    return found
