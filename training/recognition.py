"""When a row can be known as a member of a family: the evidence of its visible letters, the belief in it.

A row is of the family with posterior odds `exp(log odds) * PRIOR`, where the log odds of its visible letters
are those of the family's profile against the background composition (the log-odds score of Durbin et al.
1998, Biological Sequence Analysis). The prior, one in a million, is that of one family at one place of an
arbitrary sequence. About fourteen nats, some fifteen to twenty residues of a typical member, outweigh it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .families import MISSING, Family

PRIOR = 1e-6


def background(families: Sequence[Family]) -> np.ndarray:
    """Mean composition of the families' weighted training rows, no letter below one in a million: (20,)."""
    compositions = []
    for family in families:
        counts = np.array([((family.rows == a) * family.weights[:, None]).sum() for a in range(MISSING)])
        compositions.append(counts / counts.sum())
    return np.mean(compositions, axis=0).clip(min=1e-6)


def log_odds(profile: np.ndarray, composition: np.ndarray) -> torch.Tensor:
    """Log odds of every letter at every site, profile against background, in nats: (L, 20) float32."""
    return torch.from_numpy(np.log(profile / composition)).float()


def evidence(states: torch.Tensor, odds: torch.Tensor) -> torch.Tensor:
    """Log odds of each site's own letter, zero where missing: (N, L) states, (L, 20) odds -> (N, L)."""
    known = states < MISSING
    letters = states.long().clamp(max=MISSING - 1)
    return odds.expand(len(states), -1, -1).gather(-1, letters[..., None])[..., 0] * known


def belief(nats: torch.Tensor) -> torch.Tensor:
    """Posterior probability that a row is of the family, given the sum of its evidence in nats."""
    return torch.sigmoid(nats + float(np.log(PRIOR)))
