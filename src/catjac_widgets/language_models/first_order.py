"""An approximate categorical Jacobian: the mutated residue exactly, its effect on others to first order.

In three parts:

1. The mutated residue's own token is followed through all layers against the wild type's keys and values, its
   own replaced by its own.
2. In every layer, what its changed key and value do to the attention of each other residue j is taken
   exactly. With p the wild-type weight of j on i, s and s' the scores before and after, v and v' the values,
   o the mixture of j and u = 1 / (1 − p + p exp(s' − s)): Δo = (u − 1) o − p u v + (1 − (1 − p) u) v'.
3. From there to the logits of m everything is linear in Δo, by gradients of the wild type in which attention
   weights are held: ΔZ[i, a → m, b] = Σ_layers Σ_j ⟨∂z[m, b] / ∂o_j, Δo_j(i, a)⟩.

In the last layer j = m, and all letters b cost next to nothing. Earlier layers need a pass backwards for each
m and letter direction: of the letters only some directions are followed, those in which the last layer's
term varies most at m (its principal components). On the input side, Δo is reduced to the principal
directions of the letters a before the contraction.

Shapes: T tokens, C channels, H heads of D channels, L residues, A letters, R directions of the input letters.

The blocks are those of ESM-2 (Lin et al., Science 2023); attention is that of Vaswani et al., NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from catjac_widgets.language_models.backward import BackwardBlock, BackwardHead, BackwardValues
from catjac_widgets.language_models.fair_esm_forward import AS_THEY_ARE, embed, feed_forward, rotary
from catjac_widgets.language_models.fair_esm_passes import running
from catjac_widgets.language_models.linear_layers import LinearLayers, fast_layers

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

#: Directions of the input letters that are kept.
DIRECTIONS_IN = 12

#: Memory for what is held of a few positions at a time; small enough to stay near the processor.
PART_BYTES = 4 * 2**20


@dataclass
class _Layer:
    """What is kept of one layer of the wild type, and of the mutants' own tokens in it.

    Attributes
    ----------
    query, key, value, mixture
        Of the wild type, (H, T, D); queries are scaled.
    weights
        Attention (H, T, T).
    own_key, own_value
        Of the mutated token (L, H, A, D).
    block, values
        The layer backwards.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    mixture: Tensor
    weights: Tensor
    own_key: Tensor
    own_value: Tensor
    block: BackwardBlock
    values: BackwardValues


class FirstOrder:
    """One sequence's approximate Jacobian, made in steps.

    Parameters
    ----------
    model
        fair-esm's own ESM-2 or ESM-1b, float32 or float64.
    tokens
        Of one sequence (T,), masks included, on the model's device.
    residues
        Where its residues lie among them.
    letters
        Rows of the vocabulary (A,), in the order of the logits.
    linear
        How dense layers are multiplied forwards.
    directions_in
        How many directions of the input letters are kept; A or more keeps all.
    backwards
        The type in which gradients are kept and multiplied; the model's by default.

    Attributes
    ----------
    jacobian
        What is known so far (L, A, L, A), mutant minus wild type in logits; the mutated residue's own logits
        are those of its own token. Rows of masked residues are zero.
    """

    def __init__(
        self,
        model: Any,
        tokens: Tensor,
        residues: slice,
        letters: Tensor,
        *,
        linear: LinearLayers = AS_THEY_ARE,
        directions_in: int = DIRECTIONS_IN,
        backwards: torch.dtype | None = None,
    ) -> None:
        self._model, self._tokens, self._residues, self._letters = model, tokens, residues, letters
        self._linear = linear
        # The last direction is that of the letters' mean, which centring takes away.
        self._directions_in = min(directions_in, len(letters) - 1)
        self._dtype = backwards or model.embed_tokens.weight.dtype
        self._where = torch.arange(residues.start, residues.stop, device=tokens.device)  # (L,)
        self._layers: list[_Layer] = []
        self.jacobian: Tensor

    def steps(self, probes: int) -> Iterator[int | None]:
        """Improve `jacobian` step by step.

        Parameters
        ----------
        probes
            How many directions of the output letters are followed through the earlier layers.

        Yields
        ------
        None between steps; 0 when the last layer's term stands, and k when k directions are added.
        """
        for index in range(len(self._model.layers)):
            self._forward(index)
            yield None
        self._last_term()
        yield 0
        for k in range(probes):
            yield from self._follow(self._probes[:, :, k])
            yield k + 1

    # -- forwards

    @torch.inference_mode()
    def _forward(self, index: int) -> None:
        """Take the wild type (T, C) and the mutants' own tokens (A, L, C) through one layer."""
        model, linear = self._model, self._linear
        if index == 0:
            self._x = embed(model, self._tokens[None])[0]
            # Every visible residue by each letter: the share of masks, which scales embeddings, stays.
            mutants = self._tokens.repeat(len(self._letters), 1)
            here = mutants[:, self._residues]
            here[:] = torch.where(here == model.mask_idx, here, self._letters[:, None])
            self._own = embed(model, mutants)[:, self._residues].contiguous()
            self._turn = rotary(model, len(self._tokens))
        x, own, turn, layer = self._x, self._own, self._turn, model.layers[index]
        attention, norm = layer.self_attn, layer.self_attn_layer_norm
        query, key, value = (part[0] for part in linear.projections(attention, norm(x)[None], turn))
        query = query * attention.scaling
        weights = (query @ key.transpose(-1, -2)).softmax(-1)
        mixture = weights @ value
        own_turn = None if turn is None else turn[self._residues]
        own_query, own_key, own_value = linear.projections(attention, norm(own), own_turn)  # (A, H, L, D)
        own_mixture = self._own_mixture(own_query * attention.scaling, own_key, own_value, key, value)
        middle = x + linear(attention.out_proj, mixture.transpose(0, 1).flatten(1))
        own = own + linear(attention.out_proj, own_mixture.transpose(1, 2).flatten(2))
        self._layers.append(
            _Layer(
                query,
                key,
                value,
                mixture,
                weights,
                own_key.permute(2, 1, 0, 3).contiguous(),
                own_value.permute(2, 1, 0, 3).contiguous(),
                BackwardBlock(layer, middle, self._dtype),
                BackwardValues(layer, x, weights, self._dtype),
            )
        )
        self._x = middle + feed_forward(layer, middle, linear)
        self._own = own + feed_forward(layer, own, linear)

    def _own_mixture(
        self, query: Tensor, key: Tensor, value: Tensor, others: Tensor, given: Tensor
    ) -> Tensor:
        """Mixture (A, H, L, D) of own tokens: the wild type's keys and values but for their own."""
        found = torch.empty_like(query)
        rows = torch.arange(len(self._where), device=query.device)
        for letter in range(len(query)):
            scores = query[letter] @ others.transpose(-1, -2)  # (H, L, T)
            scores[:, rows, self._where] = (query[letter] * key[letter]).sum(-1)
            weights = scores.softmax(-1)
            on_itself = weights[:, rows, self._where].unsqueeze(-1)
            found[letter] = weights @ given + on_itself * (value[letter] - given[:, self._where])
        return found

    # -- what a mutant does to the attention of others

    def _parts(self) -> Iterator[slice]:
        """Divide the L positions so that one part's effects in one layer take about `PART_BYTES`."""
        one = self._x.nbytes * self._directions_in
        size = max(1, PART_BYTES // one)
        for start in range(0, len(self._where), size):
            yield slice(start, min(start + size, len(self._where)))

    def _shares(self, layer: _Layer, part: slice) -> tuple[Tensor, Tensor]:
        """Give p (I, H, T, 1) and u (I, H, T, A) of some mutated positions; see the module's text."""
        where = self._where[part]
        p = layer.weights[:, :, where].permute(2, 0, 1).unsqueeze(-1)
        change = layer.own_key[part] - layer.key[:, where].transpose(0, 1).unsqueeze(2)  # (I, H, A, D)
        u = (layer.query @ change.transpose(-1, -2)).exp_().sub_(1).mul_(p).add_(1).reciprocal_()
        return p, u

    def _effects(self, layer: _Layer, part: slice) -> Tensor:
        """Δo along the directions of the input letters, (I, R, T, H, D), zero at the mutated token."""
        where, basis = self._where[part], self._basis[part]  # (I, A, R)
        p, u = self._shares(layer, part)
        value = layer.value[:, where].transpose(0, 1).unsqueeze(2)  # (I, H, 1, D)
        along = u @ basis.unsqueeze(1)  # (I, H, T, R)
        moved = basis[:, None, :, :, None] * layer.own_value[part][:, :, :, None]  # (I, H, A, R, D)
        effect = (u @ moved.flatten(3)).unflatten(-1, moved.shape[3:])  # (I, H, T, R, D)
        effect *= (p - 1).unsqueeze(-1)
        effect += moved.sum(2).unsqueeze(2)
        effect.addcmul_(along.unsqueeze(-1), (layer.mixture - p * value).unsqueeze(3))
        effect[torch.arange(len(where)), :, where] = 0
        return effect.permute(0, 3, 2, 1, 4)

    def _choose_basis(self) -> Tensor:
        """Directions (L, A, R) of the input letters in which a mutant's effects on others vary most.

        To first order in u, Δo = (w − p) (v − o) + p (v' − v): the squares of both terms are summed over all
        layers, heads and residues, without what their product would add.
        """
        length, number = len(self._where), len(self._letters)
        gram = self._x.new_zeros(length, number, number)
        for layer in self._layers:
            for part in self._parts():
                p, u = self._shares(layer, part)
                value = layer.value[:, self._where[part]].transpose(0, 1).unsqueeze(2)
                distance = torch.linalg.vector_norm(value - layer.mixture, dim=-1, keepdim=True)
                shift = _centred((1 / u - 1) * distance, -1).transpose(-1, -2).flatten(1, 1)  # (I, H, A, T)
                gram[part] += torch.einsum("ihat,ihbt->iab", shift, shift)
                moved = _centred(layer.own_value[part] * p.square().sum(2, keepdim=True).sqrt(), 2)
                gram[part] += torch.einsum("ihad,ihbd->iab", moved, moved)
        # Without the letters' mean also where no letter has an effect, and any direction would do.
        return _centred(torch.linalg.eigh(gram).eigenvectors.flip(-1)[:, :, : self._directions_in], 1)

    # -- backwards

    @torch.inference_mode()
    def _last_term(self) -> None:
        """Start `jacobian` with what passes through the last layer alone, for all letters."""
        head = BackwardHead(self._model, self._x, self._letters)
        own = head.read(self._own).transpose(0, 1) - head.read(self._x)[self._where].unsqueeze(1)
        self._own_logits = own  # (L, A, A)
        self._basis = self._choose_basis()
        last = self._layers[-1]
        gradient = head(self._where)  # (L, A, C)
        self._read, mixture = last.block(gradient, self._where)
        found = []
        for part in self._parts():
            effects = self._effects(last, part)[:, :, self._where].flatten(3)  # (I, R, L, C)
            found.append(torch.einsum("irmc,mbc->irmb", effects, mixture.to(effects.dtype)))
        term = torch.cat(found)  # (L, R, L, A)
        self._last_mixture = mixture
        centred = _centred(term, -1)
        gram = torch.einsum("irmb,irmc->mbc", centred, centred)
        self._probes = torch.linalg.eigh(gram).eigenvectors.flip(-1)
        self._set(term)

    def _set(self, term: Tensor) -> None:
        """Take (L, R, L, A), all letters out, as what is known."""
        self._term = term
        found = torch.einsum("iar,irmb->iamb", self._basis, term)
        # Of the letters' mean nothing is known; that the wild type's own letter changes nothing is.
        wild = (self._tokens[self._where, None] == self._letters).to(found.dtype)  # (L, A)
        found -= torch.einsum("ia,iamb->imb", wild, found).unsqueeze(1)
        rows = torch.arange(len(found), device=found.device)
        found[rows, :, rows] = self._own_logits
        self.jacobian = found

    def _follow(self, direction: Tensor) -> Iterator[None]:
        """Add the earlier layers' terms along one direction (L, A) of the letters at each m."""
        with torch.inference_mode():
            last = self._layers[-1]
            direction = direction.contiguous()
            gradient = torch.einsum("mb,mbc->mc", direction, self._read.to(direction.dtype)).to(self._dtype)
            mixture = torch.einsum("mb,mbc->mc", direction, self._last_mixture.to(direction.dtype))
            whole = last.values.at_tokens(mixture.to(self._dtype), self._where)  # (L, T, C)
            whole[torch.arange(len(whole)), self._where] += gradient
            change = self._x.new_zeros(len(direction), self._directions_in, len(direction))
        yield None
        for index in range(len(self._layers) - 2, -1, -1):
            layer = self._layers[index]
            with torch.inference_mode():
                mixtures = torch.empty_like(whole)
            size = max(1, PART_BYTES // (4 * whole[0].nbytes))
            for start in range(0, len(whole), size):
                with torch.inference_mode():
                    part = slice(start, start + size)
                    below, mixture = layer.block(whole[part])
                    mixtures[part] = mixture
                    if index:
                        whole[part] = layer.values.add(below, mixture)
            yield None
            with torch.inference_mode():
                flat = mixtures.flatten(1).t()  # (T C, L)
                for part in self._parts():
                    effects = self._effects(layer, part).flatten(2).to(self._dtype)  # (I, R, T C)
                    change[part] += (effects.flatten(0, 1) @ flat).view(len(effects), -1, len(direction))
            yield None
        with torch.inference_mode():
            self._set(self._term + change.unsqueeze(-1) * direction)


def first_order_jacobians(
    model: Any, tokens: Tensor, residues: slice, letters: list[int], probes: int
) -> Iterator[tuple[int, np.ndarray] | None]:
    """Run `FirstOrder` on a model where it is.

    Yields
    ------
    None between steps, and (k, Jacobian (L, A, L, A), float32) when k = 0 … `probes` directions stand.
    """
    device = model.embed_tokens.weight.device
    made = FirstOrder(
        model,
        tokens.to(device),
        residues,
        torch.tensor(letters, device=device),
        linear=fast_layers(model),
        backwards=backwards_dtype(model.embed_tokens.weight),
    )
    steps = made.steps(probes)
    while True:
        # Not held between steps, where other work of the same model may run.
        with running(model):
            try:
                stage = next(steps)
            except StopIteration:
                return
        yield None if stage is None else (stage, made.jacobian.float().cpu().numpy())


def backwards_dtype(weight: Tensor) -> torch.dtype:
    """Sixteen bits where the device multiplies them faster than float32; a preview asks for no more."""
    if weight.dtype != torch.float32:
        return weight.dtype
    if weight.device.type == "cuda":
        return torch.bfloat16
    quick = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return torch.bfloat16 if weight.device.type == "cpu" and quick is not None and quick() else torch.float32


def _centred(x: Tensor, dim: int) -> Tensor:
    return x - x.mean(dim, keepdim=True)
