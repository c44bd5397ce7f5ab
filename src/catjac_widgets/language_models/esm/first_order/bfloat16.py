"""Approximate forward passes in bfloat16, for previews: quick where the processor multiplies bfloat16.

Dense layers and attention multiply in bfloat16; states between layers, norms and the last layer of letters
stay in float32. A Jacobian from such passes is off by some 20 % (the difference of two rounded numbers) and
its contact map keeps its order: see ``benchmarks/preview.csv``. Nothing exact is made of it.

Shapes: B sequences, T tokens, C channels, H heads of D channels, L residues, A letters.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from catjac_widgets.language_models import fingerprints
from catjac_widgets.language_models.esm.forward import embed, letter_logits, rotary
from catjac_widgets.language_models.esm.linear_layers import LinearLayers, fast_layers
from catjac_widgets.language_models.esm.projections import divided, fused_projections

if TYPE_CHECKING:
    from torch import Tensor


#: How many rows oneDNN is given at a time: a power of two from the first of these to the second, or a
#: multiple of the second up to the third; zeros fill up. It keeps half a megabyte for every number of rows
#: that a layer was multiplied with: with as many as there are lengths of proteins, that would be 600 MB.
LEAST_ROWS, ROW_STEP, MOST_ROWS = 32, 256, 4096


class Bfloat16Layers(LinearLayers):
    """Dense layers in bfloat16, laid out once for oneDNN; results are bfloat16.

    Query, key and value are one product, their channels in the order of `FusedLayers`.

    Parameters
    ----------
    model
        fair-esm's, float32 on a CPU.
    """

    dtype = torch.bfloat16

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
        weight, bias = self._packed[id(dense)]
        return multiply(x.to(self.dtype), weight, bias)

    def gelu(self, dense: Any, x: Tensor) -> Tensor:
        """Apply one dense layer and GELU."""
        weight, bias = self._packed[id(dense)]
        return multiply(x.to(self.dtype), weight, bias, gelu=True)

    def projections(self, attention: Any, x: Tensor, turn: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """See `LinearLayers.projections`; float32, of numbers multiplied in bfloat16."""
        return divided(self(attention, x).float(), attention.num_heads, turn)

    def attend(self, attention: Any, x: Tensor, turn: Tensor | None) -> Tensor:
        """Mixtures (B, T, C) of one attention block, bfloat16; `x` and `turn` as of `projections`."""
        fused = self(attention, x).unflatten(-1, (3, attention.num_heads, -1))  # (B, T, 3, H, D)
        pairs = fused[:, :, :2].float()
        root = attention.scaling**0.5
        if turn is None:
            pairs *= root
        else:
            torch.view_as_complex(pairs.unflatten(-1, (-1, 2))).mul_((turn * root)[:, None, None])
        query, key = pairs.permute(2, 0, 3, 1, 4).to(self.dtype, memory_format=torch.contiguous_format)
        value = fused[:, :, 2].transpose(1, 2).contiguous()  # (B, H, T, D)
        weights = torch.bmm(query.flatten(0, 1), key.flatten(0, 1).transpose(1, 2)).exp_()
        mixed = torch.bmm(weights, value.flatten(0, 1)).div_(weights.sum(-1, keepdim=True))
        return mixed.view_as(value).transpose(1, 2).flatten(2)


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
    after: tuple[str, list[Any], str] = ("gelu", [], "none") if gelu else ("none", [], "")
    parts = []
    for part in rows.split(MOST_ROWS):
        filled = F.pad(part, (0, 0, 0, _room(len(part)) - len(part)))
        parts.append(torch.ops.mkldnn._linear_pointwise(filled, weight, bias, *after)[: len(part)])
    found = parts[0] if len(parts) == 1 else torch.cat(parts)
    return found.unflatten(0, x.shape[:-1])


def _room(rows: int) -> int:
    """How many rows oneDNN is given for so many, at most `MOST_ROWS`."""
    if rows > ROW_STEP:
        return -(-rows // ROW_STEP) * ROW_STEP
    return max(LEAST_ROWS, 1 << (rows - 1).bit_length()) if rows else LEAST_ROWS


def approximate_logits(
    model: Any, tokens: Tensor, residues: slice, letters: Tensor, linear: LinearLayers
) -> Tensor:
    """Logits (B, L, A) as of `letter_logits`; in bfloat16 with `Bfloat16Layers`.

    The softmax of attention runs without subtracting its maximum, so that a score above 88 gives NaN.
    """
    if not isinstance(linear, Bfloat16Layers):
        return letter_logits(model, tokens, residues, letters, linear)
    x = embed(model, tokens)
    turn = rotary(model, tokens.shape[1])
    for layer in model.layers:
        attention = layer.self_attn
        x += linear(attention.out_proj, linear.attend(attention, layer.self_attn_layer_norm(x), turn))
        x += linear(layer.fc2, linear.gelu(layer.fc1, layer.final_layer_norm(x)))
    head = model.lm_head
    x = linear.gelu(head.dense, model.emb_layer_norm_after(x[:, residues])).float()
    return F.linear(head.layer_norm(x), head.weight[letters], head.bias[letters])


_PACKED: weakref.WeakKeyDictionary[Any, tuple[Any, LinearLayers]] = weakref.WeakKeyDictionary()
_GUARD = threading.Lock()


def approximate_layers(model: Any) -> LinearLayers:
    """Return bfloat16 layers where the processor multiplies them faster than float32, else `fast_layers`.

    What is packed is kept as long as the model lives and its weights stay the same.
    """
    if not _pays(model.embed_tokens.weight):
        return fast_layers(model)
    with _GUARD:
        stamp = fingerprints.weights_stamp(model)
        known = _PACKED.get(model)
        if known is None or known[0] != stamp:
            known = _PACKED[model] = stamp, Bfloat16Layers(model)
        return known[1]


def _pays(weight: Tensor) -> bool:
    quick = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or quick is None or not quick():
        return False
    # Operations of torch's own compiler: a torch without them, or with others of that name, does without.
    try:
        x, dense = torch.eye(3, 5), torch.arange(20.0).view(4, 5) / 20
        packed, bias = pack(dense, torch.ones(4), torch.bfloat16)
        found = torch.ops.mkldnn._linear_pointwise(x.bfloat16(), packed, bias, "gelu", [], "none")
    except (RuntimeError, AttributeError, TypeError, NotImplementedError):
        return False
    return torch.allclose(found.float(), F.gelu(F.linear(x, dense, torch.ones(4))), atol=0.02)
