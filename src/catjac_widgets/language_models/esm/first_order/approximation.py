"""An approximate categorical Jacobian: direct effects of one residue on another, corrected by a few mutants.

First the direct effects, for all letters at once:

1. The mutated residue's own token is followed through all layers against the wild type's keys and values, its
   own replaced by its own.
2. In every layer, what its changed key and value do to the attention of each other residue m is taken
   exactly. With p the wild-type weight of m on i, s and s' the scores before and after, v and v' the values,
   o the mixture of m, u = 1 / (1 − p + p exp(s' − s)) and w = 1 − (1 − p) u:
   Δo = (u − 1) (o − v) + w (v' − v).
3. From there to the logits of m everything is linear in Δo, by gradients of the wild type along m's own
   residual stream: ΔZ[i, a → m, b] = Σ_layers ⟨∂z[m, b] / ∂o_m, Δo_m(i, a)⟩. What would pass through a third
   residue, or through m's own attention in later layers, is left out.

Then a few letters at every position run through the whole model, in eight bits or bfloat16 where that is
quicker, and what the first part missed of them is carried over to the other letters (`kriging_correction`).

Shapes: T tokens, C channels, H heads of D channels, L residues, A letters, n residues of a part.

The blocks are those of ESM-2 (Lin et al., Science 2023); attention is that of Vaswani et al., NeurIPS 2017.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from catjac_widgets.language_models.esm.first_order import direct_effects
from catjac_widgets.language_models.esm.first_order.backward import BackwardBlock, BackwardHead
from catjac_widgets.language_models.esm.first_order.bfloat16 import approximate_layers, approximate_logits
from catjac_widgets.language_models.esm.first_order.kriging import (
    choose_letters,
    kriging_correction,
    letter_covariance,
)
from catjac_widgets.language_models.esm.first_order.layer_effects import LayerEffects
from catjac_widgets.language_models.esm.forward import embed, feed_forward, rotary
from catjac_widgets.language_models.esm.linear_layers import fast_layers
from catjac_widgets.language_models.esm.numerics.delta_int8_kernel import without_delay
from catjac_widgets.language_models.esm.passes import running

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from catjac_widgets.language_models.esm.linear_layers import LinearLayers

#: Memory for what is held of a few positions at a time; small enough to stay near the processor.
PART_BYTES = 4 * 2**20

#: Scores that grow by more than this are cut: their exponential would overflow.
MOST_SCORE = 80.0

#: What is left of a softmax's sum, as a share, when its greatest part goes. What less would be divided by it
#: are the last bits of float32.
LEAST_SUM = 1e-4


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
    mutant_layers
        How dense layers of mutants are multiplied; as the wild type's by default.
    backwards
        The type in which gradients are multiplied; the model's by default.
    at_once
        Sequences of one step when letters are run.
    quick
        Take compiled kernels where they are at hand: for direct effects, and for letters in eight bits.

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
        mutant_layers: LinearLayers | None = None,
        backwards: torch.dtype | None = None,
        at_once: int = 19,
        quick: bool = False,
    ) -> None:
        self._model, self._tokens, self._residues, self._letters = model, tokens, residues, letters
        self._linear = fast_layers(model)
        self._mutant_layers = mutant_layers or self._linear
        self._dtype = backwards or model.embed_tokens.weight.dtype
        self._at_once, self._quick = at_once, quick
        self._where = torch.arange(residues.start, residues.stop, device=tokens.device)  # (L,)
        given = tokens[residues]
        self._visible = given != model.mask_idx  # (L,)
        # Where masked, any letter is as good: none of them is put.
        self._wild_type = (given[:, None] == letters).int().argmax(1)  # (L,)
        self._layers: list[LayerEffects] = []
        self.jacobian: Tensor

    def steps(self, stages: Iterable[int]) -> Iterator[int | None]:
        """Improve `jacobian` step by step.

        Parameters
        ----------
        stages
            After how many letters of every position to tell it, ascending; the last is how many are run.

        Yields
        ------
        None between steps; 0 when direct effects stand, and k when k letters of each position do.
        """
        for index in range(len(self._model.layers)):
            self._forward(index)
            yield None
        yield from self._direct_effects()
        yield 0
        yield from self._follow([stage for stage in stages if stage])

    # -- forwards

    @torch.inference_mode()
    def _forward(self, index: int) -> None:
        """Take the wild type (T, C) and the mutants' own tokens (A, L, C) through one layer."""
        model, linear, of_mutants = self._model, self._linear, self._mutant_layers
        if index == 0:
            self._x = embed(model, self._tokens[None])[0]
            # Every visible residue by each letter: the share of masks, which scales embeddings, stays.
            mutants = self._tokens.repeat(len(self._letters), 1)
            here = mutants[:, self._residues]
            here[:] = torch.where(here == model.mask_idx, here, self._letters[:, None])
            self._own = embed(model, mutants)[:, self._residues].contiguous()
            self._turn = rotary(model, len(self._tokens))
        x, own, turn, layer = self._x, self._own, self._turn, model.layers[index]
        attention, norm, inside = layer.self_attn, layer.self_attn_layer_norm, self._residues
        query, key, value = (part[0] for part in linear.projections(attention, norm(x)[None], turn))
        query = query * attention.scaling
        weights = (query @ key.transpose(-1, -2)).softmax(-1)
        mixture = weights @ value
        own_query, own_key, own_value = (
            part.to(x.dtype)
            for part in of_mutants.projections(attention, norm(own), None if turn is None else turn[inside])
        )  # (A, H, L, D)
        own_mixture = self._own_mixture(own_query * attention.scaling, own_key, own_value, key, value)
        middle = x + linear(attention.out_proj, mixture.transpose(0, 1).flatten(1))
        own = own + of_mutants(attention.out_proj, own_mixture.transpose(1, 2).flatten(2))
        self._layers.append(
            LayerEffects(
                query[:, inside],
                value[:, inside],
                mixture[:, inside],
                weights[:, inside, inside].permute(1, 2, 0).contiguous(),
                self._changes(own_key).permute(1, 3, 2, 0).contiguous(),
                self._changes(own_value).permute(2, 0, 1, 3).contiguous(),
                BackwardBlock(layer, middle[inside], self._dtype),
            )
        )
        self._x = middle + feed_forward(layer, middle, linear)
        self._own = own + feed_forward(layer, own, of_mutants)

    def _changes(self, own: Tensor) -> Tensor:
        """Subtract from (A, H, L, D) the same with the wild type's letter, rounding and all."""
        rows = torch.arange(own.shape[2], device=own.device)
        return own - own[self._wild_type, :, rows].transpose(0, 1)

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

    # -- direct effects

    def _direct_effects(self) -> Iterator[None]:
        """Set `jacobian` to what reaches each residue without a detour."""
        length, number = len(self._where), len(self._letters)
        with torch.inference_mode():
            head = BackwardHead(self._model, self._x, self._letters)
            own = head.read(self._own).transpose(0, 1)  # (L, A, A)
            gradient = head(self._where)  # (L, A, C)
            every = torch.arange(length, device=own.device)
            term = own.new_zeros(length, length, number, number)  # (L of m, L of i, A of i, A of m)
        fits = direct_effects.fits(number, self._layers[0].query.shape[-1], own.dtype, own.device)
        run = direct_effects.kernel() if self._quick and fits else None
        for layer in reversed(self._layers):
            with torch.inference_mode():
                gradient, reading = layer.block(gradient, every)
                if run is None:
                    self._add(term, layer, reading.to(own.dtype))
                else:
                    bounds = MOST_SCORE, LEAST_SUM
                    direct_effects.add_direct_effects(run, term, layer, reading.to(own.dtype), *bounds)
            yield None
        with torch.inference_mode():
            self._layers.clear()
            term[every, every] = own - own[every, self._wild_type].unsqueeze(1)
            self.jacobian = term.permute(1, 2, 0, 3).contiguous()

    def _add(self, term: Tensor, layer: LayerEffects, reading: Tensor) -> None:
        """Add one layer's effects, as the gradients (L, A, C) of the logits read them, to (L, L, A, A)."""
        length, number, heads = len(term), len(self._letters), len(layer.query)
        apart = reading.unflatten(-1, (heads, -1)).permute(2, 0, 1, 3)  # (H, L, A, D)
        turned = reading.transpose(1, 2).to(self._dtype).contiguous()  # (L, C, A)
        of_mixture = (apart @ layer.mixture.unsqueeze(-1)).squeeze(-1)  # (H, L, A)
        size = max(1, PART_BYTES // (number * reading[:, 0].nbytes))
        for start in range(0, length, size):
            part = slice(start, min(start + size, length))
            p = layer.weights[:, part].unsqueeze(2)  # (L, n, 1, H)
            scores = layer.query @ layer.key_change[:, :, part].flatten(2)  # (H, L, n A)
            scores = scores.permute(1, 2, 0).contiguous().view(length, -1, number, heads)
            u = scores.clamp_(max=MOST_SCORE).exp_().sub_(1).mul_(p).add_(1)
            u = u.clamp_(min=LEAST_SUM).reciprocal_()
            w = 1 - (1 - p) * u
            of_value = apart.flatten(1, 2) @ layer.value[:, part].transpose(-1, -2)  # (H, L A, n)
            along = of_mixture.unsqueeze(-1) - of_value.unflatten(1, (length, number))  # (H, L, A, n)
            along = along.to(self._dtype).permute(1, 3, 0, 2).reshape(-1, heads, number)  # (L n, H, A)
            found = torch.bmm(u.sub_(1).flatten(0, 1).to(self._dtype), along)
            moved = (w.unsqueeze(-1) * layer.value_change[part]).flatten(3).flatten(1, 2)  # (L, n A, C)
            found = found.view(length, -1, number).baddbmm_(moved.to(self._dtype), turned)  # (L, n A, A)
            term[:, part] += found.unflatten(1, (-1, number))

    # -- letters

    def _follow(self, stages: list[int]) -> Iterator[int | None]:
        """Run some letters at every visible position and carry over what they tell."""
        if not stages:
            return
        with torch.inference_mode():
            first = self.jacobian
            places = torch.nonzero(self._visible)[:, 0]
            covariance = letter_covariance(first[places], places)
            chosen = choose_letters(covariance, stages[-1])[self._wild_type]  # (L, letters)
            known = first.new_zeros(len(first), stages[-1], *first.shape[2:])
            given = self._model, self._tokens, self._residues, self._letters
            run = (without_delay(*given) if self._quick else None) or self._logits
            baseline = run(self._tokens[None])
        for start, stop in itertools.pairwise([0, *stages]):
            numbers, rows = torch.meshgrid(torch.arange(start, stop).to(places), places, indexing="ij")
            for number, row in zip(
                numbers.flatten().split(self._at_once), rows.flatten().split(self._at_once), strict=True
            ):
                with torch.inference_mode():
                    mutants = self._tokens.repeat(len(row), 1)
                    each = torch.arange(len(row), device=row.device)
                    mutants[each, self._where[row]] = self._letters[chosen[row, number]]
                    known[row, number] = run(mutants) - baseline
                yield None
            with torch.inference_mode():
                self.jacobian = kriging_correction(
                    first, known[:, :stop], chosen[:, :stop], self._wild_type, covariance
                )
                self.jacobian[~self._visible] = 0
            yield stop

    def _logits(self, tokens: Tensor) -> Tensor:
        return approximate_logits(self._model, tokens, self._residues, self._letters, self._mutant_layers)


def first_order_jacobians(
    model: Any, tokens: Tensor, residues: slice, letters: list[int], stages: Iterable[int], at_once: int
) -> Iterator[tuple[int, np.ndarray] | None]:
    """Run `FirstOrder` on a model where it is.

    Yields
    ------
    None between steps, and (k, Jacobian (L, A, L, A), float32), first for no letter run, then for each of
    `stages`.
    """
    device = model.embed_tokens.weight.device
    mutant_layers = approximate_layers(model)
    made = FirstOrder(
        model,
        tokens.to(device),
        residues,
        torch.tensor(letters, device=device),
        mutant_layers=mutant_layers,
        backwards=getattr(mutant_layers, "dtype", None),
        at_once=at_once,
        quick=True,
    )
    steps = made.steps(stages)
    while True:
        # Not held between steps, where other work of the same model may run.
        with running(model):
            try:
                stage = next(steps)
            except StopIteration:
                return
        yield None if stage is None else (stage, made.jacobian.float().cpu().numpy())
