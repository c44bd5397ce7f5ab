"""A pass in which mutants' dense layers are the wild type's plus products of differences in 16-bit floats.

``W·h + b = (W·h₀ + b) + W·(h − h₀)``, as in `DeltaLayers`, but written for graphics processors: the residual
stream stays in float32, what lies between two products is one step (`Steps`), and attention may take 16-bit
floats too. What attention gives the mutant is compared with what the *same* 16-bit floats give the wild type:
residues that a mutation does not reach then differ by nothing at all.

For attention float16 is the better of the two types, whatever that of the products: queries, keys and values
are no differences, and of the two, which are multiplied equally fast, it rounds them eight times less.

A layer, or a block's attention, that is too far off on a few of this protein's own mutants stays in float32.

Shapes: B sequences, T tokens, C channels, H heads of D channels, O outputs of a dense layer, L residues.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from catjac_widgets.language_models import fingerprints
from catjac_widgets.language_models.esm.cuda.fused_steps import steps_for
from catjac_widgets.language_models.esm.cuda.steps import Steps
from catjac_widgets.language_models.esm.forward import embed, rotary
from catjac_widgets.language_models.esm.numerics.differences import LARGEST_LAYER_ERROR
from catjac_widgets.language_models.esm.projections import divided, fused_projections


@dataclass
class _Dense:
    """A dense layer of one protein.

    Attributes
    ----------
    name
        For a person.
    weight
        (O, C), in 16-bit floats, or in float32 where they are not enough.
    full
        Gives the weight in float32.
    known, base
        The wild type's input (T, C), which the second layer of a block does not need, and output (T, O).
    """

    name: str
    weight: Tensor
    full: Callable[[], Tensor]
    base: Tensor
    known: Tensor | None = None


class Delta16BitPass:
    """Logits of mutants of one protein.

    Parameters
    ----------
    model
        fair-esm's, float32; called in inference mode, within `running`.
    tokens
        Of the wild type (T,), on the model's device.
    sample
        Tokens (B, T) of some mutants, on which layers are checked.
    residues, letters
        See `letter_logits`.
    dtype
        Of products: `torch.bfloat16` or `torch.float16`.
    attention
        The type of queries, keys and values.
    steps
        What is done between products; the fastest for the device by default.

    Attributes
    ----------
    in_float32
        Names of what stays in float32.
    errors
        What the check measured: share of the effect, root mean square, by name.
    """

    def __init__(
        self,
        model: Any,
        tokens: Tensor,
        sample: Tensor,
        residues: slice,
        letters: Tensor,
        dtype: torch.dtype,
        attention: torch.dtype,
        steps: Steps | None = None,
    ) -> None:
        self._model, self._residues, self._letters = model, residues, letters
        self._steps = steps or steps_for(tokens.device)
        self._turn = rotary(model, len(tokens))
        self._weights = weights_in_16_bits(model, dtype)
        self._attention = [attention] * len(model.layers)
        self.errors: dict[str, float] = {}
        self.in_float32: list[str] = []
        #: Each block's attention of the wild type in float32, while the layers are checked.
        self._exact_attention: list[Tensor] = []
        self._blocks, self._head = self._remember(tokens)
        self._checking = True
        self(sample)
        self._checking = False
        self._exact_attention = []
        self._stay_in_float32()

    def __call__(self, tokens: Tensor) -> Tensor:
        """Logits (B, L, A), float32, of tokens (B, T) on the model's device; waits for nothing."""
        model, steps = self._model, self._steps
        x = embed(model, tokens).contiguous()  # (B, T, C)
        norms = [layer.self_attn_layer_norm for layer in model.layers[1:]] + [model.emb_layer_norm_after]
        following = [block[0] for block in self._blocks[1:]] + [self._head]
        first = self._blocks[0][0]
        difference = steps.norm_difference(
            x, model.layers[0].self_attn_layer_norm, _known(first), self._dtype(first)
        )
        for index, layer in enumerate(model.layers):
            fused, out, one, two = self._blocks[index]
            difference = self._attend(index, self._product(fused, difference))
            product = self._product(out, difference)
            difference = steps.add_norm_difference(
                x, product, out.base, layer.final_layer_norm, _known(one), self._dtype(one)
            )
            product = self._product(one, difference)
            difference = steps.gelu_difference(product, one.base, self._dtype(two))
            product = self._product(two, difference)
            then = following[index]
            difference = steps.add_norm_difference(
                x, product, two.base, norms[index], _known(then), self._dtype(then)
            )
        hidden = self._head.base[self._residues] + self._product(self._head, difference)[:, self._residues]
        head = model.lm_head
        hidden = head.layer_norm(F.gelu(hidden))
        return F.linear(hidden, head.weight[self._letters], head.bias[self._letters])

    # ---- the parts of a pass

    def _dtype(self, dense: _Dense) -> torch.dtype:
        return torch.float32 if self._checking else dense.weight.dtype

    def _product(self, dense: _Dense, difference: Tensor) -> Tensor:
        """Multiply a difference (B, T, C) to (B, T, O); exactly, and for comparison, in a check."""
        if not self._checking:
            return F.linear(difference, dense.weight)
        exact = F.linear(difference, dense.full())
        self._compare(dense.name, F.linear(difference.to(dense.weight.dtype), dense.weight), exact)
        return exact

    def _attend(self, index: int, product: Tensor) -> Tensor:
        """Attend, (B, T, 3 C) to (B, T, C), and take off what the wild type gives."""
        fused, out = self._blocks[index][:2]
        known, dtype = _known(out), self._attention[index]
        if not self._checking:
            mixed = self._mixed(index, product, fused.base, dtype)
            return self._steps.difference(mixed, known, self._dtype(out))
        exact = self._mixed(index, product.clone(), fused.base, torch.float32) - self._exact_attention[index]
        if dtype != torch.float32:
            mixed = self._mixed(index, product, fused.base, dtype)
            self._compare(_scores(index), mixed.float() - known, exact)
        return exact

    def _mixed(self, index: int, product: Tensor, base: Tensor, dtype: torch.dtype) -> Tensor:
        """Attention's mixture of values, (B, T, C), in `dtype`."""
        attention = self._model.layers[index].self_attn
        parts = self._steps.turned(product, base, attention.num_heads, self._turn, dtype)
        mixed = F.scaled_dot_product_attention(*parts, scale=attention.scaling)
        return mixed.transpose(1, 2).flatten(2)

    # ---- making ready

    def _remember(self, tokens: Tensor) -> tuple[list[tuple[_Dense, _Dense, _Dense, _Dense]], _Dense]:
        """Run the wild type in float32 and keep what its layers take and give."""
        model, blocks = self._model, []
        x = embed(model, tokens[None])
        for index, layer in enumerate(model.layers):
            attention = layer.self_attn
            states = layer.self_attn_layer_norm(x)
            weight, bias = fused_projections(attention)
            fused = self._dense(f"layers.{index}.self_attn", attention, weight, bias, states)
            fused.full = functools.partial(_fused_weight, attention)
            parts = divided(fused.base[None].clone(), attention.num_heads, self._turn)
            mixed = F.scaled_dot_product_attention(*parts, scale=attention.scaling)
            mixed = mixed.transpose(1, 2).flatten(2)
            self._exact_attention.append(mixed[0])
            name = f"layers.{index}.self_attn.out_proj"
            out = self._dense(
                name, attention.out_proj, attention.out_proj.weight, attention.out_proj.bias, mixed
            )
            nothing = fused.base.new_zeros((1, *fused.base.shape))
            out.known = self._mixed(index, nothing, fused.base, self._attention[index])[0]
            x = x + out.base
            states = layer.final_layer_norm(x)
            one = self._dense(f"layers.{index}.fc1", layer.fc1, layer.fc1.weight, layer.fc1.bias, states)
            two = self._dense(
                f"layers.{index}.fc2", layer.fc2, layer.fc2.weight, layer.fc2.bias, F.gelu(one.base[None])
            )
            two.known = None
            x = x + two.base
            blocks.append((fused, out, one, two))
        dense = model.lm_head.dense
        states = model.emb_layer_norm_after(x)
        return blocks, self._dense("lm_head.dense", dense, dense.weight, dense.bias, states)

    def _dense(self, name: str, module: Any, weight: Tensor, bias: Tensor, states: Tensor) -> _Dense:
        base = F.linear(states[0], weight, bias)
        return _Dense(name, self._weights[id(module)], lambda: weight, base, states[0])

    def _compare(self, name: str, found: Tensor, exact: Tensor) -> None:
        error, effect = (found.float() - exact).square().mean(), exact.square().mean()
        self.errors[name] = float((error / effect.clamp_min(1e-30)).sqrt())

    def _stay_in_float32(self) -> None:
        """Take float32 for what was too far off; also where the error is no number."""
        self.in_float32 = sorted(
            name for name, share in self.errors.items() if not share <= LARGEST_LAYER_ERROR
        )
        for dense in [dense for block in self._blocks for dense in block] + [self._head]:
            if dense.name in self.in_float32:
                dense.weight = dense.full()
        for index, (fused, out, *_) in enumerate(self._blocks):
            if _scores(index) in self.in_float32:
                self._attention[index] = torch.float32
                nothing = fused.base.new_zeros((1, *fused.base.shape))
                out.known = self._mixed(index, nothing, fused.base, torch.float32)[0]


def _known(dense: _Dense) -> Tensor:
    assert dense.known is not None
    return dense.known


def _fused_weight(attention: Any) -> Tensor:
    return fused_projections(attention)[0]


def _scores(index: int) -> str:
    return f"layers.{index}.self_attn's scores"


_WEIGHTS: weakref.WeakKeyDictionary[Any, tuple[Any, dict[int, Tensor]]] = weakref.WeakKeyDictionary()
_GUARD = threading.Lock()


def weights_in_16_bits(model: Any, dtype: torch.dtype) -> dict[int, Tensor]:
    """Weights of all dense layers in 16-bit floats, by the layer's identity; kept while they hold.

    Those of query, key and value are together under their attention (see `fused_projections`).
    """
    with _GUARD:
        stamp = dtype, fingerprints.weights_stamp(model)
        known = _WEIGHTS.get(model)
        if known is None or known[0] != stamp:
            dense = [model.lm_head.dense]
            dense += [
                part for layer in model.layers for part in (layer.self_attn.out_proj, layer.fc1, layer.fc2)
            ]
            made = {id(part): part.weight.detach().to(dtype) for part in dense}
            for layer in model.layers:
                made[id(layer.self_attn)] = fused_projections(layer.self_attn)[0].to(dtype)
            known = _WEIGHTS[model] = stamp, made
        return known[1]
