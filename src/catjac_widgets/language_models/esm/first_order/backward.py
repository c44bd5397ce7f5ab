"""Layers of fair-esm's ESM-2 and ESM-1b backwards: gradients at the wild type, attention weights held.

Only gradients with respect to states are made, none of weights, and all that depends on the wild type alone
is computed once. Every gradient may be that of many outputs at once (N), for all tokens, or, where it is
followed along one token's own stream alone, at that token.

Shapes: N gradients, T tokens, C channels, H heads of D channels, A letters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from torch import Tensor


class BackwardNorm:
    """Gradient of dense(norm(x)) at x, the norm's shares multiplied into the weight.

    Parameters
    ----------
    norm
        A layer norm over channels.
    x
        Its input (T, C).
    weight
        Of the dense layer (O, C).
    dtype
        In which to multiply.
    """

    def __init__(self, norm: Any, x: Tensor, weight: Tensor, dtype: torch.dtype) -> None:
        variance, mean = torch.var_mean(x, dim=-1, keepdim=True, correction=0)
        inverse = (variance + norm.eps).rsqrt()  # (T, 1)
        self._inverse, self._normed = inverse.to(dtype), ((x - mean) * inverse).to(dtype)
        scaled = weight * norm.weight
        self._weight = (scaled - scaled.mean(dim=1, keepdim=True)).to(dtype)  # (O, C)

    def __call__(self, gradient: Tensor, tokens: Tensor | None = None) -> Tensor:
        """From (…, T, O) to (…, T, C); or from (N, …, O) at one token each, `tokens` (N,), to (N, …, C)."""
        inverse, normed = _at(self._inverse, gradient, tokens), _at(self._normed, gradient, tokens)
        found = gradient @ self._weight
        along = (found * normed).mean(-1, keepdim=True)
        return found.addcmul_(along, normed, value=-1).mul_(inverse)


class BackwardBlock:
    """Gradient of y = x + feed_forward(x), x = … + out_proj(o), from y to x and to the mixture o.

    Parameters
    ----------
    layer
        fair-esm's.
    x
        The state (T, C) between attention and the feed-forward part.
    dtype
        In which to multiply.
    """

    def __init__(self, layer: Any, x: Tensor, dtype: torch.dtype) -> None:
        self._slope = gelu_slope(layer.fc1(layer.final_layer_norm(x))).to(dtype)  # (T, 4 C)
        self._second = layer.fc2.weight.detach().to(dtype)
        self._first = BackwardNorm(layer.final_layer_norm, x, layer.fc1.weight, dtype)
        self._out = layer.self_attn.out_proj.weight.detach().to(dtype)

    def __call__(self, gradient: Tensor, tokens: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """From (N, T, C), or (N, …, C) at one token each, to two of the same shape."""
        gradient = gradient.to(self._out.dtype)
        inner = gradient @ self._second
        inner *= _at(self._slope, inner, tokens)
        gradient = self._first(inner, tokens).add_(gradient)
        return gradient, gradient @ self._out


class BackwardHead:
    """The language-model head, and its gradient for each letter.

    Parameters
    ----------
    model
        fair-esm's.
    x
        The last layer's states (T, C).
    letters
        Rows of the vocabulary (A,).
    """

    def __init__(self, model: Any, x: Tensor, letters: Tensor) -> None:
        self._head, self._norm = model.lm_head, model.emb_layer_norm_after
        self._weight, self._bias = self._head.weight[letters].detach(), self._head.bias[letters].detach()
        hidden = self._head.dense(self._norm(x))
        self._slope = gelu_slope(hidden)
        self._second = BackwardNorm(self._head.layer_norm, F.gelu(hidden), self._weight, x.dtype)
        self._first = BackwardNorm(self._norm, x, self._head.dense.weight.detach(), x.dtype)

    def read(self, x: Tensor) -> Tensor:
        """Logits (…, A) of states (…, C)."""
        return F.linear(
            self._head.layer_norm(F.gelu(self._head.dense(self._norm(x)))), self._weight, self._bias
        )

    def __call__(self, tokens: Tensor) -> Tensor:
        """Gradients (N, A, C) of the logits of some tokens (N,) at their last states."""
        letters = torch.eye(len(self._weight), dtype=self._weight.dtype, device=self._weight.device)
        found = self._second(letters.expand(len(tokens), -1, -1), tokens)
        return self._first(found * _at(self._slope, found, tokens), tokens)


def gelu_slope(x: Tensor) -> Tensor:
    """Differentiate the exact GELU (Hendrycks and Gimpel, 2016)."""
    return 0.5 * (1 + torch.erf(x * 0.5**0.5)) + x * torch.exp(-0.5 * x * x) * (2 * torch.pi) ** -0.5


def _at(known: Tensor, like: Tensor, tokens: Tensor | None) -> Tensor:
    """Rows of what is known of tokens (T, …), shaped to multiply `like` (N, …, …)."""
    if tokens is None:
        return known
    return known[tokens].view(len(tokens), *[1] * (like.ndim - 2), -1)
