"""How the dense layers of a fair-esm model are multiplied: as they are, fused, or packed for a CPU's units.

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

#: Weights larger than this are not packed: the packed copy lies in memory beside them, and with it and the
#: rows that a contact map holds (0.36 GB at 1022 residues) a Jacobian is to take less than 1 GB.
MOST_PACKED_BYTES = 600 * 2**20

#: How many rows oneDNN is given at a time: powers of two between these. It keeps half a megabyte of machine
#: code for every number of rows that a layer was multiplied with, of the last 1,024: with as many numbers as
#: there are lengths of proteins, that would come to 600 MB.
LEAST_ROWS, MOST_ROWS = 32, 1024

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


class PackedLayers(LinearLayers):
    """Dense layers laid out once for oneDNN, query, key and value as one product.

    The channels of queries and keys are reordered so that the two that rotary positions turn lie side by
    side: turning is then one complex product in place, and the scores, sums over channels, stay the same.

    Parameters
    ----------
    model
        fair-esm's, float32 on a CPU.

    Attributes
    ----------
    dtype
        In which the weights are laid out.
    """

    dtype = torch.float32

    def __init__(self, model: Any) -> None:
        self._packed: dict[int, tuple[Tensor, Tensor | None]] = {}
        for layer in model.layers:
            attention = layer.self_attn
            self._packed[id(attention)] = pack(*fused_projections(attention), self.dtype)
            for dense in (attention.out_proj, layer.fc1, layer.fc2):
                self._packed[id(dense)] = pack(dense.weight, dense.bias, self.dtype)
        dense = model.lm_head.dense
        self._packed[id(dense)] = pack(dense.weight, dense.bias, self.dtype)

    def __call__(self, dense: Any, x: Tensor) -> Tensor:
        """See `LinearLayers.__call__`."""
        return multiply(x, *self._packed[id(dense)])

    def projections(self, attention: Any, x: Tensor, turn: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """See `LinearLayers.projections`."""
        return divided(self(attention, x), attention.num_heads, turn)


class FusedLayers(LinearLayers):
    """Query, key and value as one product, for a GPU; the channels are in the order of `PackedLayers`.

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


def pack(weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """Lay a dense layer out for oneDNN, in `dtype`."""
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().to(dtype).contiguous())
    return packed, None if bias is None else bias.detach().to(dtype)


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None, *, gelu: bool = False) -> Tensor:
    """Multiply (…, C) with a layer of `pack`, in parts of few different sizes; (…, its outputs).

    Parameters
    ----------
    gelu
        Whether GELU, exact, is applied to what comes out.
    """
    rows = x.flatten(0, -2)
    after = ("gelu", [], "none") if gelu else ("none", [], "")
    parts = []
    for part in rows.split(_parts(len(rows))):
        padded = F.pad(part, (0, 0, 0, -len(part) % LEAST_ROWS)) if len(part) % LEAST_ROWS else part
        parts.append(torch.ops.mkldnn._linear_pointwise(padded, weight, bias, *after)[: len(part)])
    found = parts[0] if len(parts) == 1 else torch.cat(parts)
    return found.unflatten(0, x.shape[:-1])


def _parts(rows: int) -> list[int]:
    """Divide so many rows into powers of two, the greatest first; the last may be a part of the least."""
    sizes = [MOST_ROWS] * (rows // MOST_ROWS)
    size, left = MOST_ROWS // 2, rows % MOST_ROWS
    while left > 0 and size >= LEAST_ROWS:
        if left >= size:
            sizes.append(size)
            left -= size
        size //= 2
    return [*sizes, left] if left or not sizes else sizes


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


_PACKED: weakref.WeakKeyDictionary[Any, tuple[Any, LinearLayers]] = weakref.WeakKeyDictionary()
_GUARD = threading.Lock()


def fast_layers(model: Any) -> LinearLayers:
    """Return the fastest exact strategy for a model where it is, packing its weights at the first call.

    What is packed is kept as long as the model lives and its weights, which are read for it, stay the same.
    """
    make = _fastest(model)
    if make is LinearLayers:
        return make()
    with _GUARD:
        stamp = fingerprints.weights_stamp(model)
        known = _PACKED.get(model)
        if known is not None and known[0] == stamp:
            return known[1]
        layers = make(model)
        _PACKED[model] = stamp, layers
        return layers


def _fastest(model: Any) -> Callable[..., LinearLayers]:
    if _can_pack(model):
        return PackedLayers
    weight = model.embed_tokens.weight
    if weight.device.type == "cuda":
        fused = sum(3 * layer.embed_dim**2 for layer in model.layers) * weight.dtype.itemsize
        if fused <= MOST_FUSED_SHARE * torch.cuda.get_device_properties(weight.device).total_memory:
            return FusedLayers
    return LinearLayers


def _can_pack(model: Any) -> bool:
    weight = model.embed_tokens.weight
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return False
    if sum(parameter.nbytes for parameter in model.parameters()) > MOST_PACKED_BYTES:
        return False
    # The two operations are those that torch's own compiler uses; a torch without them, or with others of the
    # same name, multiplies as the modules do.
    try:
        x, weight = torch.eye(3, 5), torch.arange(20.0).view(4, 5)
        packed, bias = pack(weight, torch.ones(4), torch.float32)
        found = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    except (RuntimeError, AttributeError, TypeError, NotImplementedError):
        return False
    return bool(torch.allclose(found, F.linear(x, weight, bias)))
