"""How the dense layers of a fair-esm model are multiplied: as they are, or fused.

A strategy is given to the forward pass of `forward`, which knows no other difference between them; the one
that works on differences from the wild type is `DeltaLayers`.

Shapes: B sequences, T tokens, C channels, H heads of D channels.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from catjac_widgets.language_models import fingerprints
from catjac_widgets.language_models.esm.projections import divided, fused_projections

if TYPE_CHECKING:
    from torch import Tensor

#: Weights larger than this are not laid out a second time on a CPU: the copy lies beside them in memory, and
#: with it and the rows that a contact map holds (0.36 GB at 1022 residues) a Jacobian is to take less than
#: 1 GB.
MOST_COPIED_BYTES = 600 * 2**20

#: On a GPU, fused weights lie beside the model's if they take no more than this share of its memory.
MOST_FUSED_SHARE = 1 / 16


class LinearLayers:
    """The dense layers as the model holds them."""

    def __call__(self, dense: Any, x: Tensor) -> Tensor:
        """Apply one dense layer: (…, C) to (…, its outputs)."""
        return dense(x)

    def projections(self, attention: Any, x: Tensor, turn: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of one attention block, each (B, H, T, D).

        Parameters
        ----------
        attention
            fair-esm's module.
        x
            Its input (B, T, C), normed.
        turn
            Rotary positions as complex numbers (T, D / 2), or None for a model without them.
        """
        query, key, value = (
            self(dense, x).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
            for dense in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        if turn is not None:
            cos, sin = (torch.cat([part, part], dim=-1).to(x.dtype) for part in (turn.real, turn.imag))
            query, key = _turned(query, cos, sin), _turned(key, cos, sin)
        return query, key, value


class FusedLayers(LinearLayers):
    """Query, key and value as one product.

    The channels of queries and keys are reordered so that the two that rotary positions turn lie side by
    side: turning is then one complex product in place, and the scores, sums over channels, stay the same.

    Parameters
    ----------
    model
        fair-esm's, of any floating type.
    """

    def __init__(self, model: Any) -> None:
        self._fused = {id(layer.self_attn): fused_projections(layer.self_attn) for layer in model.layers}

    def __call__(self, dense: Any, x: Tensor) -> Tensor:
        """See `LinearLayers.__call__`."""
        fused = self._fused.get(id(dense))
        return dense(x) if fused is None else F.linear(x, *fused)

    def projections(self, attention: Any, x: Tensor, turn: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """See `LinearLayers.projections`; turned in float32 where `x` is of 16-bit floats."""
        if x.dtype.itemsize > 2:
            return divided(self(attention, x), attention.num_heads, turn)
        from catjac_widgets.language_models.esm.cuda.fused_steps import steps_for

        weight, bias = self._fused[id(attention)]
        return steps_for(x.device).turned(F.linear(x, weight), bias, attention.num_heads, turn, x.dtype)


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


_FUSED: weakref.WeakKeyDictionary[Any, tuple[Any, LinearLayers]] = weakref.WeakKeyDictionary()
_GUARD = threading.Lock()


def fast_layers(model: Any) -> LinearLayers:
    """Return the fastest exact strategy for a model where it is, fusing its weights at the first call.

    What is fused is kept as long as the model lives and its weights, which are read for it, stay the same.
    """
    make = _fastest(model)
    if make is LinearLayers:
        return make()
    with _GUARD:
        stamp = fingerprints.weights_stamp(model)
        known = _FUSED.get(model)
        if known is not None and known[0] == stamp:
            return known[1]
        layers = make(model)
        _FUSED[model] = stamp, layers
        return layers


def _fastest(model: Any) -> Callable[..., LinearLayers]:
    weight = model.embed_tokens.weight
    if weight.device.type == "cpu":
        small = sum(parameter.nbytes for parameter in model.parameters()) <= MOST_COPIED_BYTES
        return FusedLayers if small and weight.dtype == torch.float32 else LinearLayers
    if weight.device.type == "cuda":
        fused = sum(3 * layer.embed_dim**2 for layer in model.layers) * weight.dtype.itemsize
        if fused <= MOST_FUSED_SHARE * torch.cuda.get_device_properties(weight.device).total_memory:
            return FusedLayers
    return LinearLayers
