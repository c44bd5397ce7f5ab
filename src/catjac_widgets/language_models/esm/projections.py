"""Query, key and value of an attention block as one product, for whoever multiplies them so.

Shapes: B sequences, T tokens, C channels, H heads of D channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor


def fused_projections(attention: Any) -> tuple[Tensor, Tensor]:
    """Weight (3 C, C) and bias (3 C) of query, key and value together, turning pairs side by side."""
    heads, width = attention.num_heads, attention.head_dim
    order = torch.arange(width)
    if attention.rot_emb is not None:
        # Rotary positions turn channel d with channel d + D / 2.
        order = order.view(2, width // 2).t().flatten()
    weights, biases = [], []
    for dense, reordered in ((attention.q_proj, True), (attention.k_proj, True), (attention.v_proj, False)):
        weight, bias = dense.weight.detach(), dense.bias.detach()
        if reordered:
            weight = weight.unflatten(0, (heads, width))[:, order].flatten(0, 1)
            bias = bias.unflatten(0, (heads, width))[:, order].flatten()
        weights.append(weight)
        biases.append(bias)
    return torch.cat(weights), torch.cat(biases)


def divided(fused: Tensor, heads: int, turn: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Divide (B, T, 3 C) of `fused_projections` into query, key and value (B, H, T, D); changes it."""
    parts = fused.unflatten(-1, (3, heads, -1))  # (B, T, 3, H, D)
    if turn is not None:
        pairs = torch.view_as_complex(parts[:, :, :2].unflatten(-1, (-1, 2)))  # (B, T, 2, H, D / 2)
        pairs.mul_(turn[:, None, None])
    query, key, value = (parts[:, :, k].transpose(1, 2) for k in range(3))
    return query, key, value
