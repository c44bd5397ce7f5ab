"""What is measured on held-out rows while a model trains; nothing here looks at a structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from .corruption import aligned_tokens, assemble, flanks, from_distribution
from .families import MISSING, Family
from .loss import Lesson, believed_logits
from .network import FIRST_LETTER, MASK, Network
from .recognition import belief, evidence

ROWS = 16
MASKED_SHARE = 0.15
REDRAWN_SHARE = 0.15


@dataclass(frozen=True)
class HeldOut:
    """One family's fixed rows, (N, L) states unless said otherwise.

    mask: what is masked in `natural`; redrawn: partly redrawn rows with the centred logits `wanted` there and
    the belief in them, `sure`, (N, 1, 1); placed: (N, T) tokens of the natural rows without gaps between
    random stretches, masked at `hidden`, whose letters and columns are given in order; foreign: rows of
    shuffled letters.
    """

    natural: torch.Tensor
    mask: torch.Tensor
    redrawn: torch.Tensor
    wanted: torch.Tensor
    sure: torch.Tensor
    placed: torch.Tensor
    hidden: torch.Tensor
    letters: torch.Tensor
    columns: torch.Tensor
    foreign: torch.Tensor


def held_out(family: Family, known: Lesson, composition: np.ndarray, rng: np.random.Generator) -> HeldOut:
    """Draw a family's fixed rows."""
    natural = family.held_out[:ROWS]
    mask = rng.random(natural.shape) < MASKED_SHARE
    drawn = from_distribution(np.full(MISSING, 1 / MISSING), natural.shape, rng)
    chosen = rng.random(natural.shape) < REDRAWN_SHARE
    redrawn = torch.from_numpy(np.where(chosen & (natural < MISSING), drawn, natural))
    hidden = mask & (natural < MISSING)
    group = assemble(
        0,
        np.where(mask, MASK, natural + FIRST_LETTER),
        natural,
        np.where(hidden, natural, -1),
        [np.flatnonzero(row < MISSING) for row in natural],
        flanks(len(natural), composition, rng),
    )
    foreign = natural.copy()
    for row in foreign:
        row[row < MISSING] = rng.permutation(row[row < MISSING])
    at = group.targets >= 0
    return HeldOut(
        torch.from_numpy(natural),
        torch.from_numpy(hidden),
        redrawn,
        believed_logits(redrawn, known),
        belief(evidence(redrawn, known.odds).sum(dim=1))[:, None, None],
        group.tokens,
        at,
        group.targets[at],
        group.columns[at],
        torch.from_numpy(foreign),
    )


class Monitor:
    """Fixed held-out rows of every family: under a mask, partly redrawn, misplaced, shuffled."""

    def __init__(
        self, families: Sequence[Family], lessons: Sequence[Lesson], composition: np.ndarray
    ) -> None:
        rng = np.random.default_rng(1)
        self.lessons = lessons
        self.rows = [
            held_out(family, known, composition, rng) for family, known in zip(families, lessons, strict=True)
        ]
        self.log_profiles = [torch.from_numpy(family.profile).float().log() for family in families]

    @torch.no_grad()
    def __call__(self, network: Network) -> list[dict[str, float]]:
        """Measure every family.

        masked, profile: cross-entropy of 15 % masked natural rows, and the profile's; missed: the squared
        error of the letter logits on redrawn rows, each as far as it is believed, over what the teacher's
        couplings add to its fields there (1 for a profile, 0 for what is wanted); placed, placed_profile: as
        the first two, on the same rows without gaps between random residues; foreign: the squared distance of
        the logits of shuffled rows from the background's over the fields' distance from it (0 for flat, 1 for
        the family's profile).
        """
        results = []
        for rows, known, log_profile in zip(self.rows, self.lessons, self.log_profiles, strict=True):
            states = rows.natural
            inputs = [aligned_tokens(states, rows.mask), aligned_tokens(rows.redrawn)]
            inputs.append(aligned_tokens(rows.foreign))
            masked, redrawn, foreign = network(inputs).view(3, len(states), -1, 20)[:, :, 1:-1]
            placed = network([rows.placed]).view(*rows.placed.shape, 20)[rows.hidden]
            fields = _centred(known.potts.fields)
            letters = states[rows.mask].long()
            profile = log_profile.expand(*states.shape, -1)[rows.mask]
            results.append(
                {
                    "masked": float(F.cross_entropy(masked[rows.mask], letters)),
                    "profile": float(F.nll_loss(profile, letters)),
                    "missed": float(
                        (rows.sure * (_centred(redrawn) - rows.wanted).square()).sum()
                        / (rows.sure * (rows.wanted - fields).square()).sum()
                    ),
                    "placed": float(F.cross_entropy(placed, rows.letters)),
                    "placed_profile": float(F.nll_loss(log_profile[rows.columns], rows.letters)),
                    "foreign": float(
                        (_centred(foreign) - known.unknown).square().mean()
                        / (fields - known.unknown).square().mean()
                    ),
                }
            )
        return results


def _centred(logits: torch.Tensor) -> torch.Tensor:
    return logits - logits.mean(dim=-1, keepdim=True)
