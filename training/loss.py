"""The training loss: distance to the teacher's conditionals, and natural masked-language loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .corruption import Group
from .network import GAP, MASK
from .potts import Potts, coupling_map, strongest_pairs

PARTNERS = 1.5
FLOOR = 1e-4


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms; all but `natural` need a teacher."""

    distil: float = 1.0
    logits: float = 2.0
    natural: float = 0.1
    attention: float = 0.3

    @property
    def from_teacher(self) -> bool:
        """Whether any term needs a teacher."""
        return bool(self.distil or self.logits or self.attention)


def teacher_logits(groups: Sequence[Group], teachers: Sequence[Potts]) -> torch.Tensor:
    """Centred teacher logits at every token with a column: (sites, 20)."""
    parts = []
    for group in groups:
        logits = teachers[group.family].logits(group.states)
        rows, places = torch.nonzero(group.columns >= 0, as_tuple=True)
        parts.append(logits[rows, group.columns[rows, places]])
    logits = torch.cat(parts)
    return logits - logits.mean(dim=-1, keepdim=True)


def teacher_partners(teacher: Potts) -> torch.Tensor:
    """Corrected norms of the teacher's strongest couplings, PARTNERS * L pairs, zero elsewhere: (L, L)."""
    scores = coupling_map(teacher.couplings).clamp_min(0)
    return scores * strongest_pairs(teacher.couplings, int(PARTNERS * teacher.length))


def attention_loss(
    attention: Sequence[torch.Tensor], groups: Sequence[Group], partners: Sequence[torch.Tensor]
) -> torch.Tensor:
    """KL divergence of the mean attention from each residue's visible partners, per residue that has any."""
    parts = []
    for weights, group in zip(attention, groups, strict=True):
        columns, inside = group.columns.clamp_min(0), group.columns >= 0
        visible = inside & (group.tokens != MASK) & (group.tokens != GAP)
        wanted = partners[group.family][columns[:, :, None], columns[:, None, :]]
        wanted = wanted * (inside[:, :, None] & visible[:, None, :])
        total = wanted.sum(dim=-1, keepdim=True)
        wanted = wanted / total.clamp_min(1e-9)
        divergence = (torch.xlogy(wanted, wanted) - wanted * (weights + FLOOR).log()).sum(dim=-1)
        parts.append(divergence[total[..., 0] > 0])
    return torch.cat(parts).mean()


def losses(
    logits: torch.Tensor,
    groups: Sequence[Group],
    teachers: Sequence[Potts],
    weights: LossWeights,
    attention: Sequence[Sequence[torch.Tensor]] = (),
    partners: Sequence[torch.Tensor] = (),
) -> tuple[torch.Tensor, dict[str, float]]:
    """Weigh and add the terms of a step's loss; the sum and the terms.

    logits: (tokens, 20) of all groups in order; attention: for each guided layer the mean attention
    (rows, T, T) of every group; partners: for every family the (L, L) weights of `teacher_partners`.
    """
    sites = torch.cat([group.columns.reshape(-1) for group in groups]) >= 0
    targets = torch.cat([group.targets.reshape(-1) for group in groups])
    total, terms = logits.new_zeros(()), {}
    if weights.natural:
        natural = F.cross_entropy(logits, targets, ignore_index=-1) if bool((targets >= 0).any()) else total
        total, terms["natural"] = total + weights.natural * natural, float(natural.detach())
    if weights.attention and attention:
        guided = torch.stack([attention_loss(layer, groups, partners) for layer in attention]).mean()
        total, terms["attention"] = total + weights.attention * guided, float(guided.detach())
    if weights.distil or weights.logits:
        with torch.no_grad():
            wanted = teacher_logits(groups, teachers)
        given = logits[sites]
        kl = F.kl_div(
            F.log_softmax(given, dim=-1),
            F.log_softmax(wanted, dim=-1),
            log_target=True,
            reduction="batchmean",
        )
        squared = F.mse_loss(given - given.mean(dim=-1, keepdim=True), wanted)
        total = total + weights.distil * kl + weights.logits * squared
        terms |= {"distil": float(kl.detach()), "logits": float(squared.detach())}
    return total, terms
