"""Dense layers of a mutant as those of the wild type plus an 8-bit product of the difference.

``W·h + b = (W·h₀ + b) + W·(h − h₀)``: what the wild type's states h₀ give is kept in float32, and only the
product with the difference is taken in eight bits (`Delta16BitPass` takes 16-bit floats). The error is then
a share of the *effect* of a mutation, not of the logits, which are much larger. Attention, norms and sums
stay in float32.

A layer whose differences have a few channels far larger than the others (massive activations) cannot be told
apart in eight bits; such layers are found on a few of this protein's own mutants, and stay in float32.

Shapes: B sequences, T tokens, C channels in, O out.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from catjac_widgets.language_models import fingerprints
from catjac_widgets.language_models.esm.linear_layers import LinearLayers
from catjac_widgets.language_models.esm.numerics.differences import LARGEST_LAYER_ERROR
from catjac_widgets.language_models.esm.projections import divided, fused_projections

if TYPE_CHECKING:
    from torch import Tensor

#: How many tokens a sequence are multiplied with two terms of eight bits.
STRONGEST_TOKENS = 12

#: The first term leaves at most half a step of a number: 254 steps of the second make one of the first.
FINER = 254


class Int8Weight:
    """A dense layer's weight in eight bits, one scale a row, and one a token of the difference.

    The tokens that differ most in each sequence, the mutated one above all, are the sum of two terms of eight
    bits: what all others receive comes from them, and they are few.

    Attributes
    ----------
    weight
        (O, C), float32.
    scale
        (O,): what one step of each row is worth.
    offset
        (O,), int32: 128 times the sum of a row's steps.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self.scale = weight.abs().amax(dim=1).clamp_min(1e-30) / 127
        steps = (weight / self.scale[:, None]).round().to(torch.int8)
        self.offset = 128 * steps.sum(dim=1, dtype=torch.int32)
        self._steps, self._packed = steps, False

    def add_product(self, base: Tensor, difference: Tensor, strongest: Tensor) -> Tensor:
        """Return ``base + difference · Wᵀ``.

        Parameters
        ----------
        base
            (T, O).
        difference
            (B, T, C); may be overwritten.
        strongest
            Tokens (B, k) that have two terms.
        """
        sequences, tokens, _ = difference.shape
        where = torch.arange(sequences, device=strongest.device)[:, None], strongest  # (B, k) each
        largest = torch.linalg.vector_norm(difference, float("inf"), dim=-1, keepdim=True).clamp_min_(1e-30)
        exact = difference.mul_(127 / largest)
        steps = exact.round()
        finer = exact[where].sub_(steps[where]).mul_(FINER).round_()
        rows = torch.cat([steps.flatten(0, 1), finer.flatten(0, 1)]).to(torch.int8)
        product = torch._int_mm(rows, self.steps().t()) * self.scale  # (B (T + k), O)
        found = product[: sequences * tokens].unflatten(0, (sequences, tokens))
        found[where] += product[sequences * tokens :].unflatten(0, strongest.shape) / FINER
        return torch.addcmul(base, found, largest, value=1 / 127)

    def steps(self) -> Tensor:
        """Return the weight in steps, int8 (O, C)."""
        return unpacked(self._steps, *self.weight.shape) if self._packed else self._steps

    def packed(self) -> Tensor:
        """Return the weight in steps as the compiled kernel reads it, from now on the only copy."""
        if not self._packed:
            self._steps, self._packed = packed(self._steps), True
        return self._steps


def packed(steps: Tensor) -> Tensor:
    """Lay (O, C) out in panels of up to 64 outputs, flat: in a panel (C / 4, outputs, 4)."""
    return torch.cat([part.unflatten(1, (-1, 4)).transpose(0, 1).flatten() for part in steps.split(64)])


def unpacked(panels: Tensor, outputs: int, inputs: int) -> Tensor:
    """Undo `packed`."""
    parts = [part.view(inputs // 4, -1, 4).transpose(0, 1).flatten(1) for part in panels.split(64 * inputs)]
    return torch.cat(parts).view(outputs, inputs)


class DeltaLayers(LinearLayers):
    """Dense layers for the mutants of one protein.

    Parameters
    ----------
    model
        fair-esm's, float32.
    exact
        How layers are multiplied in float32.

    Attributes
    ----------
    stage
        "remember" while the wild type passes, "check" while a few mutants do, on which layers are tried, then
        "run".
    errors
        What the check measured, by layer: share of the effect, root mean square.
    """

    def __init__(self, model: Any, exact: LinearLayers) -> None:
        self.stage = "remember"
        self.errors: dict[str, float] = {}
        self._exact = exact
        self._weights = int8_weights(model)
        self._names = {id(module): name for name, module in model.named_modules()}
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}
        self._in_float32: set[int] = set()
        # The second layer of a block has the strongest tokens of the first: the kernel takes both at once.
        self._followers = {id(layer.fc2) for layer in model.layers}
        self._strongest: Tensor | None = None

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

    def remembered(self, module: Any) -> tuple[Tensor, Tensor]:
        """Input (T, C) and output (T, O) of one layer for the wild type."""
        return self._kept[id(module)]

    def weight(self, module: Any) -> Int8Weight:
        """Return the weight of one layer in eight bits."""
        return self._weights[id(module)]

    def stays_in_float32(self, module: Any) -> bool:
        """Whether one layer cannot be multiplied in eight bits on this protein."""
        return id(module) in self._in_float32

    def _apply(self, module: Any, x: Tensor, exactly: Any) -> Tensor:
        key = id(module)
        if self.stage == "remember":
            found: Tensor = exactly()
            self._kept[key] = x[0].clone(), found[0].clone()
            return found
        known, base = self._kept[key]
        difference = x - known
        if key not in self._followers:
            count = min(STRONGEST_TOKENS, x.shape[1])
            largest = torch.linalg.vector_norm(difference, float("inf"), dim=-1)
            self._strongest = largest.topk(count, dim=1, sorted=False).indices
        assert self._strongest is not None
        if self.stage == "run" and key not in self._in_float32:
            return self._weights[key].add_product(base, difference, self._strongest)
        found = exactly()
        if self.stage == "check":
            error = self._weights[key].add_product(base, difference, self._strongest) - found
            effect = (found - base).square().mean()
            share = float((error.square().mean() / effect.clamp_min(1e-30)).sqrt())
            self.errors[self._names[key]] = share
            if self._too_far(key, share):
                self._in_float32.add(key)
        return found

    def _too_far(self, key: int, share: float) -> bool:
        # Also where the error is no number.
        return not share <= LARGEST_LAYER_ERROR

    def _fused(self, attention: Any, x: Tensor) -> Tensor:
        if type(self._exact) is LinearLayers:
            return F.linear(x, *fused_projections(attention))
        return self._exact(attention, x)


_WEIGHTS: weakref.WeakKeyDictionary[Any, tuple[Any, dict[int, Int8Weight]]] = weakref.WeakKeyDictionary()
_GUARD = threading.Lock()


def int8_weights(model: Any) -> dict[int, Int8Weight]:
    """Weights of all dense layers in eight bits, by the layer's identity; kept while model and weights live.

    Those of query, key and value are together under their attention (see `fused_projections`).
    """
    with _GUARD:
        stamp = fingerprints.weights_stamp(model)
        known = _WEIGHTS.get(model)
        if known is None or known[0] != stamp:
            known = _WEIGHTS[model] = stamp, _int8_weights(model)
        return known[1]


def _int8_weights(model: Any) -> dict[int, Int8Weight]:
    made = {id(model.lm_head.dense): Int8Weight(model.lm_head.dense.weight.detach())}
    for layer in model.layers:
        made[id(layer.self_attn)] = Int8Weight(fused_projections(layer.self_attn)[0])
        for dense in (layer.self_attn.out_proj, layer.fc1, layer.fc2):
            made[id(dense)] = Int8Weight(dense.weight.detach())
    return made
