"""The forward pass of fair-esm's ESM-2 and ESM-1b, for what a Jacobian needs and no more.

The weights are the model's own. Unlike fair-esm's forward this one runs attention without returning its
weights, works on sequences of one length only (no padding), and reads the language-model head at the residues
and for the letters that are asked for. How its dense layers are multiplied is a strategy of `linear_layers`.

Shapes: B sequences, T tokens, C channels, H heads of D channels, L residues, A letters.

Lin et al., Science 2023 (ESM-2); Rives et al., PNAS 2021 (ESM-1b); Rao et al., ICLR 2021 (contact head).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from catjac_widgets.language_models.esm.alterations.stock import token_dropout
from catjac_widgets.language_models.esm.linear_layers import LinearLayers

if TYPE_CHECKING:
    from torch import Tensor

#: What token dropout removed on average during training: 15 % of the tokens, 80 % of which became masks.
MASK_SHARE_IN_TRAINING = 0.15 * 0.8

#: The dense layers as the modules hold them.
AS_THEY_ARE = LinearLayers()


def letter_logits(
    model: Any, tokens: Tensor, residues: slice, letters: Tensor, linear: LinearLayers = AS_THEY_ARE
) -> Tensor:
    """Logits (B, L, A) of the tokens in `residues` for the vocabulary rows `letters`, from tokens (B, T).

    No gradient is kept: sums are made in place.
    """
    x = embed(model, tokens)  # (B, T, C)
    turn = rotary(model, tokens.shape[1])
    for layer in model.layers:
        x += attend(layer, x, turn, linear)
        x += feed_forward(layer, x, linear)
    return read_out(model, x[:, residues], letters, linear)


def read_out(model: Any, x: Tensor, letters: Tensor, linear: LinearLayers = AS_THEY_ARE) -> Tensor:
    """Language-model head: the last layer's states (B, L, C) to the logits (B, L, A) of some letters."""
    x = model.emb_layer_norm_after(x)
    head = model.lm_head
    x = head.layer_norm(F.gelu(linear(head.dense, x)))
    return F.linear(x, head.weight[letters], head.bias[letters])


def contact_logits(model: Any, tokens: Tensor, residues: slice) -> Tensor:
    """Contact head before its sigmoid, (B, L, L): a regression on symmetrised attention after APC.

    The sum over heads is taken layer by layer, so that one layer's attention is held at a time; heads of
    weight zero (the regression is sparse) and layers above the last that counts are left out.
    """
    regression = model.contact_head.regression
    weights = regression.weight[0].view(len(model.layers), -1)  # (layers, H)
    used = [index for index, row in enumerate(weights != 0) if bool(row.any())]
    x = embed(model, tokens)
    turn = rotary(model, tokens.shape[1])
    length = residues.stop - residues.start
    total = regression.bias.new_zeros((len(tokens), length, length), dtype=_wide(x.dtype)) + regression.bias
    for index in range(used[-1] + 1 if used else 0):
        layer = model.layers[index]
        heads = torch.nonzero(weights[index])[:, 0]
        if len(heads):
            # (B, heads, L, L): rows and columns of the start and end tokens are dropped, not renormalised.
            maps = attention_maps(layer, x, heads, turn)[:, :, residues, residues]
            share = weights[index, heads].to(maps.dtype)
            maps = maps + maps.transpose(-1, -2)
            sums = maps.sum(-1)  # (B, heads, L)
            total = total + torch.einsum("bhij,h->bij", maps, share)
            total = total - torch.einsum("bhi,bhj,bh->bij", sums, sums, share / sums.sum(-1))
        x = x + attend(layer, x, turn)
        x = x + feed_forward(layer, x)
    return total


def embed(model: Any, tokens: Tensor) -> Tensor:
    """Embeddings (B, T, C) of tokens (B, T): token dropout, positions and first norm where it has them."""
    x = model.embed_scale * model.embed_tokens(tokens)
    if token_dropout(model):
        masked = tokens == model.mask_idx
        x = x.masked_fill(masked[..., None], 0.0)
        # ESM-1b counts in float32 whatever the weights are, ESM-2 in their own precision.
        share = masked.sum(-1).to(torch.float32 if hasattr(model, "args") else x.dtype) / tokens.shape[1]
        # In 16-bit floats the product is float32, which ESM-1b's first norm would not take.
        x = (x * (1 - MASK_SHARE_IN_TRAINING) / (1 - share)[:, None, None]).to(x.dtype)
    places = positions(model, tokens.shape[1])
    if places is not None:
        x = x + places
    if getattr(model, "emb_layer_norm_before", None):
        x = model.emb_layer_norm_before(x)
    return x


def positions(model: Any, tokens: int) -> Tensor | None:
    """Learned positions (T, C), or None for a model without them."""
    if not hasattr(model, "embed_positions"):
        return None
    first = model.padding_idx + 1
    found: Tensor = model.embed_positions.weight[first : first + tokens]
    return found


def attend(layer: Any, x: Tensor, turn: Tensor | None, linear: LinearLayers = AS_THEY_ARE) -> Tensor:
    """Self-attention of one layer, (B, T, C) to (B, T, C); `turn` as of `rotary`."""
    attention = layer.self_attn
    query, key, value = linear.projections(attention, layer.self_attn_layer_norm(x), turn)
    mixed = F.scaled_dot_product_attention(query, key, value, scale=attention.scaling)
    return linear(attention.out_proj, mixed.transpose(1, 2).flatten(2))


def feed_forward(layer: Any, x: Tensor, linear: LinearLayers = AS_THEY_ARE) -> Tensor:
    """Two dense layers of a block, (B, T, C) to (B, T, C)."""
    return linear(layer.fc2, F.gelu(linear(layer.fc1, layer.final_layer_norm(x))))


def attention_maps(layer: Any, x: Tensor, heads: Tensor, turn: Tensor | None) -> Tensor:
    """Attention weights (B, heads, T, T) of some heads of one layer, softmax in float32 or wider."""
    attention = layer.self_attn
    query, key, _ = AS_THEY_ARE.projections(attention, layer.self_attn_layer_norm(x), turn)
    scores = query[:, heads] @ key[:, heads].transpose(-1, -2) * attention.scaling
    return scores.softmax(-1, dtype=_wide(x.dtype))


def rotary(model: Any, tokens: int) -> Tensor | None:
    """Rotary positions as complex numbers of length 1, (T, D / 2), or None for a model without them."""
    embedding = model.layers[0].self_attn.rot_emb
    if embedding is None:
        return None
    inverse = embedding.inv_freq.to(_wide(embedding.inv_freq.dtype))
    angles = torch.outer(torch.arange(tokens, device=inverse.device, dtype=inverse.dtype), inverse)
    return torch.complex(angles.cos(), angles.sin())


def _wide(dtype: torch.dtype) -> torch.dtype:
    """At least float32: 16-bit floats round angles, and the sums of a softmax, too much."""
    return torch.promote_types(dtype, torch.float32)
