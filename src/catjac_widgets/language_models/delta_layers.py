"""Dense layers of a mutant as those of the wild type plus a coarse product of the difference.

``W·h + b = (W·h₀ + b) + W·(h − h₀)``: what the wild type's states h₀ give is kept in float32, and only the
product with the difference is taken in eight or sixteen bits. The error is then a share of the *effect* of a
mutation, not of the logits, which are much larger. Attention, norms and sums stay in float32.

A layer whose differences have a few channels far larger than the others (massive activations) cannot be told
apart in eight bits; `choose_exact` finds such layers on this protein's own mutants, and they stay in float32.

Shapes: B sequences, T tokens, C channels in, O out.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.nn.functional as F

from catjac_widgets.language_models import fingerprints
from catjac_widgets.language_models.linear_layers import LinearLayers, divided, fused_projections

if TYPE_CHECKING:
    from torch import Tensor

#: A layer stays in float32 if its product of a difference is off by more than this share, root mean square.
LARGEST_LAYER_ERROR = 0.05

#: How many tokens a sequence are multiplied in float32 where the others have eight bits.
TOKENS_IN_FLOAT32 = 3


class CoarseWeight(Protocol):
    """A dense layer's weight in few bits."""

    def add_product(self, base: Tensor, difference: Tensor) -> Tensor:
        """Return ``base + difference · Wᵀ``: base (T, O), difference (B, T, C), which may be overwritten."""
        ...


class Int8Weight:
    """Eight bits, one scale a row of the weight, and one a token of the difference.

    The tokens that differ most in each sequence, the mutated one above all, are multiplied in float32: what
    all others receive comes from them, and they are few.
    """

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight  # (O, C)
        self._scale = weight.abs().amax(dim=1).clamp_min(1e-30) / 127  # (O,)
        self._transposed = (weight / self._scale[:, None]).round().to(torch.int8).t().contiguous()  # (C, O)

    def add_product(self, base: Tensor, difference: Tensor) -> Tensor:
        """See `CoarseWeight.add_product`."""
        sequences, tokens, _ = difference.shape
        largest = torch.linalg.vector_norm(difference, float("inf"), dim=-1, keepdim=True).clamp_min_(1e-30)
        strongest = largest[..., 0].topk(min(TOKENS_IN_FLOAT32, tokens), dim=1, sorted=False).indices
        where = torch.arange(sequences, device=strongest.device)[:, None], strongest  # (B, k) each
        exact = F.linear(difference[where], self._weight) + base[strongest]
        steps = difference.mul_(127 / largest).round_().to(torch.int8)
        product = torch._int_mm(steps.flatten(0, 1), self._transposed) * self._scale  # (B T, O)
        found = torch.addcmul(base, product.unflatten(0, (sequences, tokens)), largest, value=1 / 127)
        found[where] = exact
        return found


class HalfWeight:
    """Sixteen bits, which graphics processors (and some CPUs) multiply at a multiple of float32's speed."""

    def __init__(self, weight: Tensor, dtype: torch.dtype) -> None:
        self._weight = weight.to(dtype)

    def add_product(self, base: Tensor, difference: Tensor) -> Tensor:
        """See `CoarseWeight.add_product`."""
        return base + F.linear(difference.to(self._weight.dtype), self._weight)


class DeltaLayers(LinearLayers):
    """Dense layers for the mutants of one protein.

    Parameters
    ----------
    model
        fair-esm's, float32.
    exact
        How layers are multiplied in float32.
    kind
        "int8", "bfloat16" or "float16".

    Attributes
    ----------
    stage
        "remember" while the wild type passes, "check" while `choose_exact`'s mutants do, then "run".
    errors
        What `choose_exact` measured, by layer.
    """

    def __init__(self, model: Any, exact: LinearLayers, kind: str) -> None:
        self.stage = "remember"
        self.errors: dict[str, float] = {}
        self._exact = exact
        self._coarse = coarse_weights(model, kind)
        self._names = {id(module): name for name, module in model.named_modules()}
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}
        self._in_float32: set[int] = set()

    @property
    def in_float32(self) -> list[str]:
        """Names of the layers that stay in float32."""
        return sorted(self._names[key] for key in self._in_float32)

    def __call__(self, dense: Any, x: Tensor) -> Tensor:
        """See `LinearLayers.__call__`."""
        return self._apply(dense, x, lambda: self._exact(dense, x))

    def projections(self, attention: Any, x: Tensor, turn: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """See `LinearLayers.projections`; fused, with the channels in the order of `fused_projections`."""
        fused = self._apply(attention, x, lambda: self._fused(attention, x))
        # Turned in place: a copy where the wild type's are kept for later.
        return divided(fused.clone() if self.stage == "remember" else fused, attention.num_heads, turn)

    def _apply(self, module: Any, x: Tensor, exactly: Any) -> Tensor:
        key = id(module)
        if self.stage == "run" and key not in self._in_float32:
            known, base = self._kept[key]
            return self._coarse[key].add_product(base, x - known)
        found: Tensor = exactly()
        if self.stage == "remember":
            self._kept[key] = x[0].clone(), found[0].clone()
        elif self.stage == "check":
            known, base = self._kept[key]
            error = (self._coarse[key].add_product(base, x - known) - found).square().mean()
            effect = (found - base).square().mean()
            share = float((error / effect.clamp_min(1e-30)).sqrt())
            self.errors[self._names[key]] = share
            # Also where the error is no number.
            if not share <= LARGEST_LAYER_ERROR:
                self._in_float32.add(key)
        return found

    def _fused(self, attention: Any, x: Tensor) -> Tensor:
        if type(self._exact) is LinearLayers:
            return F.linear(x, *fused_projections(attention))
        return self._exact(attention, x)


_COARSE: weakref.WeakKeyDictionary[Any, tuple[Any, dict[int, CoarseWeight]]] = weakref.WeakKeyDictionary()
_GUARD = threading.Lock()


def coarse_weights(model: Any, kind: str) -> dict[int, CoarseWeight]:
    """Weights of all dense layers in few bits, by the layer's identity; kept while model and weights live."""
    with _GUARD:
        stamp = kind, fingerprints.weights_stamp(model)
        known = _COARSE.get(model)
        if known is None or known[0] != stamp:
            known = _COARSE[model] = stamp, _coarse_weights(model, kind)
        return known[1]


def _coarse_weights(model: Any, kind: str) -> dict[int, CoarseWeight]:
    def coarse(weight: Tensor) -> CoarseWeight:
        weight = weight.detach()
        return Int8Weight(weight) if kind == "int8" else HalfWeight(weight, getattr(torch, kind))

    made = {id(model.lm_head.dense): coarse(model.lm_head.dense.weight)}
    for layer in model.layers:
        made[id(layer.self_attn)] = coarse(fused_projections(layer.self_attn)[0])
        for dense in (layer.self_attn.out_proj, layer.fc1, layer.fc2):
            made[id(dense)] = coarse(dense.weight)
    return made
