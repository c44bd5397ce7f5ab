"""What is measured on held-out rows while a model trains; nothing here looks at a structure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from .corruption import aligned_tokens
from .families import MISSING, Family
from .network import Network
from .potts import Potts

ROWS = 16
MASKED_SHARE = 0.15
REDRAWN_SHARE = 0.25


class Monitor:
    """Fixed held-out rows of every family: natural ones under a mask, and partly redrawn ones."""

    def __init__(self, families: Sequence[Family], teachers: Sequence[Potts]) -> None:
        rng = np.random.default_rng(1)
        self.states = [torch.from_numpy(family.held_out[:ROWS]) for family in families]
        self.masks = [torch.from_numpy(rng.random(tuple(rows.shape)) < MASKED_SHARE) for rows in self.states]
        self.redrawn = [self._redraw(rows, rng) for rows in self.states]
        self.wanted = [
            _centred(teacher.logits(rows)) for teacher, rows in zip(teachers, self.redrawn, strict=True)
        ]
        self.profiles = [_centred(teacher.fields) for teacher in teachers]
        self.log_profiles = [torch.from_numpy(family.profile).float().log() for family in families]

    @staticmethod
    def _redraw(states: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        drawn = torch.from_numpy(rng.integers(0, MISSING, tuple(states.shape)).astype(np.int8))
        chosen = torch.from_numpy(rng.random(tuple(states.shape)) < REDRAWN_SHARE)
        return torch.where(chosen & (states < MISSING), drawn, states)

    @torch.no_grad()
    def __call__(self, network: Network) -> list[dict[str, float]]:
        """For every family: masked cross-entropy, the profile's, and the share of coupling signal missed.

        `missed` is the squared error of the letter logits on redrawn rows over the variance that the
        teacher's couplings add to its fields there: 1 for a profile, 0 for the teacher itself.
        """
        results = []
        for index, states in enumerate(self.states):
            inputs = [aligned_tokens(states, self.masks[index]), aligned_tokens(self.redrawn[index])]
            masked, redrawn = network(inputs).view(2, len(states), -1, 20)[:, :, 1:-1]
            at = self.masks[index] & (states < MISSING)
            letters = states[at].long()
            wanted, fields = self.wanted[index], self.profiles[index]
            results.append(
                {
                    "masked": float(F.cross_entropy(masked[at], letters)),
                    "profile": float(
                        F.nll_loss(self.log_profiles[index].expand(*states.shape, -1)[at], letters)
                    ),
                    "missed": float(
                        (_centred(redrawn) - wanted).square().sum() / (wanted - fields).square().sum()
                    ),
                }
            )
        return results


def _centred(logits: torch.Tensor) -> torch.Tensor:
    return logits - logits.mean(dim=-1, keepdim=True)
