"""The forward pass of fair-esm's ESM-2 and ESM-1b, for what a Jacobian needs and no more.

The weights are the model's own. Unlike fair-esm's forward this one runs attention without returning its
weights, works on sequences of one length only (no padding), and reads the language-model head at the residues
and for the letters that are asked for.

Shapes: B sequences, T tokens, C channels, H heads of D channels, L residues, A letters.

Lin et al., Science 2023 (ESM-2); Rives et al., PNAS 2021 (ESM-1b); Rao et al., ICLR 2021 (contact head).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from catjac_widgets.language_models.plainness import token_dropout

if TYPE_CHECKING:
    from torch import Tensor

#: What token dropout removed on average during training: 15 % of the tokens, 80 % of which became masks.
MASK_SHARE_IN_TRAINING = 0.15 * 0.8


def letter_logits(model: Any, tokens: Tensor, residues: slice, letters: Tensor) -> Tensor:
    """Logits (B, L, A) of the tokens in `residues` for the vocabulary rows `letters`, from tokens (B, T)."""
    x = embed(model, tokens)  # (B, T, C)
    for layer in model.layers:
        x = x + attend(layer, x)
        x = x + feed_forward(layer, x)
    x = model.emb_layer_norm_after(x[:, residues])  # (B, L, C)
    head = model.lm_head
    x = head.layer_norm(F.gelu(head.dense(x)))
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
    length = residues.stop - residues.start
    total = regression.bias.new_zeros((len(tokens), length, length), dtype=_wide(x.dtype)) + regression.bias
    for index in range(used[-1] + 1 if used else 0):
        layer = model.layers[index]
        heads = torch.nonzero(weights[index])[:, 0]
        if len(heads):
            # (B, heads, L, L): rows and columns of the start and end tokens are dropped, not renormalised.
            maps = attention_maps(layer, x, heads)[:, :, residues, residues]
            share = weights[index, heads].to(maps.dtype)
            maps = maps + maps.transpose(-1, -2)
            sums = maps.sum(-1)  # (B, heads, L)
            total = total + torch.einsum("bhij,h->bij", maps, share)
            total = total - torch.einsum("bhi,bhj,bh->bij", sums, sums, share / sums.sum(-1))
        x = x + attend(layer, x)
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
        x = x * (1 - MASK_SHARE_IN_TRAINING) / (1 - share)[:, None, None]
    if hasattr(model, "embed_positions"):
        first = model.padding_idx + 1
        x = x + model.embed_positions.weight[first : first + tokens.shape[1]]
    if getattr(model, "emb_layer_norm_before", None):
        x = model.emb_layer_norm_before(x)
    return x


def attend(layer: Any, x: Tensor) -> Tensor:
    """Self-attention of one layer, (B, T, C) to (B, T, C)."""
    query, key, value = _projections(layer, x)
    mixed = F.scaled_dot_product_attention(query, key, value, scale=layer.self_attn.scaling)
    return layer.self_attn.out_proj(mixed.transpose(1, 2).flatten(2))


def feed_forward(layer: Any, x: Tensor) -> Tensor:
    """Two dense layers of a block, (B, T, C) to (B, T, C)."""
    return layer.fc2(F.gelu(layer.fc1(layer.final_layer_norm(x))))


def attention_maps(layer: Any, x: Tensor, heads: Tensor) -> Tensor:
    """Attention weights (B, heads, T, T) of some heads of one layer, softmax in float32 or wider."""
    query, key, _ = _projections(layer, x)
    scores = query[:, heads] @ key[:, heads].transpose(-1, -2) * layer.self_attn.scaling
    return scores.softmax(-1, dtype=_wide(x.dtype))


def _projections(layer: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value, each (B, H, T, D); rotary positions on the first two where the model has them."""
    attention = layer.self_attn
    x = layer.self_attn_layer_norm(x)
    query, key, value = (
        dense(x).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for dense in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    if attention.rot_emb is not None:
        inverse = attention.rot_emb.inv_freq.to(_wide(x.dtype))
        angles = torch.outer(torch.arange(x.shape[1], device=x.device, dtype=inverse.dtype), inverse)
        angles = torch.cat([angles, angles], dim=-1)  # (T, D)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        query, key = _rotate(query, cos, sin), _rotate(key, cos, sin)
    return query, key, value


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def _wide(dtype: torch.dtype) -> torch.dtype:
    """At least float32: half precision is too coarse for angles and for a softmax."""
    return torch.promote_types(dtype, torch.float32)
