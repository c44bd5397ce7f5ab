"""The training loss: distance to the teacher's conditionals, and natural masked-language loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .corruption import Group
from .potts import Potts


@dataclass(frozen=True)
class LossWeights:
    """Weights of the three terms; `distil = logits = 0` trains without a teacher."""

    distil: float = 1.0
    logits: float = 2.0
    natural: float = 0.1


def teacher_logits(groups: Sequence[Group], teachers: Sequence[Potts]) -> torch.Tensor:
    """Centred teacher logits at every token with a column: (sites, 20)."""
    parts = []
    for group in groups:
        logits = teachers[group.family].logits(group.states)
        rows, places = torch.nonzero(group.columns >= 0, as_tuple=True)
        parts.append(logits[rows, group.columns[rows, places]])
    logits = torch.cat(parts)
    return logits - logits.mean(dim=-1, keepdim=True)


def losses(logits: torch.Tensor, groups: Sequence[Group], teachers: Sequence[Potts],
           weights: LossWeights) -> tuple[torch.Tensor, dict[str, float]]:
    """The weighted loss of a step and its terms: logits (tokens, 20) of all groups in order."""
    sites = torch.cat([group.columns.reshape(-1) for group in groups]) >= 0
    targets = torch.cat([group.targets.reshape(-1) for group in groups])
    total, terms = logits.new_zeros(()), {}
    if weights.natural:
        natural = F.cross_entropy(logits, targets, ignore_index=-1) if bool((targets >= 0).any()) else total
        total, terms["natural"] = total + weights.natural * natural, float(natural.detach())
    if weights.distil or weights.logits:
        with torch.no_grad():
            wanted = teacher_logits(groups, teachers)
        given = logits[sites]
        kl = F.kl_div(F.log_softmax(given, dim=-1), F.log_softmax(wanted, dim=-1), log_target=True,
                      reduction="batchmean")
        squared = F.mse_loss(given - given.mean(dim=-1, keepdim=True), wanted)
        total = total + weights.distil * kl + weights.logits * squared
        terms |= {"distil": float(kl.detach()), "logits": float(squared.detach())}
    return total, terms
