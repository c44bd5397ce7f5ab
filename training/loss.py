"""The training loss: distance to what is to be known of a row, and natural masked-language loss.

What is to be known is the teacher's, as far as the row's visible letters let one believe that it is of the
family (`recognition.py`), and the background otherwise: its composition at every site, and attention to the
start token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from .corruption import NOWHERE, Group
from .network import GAP, MASK
from .potts import Potts, coupling_map, strongest_pairs
from .recognition import belief, evidence, log_odds

PARTNERS = 1.5
FLOOR = 1e-4


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms; all but `natural` need a teacher."""

    distil: float = 1.0
    logits: float = 2.0
    natural: float = 0.1
    attention: float = 0.5

    @property
    def from_teacher(self) -> bool:
        """Whether any term needs a teacher."""
        return bool(self.distil or self.logits or self.attention)


@dataclass(frozen=True)
class Lesson:
    """What there is to know of a family.

    partners: (L, L) each residue's share of attention to its strongest partners, rows of sum 1 (or 0);
    odds: (L, 20) log odds of the profile against the background; unknown: (20,) the background's centred
    logits.
    """

    potts: Potts
    partners: torch.Tensor
    odds: torch.Tensor
    unknown: torch.Tensor


def lesson(potts: Potts, composition: np.ndarray) -> Lesson:
    """Make what a family's teacher and the background's (20,) composition say."""
    scores = coupling_map(potts.couplings).clamp_min(0)
    scores = scores * strongest_pairs(potts.couplings, int(PARTNERS * potts.length))
    unknown = torch.from_numpy(composition).float().log()
    return Lesson(
        potts,
        scores / scores.sum(dim=1, keepdim=True).clamp_min(1e-9),
        log_odds(potts.profile.numpy(), composition),
        unknown - unknown.mean(),
    )


def believed_logits(states: torch.Tensor, known: Lesson) -> torch.Tensor:
    """Centred logits to be given at every site of rows of a family: (N, L) states -> (N, L, 20).

    Between the background's and the teacher's by the belief that the other sites' letters support.
    """
    logits = known.potts.logits(states)
    logits = logits - logits.mean(dim=-1, keepdim=True)
    nats = evidence(states, known.odds)
    share = belief(nats.sum(dim=1, keepdim=True) - nats)[..., None]
    return torch.lerp(known.unknown.expand_as(logits), logits, share)


def wanted_logits(groups: Sequence[Group], lessons: Sequence[Lesson]) -> torch.Tensor:
    """Centred logits to be given at every residue, in the order of the tokens: (residues, 20)."""
    parts = []
    for group in groups:
        known = lessons[group.family]
        logits = believed_logits(group.states, known)
        placed = logits[torch.arange(len(logits))[:, None], group.columns.clamp_min(0)]
        placed = torch.where((group.columns < 0)[..., None], known.unknown, placed)
        parts.append(placed[group.columns != NOWHERE])
    return torch.cat(parts)


def wanted_attention(group: Group, known: Lesson, masked_too: bool) -> torch.Tensor:
    """Attention to be paid by every residue: (N, T, T), rows of sum 1.

    Each visible partner gets its share times the belief in the row, the start token the rest. A masked
    residue pays as a visible one does if `masked_too` (it needs its partners to be predicted), else only to
    the start.
    """
    columns, inside = group.columns.clamp_min(0), group.columns >= 0
    visible = inside & (group.tokens != MASK) & (group.tokens != GAP)
    asking = inside & (group.tokens != GAP) if masked_too else visible
    wanted = known.partners[columns[:, :, None], columns[:, None, :]]
    share = belief(evidence(group.states, known.odds).sum(dim=1))[:, None, None]
    wanted = wanted * (asking[:, :, None] & visible[:, None, :]) * share
    wanted[:, :, 0] = (1 - wanted.sum(dim=-1)).clamp_min(0)
    return wanted


def attention_loss(
    attention: Sequence[torch.Tensor],
    groups: Sequence[Group],
    lessons: Sequence[Lesson],
    masked_too: bool = False,
) -> torch.Tensor:
    """KL divergence of the mean attention from the wanted one, per residue."""
    parts = []
    for weights, group in zip(attention, groups, strict=True):
        with torch.no_grad():
            wanted = wanted_attention(group, lessons[group.family], masked_too)
        divergence = (torch.xlogy(wanted, wanted) - wanted * (weights + FLOOR).log()).sum(dim=-1)
        parts.append(divergence[group.columns != NOWHERE])
    return torch.cat(parts).mean()


def losses(
    logits: torch.Tensor,
    groups: Sequence[Group],
    lessons: Sequence[Lesson],
    weights: LossWeights,
    attention: Sequence[Sequence[torch.Tensor]] = (),
) -> tuple[torch.Tensor, dict[str, float]]:
    """Weigh and add the terms of a step's loss; the sum and the terms.

    logits: (tokens, 20) of all groups in order; attention: for each guided layer, first to last, the mean
    attention (rows, T, T) of every group.
    """
    residues = torch.cat([group.columns.reshape(-1) for group in groups]) != NOWHERE
    targets = torch.cat([group.targets.reshape(-1) for group in groups])
    total, terms = logits.new_zeros(()), {}
    if weights.natural:
        natural = F.cross_entropy(logits, targets, ignore_index=-1) if bool((targets >= 0).any()) else total
        total, terms["natural"] = total + weights.natural * natural, float(natural.detach())
    if weights.attention and attention:
        last = len(attention) - 1
        guided = torch.stack(
            [
                attention_loss(layer, groups, lessons, masked_too=place < last)
                for place, layer in enumerate(attention)
            ]
        ).mean()
        total, terms["attention"] = total + weights.attention * guided, float(guided.detach())
    if weights.distil or weights.logits:
        with torch.no_grad():
            wanted = wanted_logits(groups, lessons)
        given = logits[residues]
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
