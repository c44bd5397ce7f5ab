"""How the contact head's map answers to a mask: what comes back where it is visible, what fades elsewhere.

For each number of visible residues, a stretch of the query is shown ("flanking") or as many residues anywhere
("random"). With O and M the head's probabilities without and with the mask, R = sum(O M) / sum(O O) over the
visible pairs (the recovery of Zhang et al. 2024, PNAS), and `left` is the same over all other pairs.
"""

from __future__ import annotations

import numpy as np
import torch
from esm.model.esm2 import ESM2

from . import head
from .families import Family, query_states
from .maps import SEPARATION

VISIBLE = (10, 15, 20, 25, 30, 40, 50, 60)
DRAWS = 3


def probabilities(model: ESM2, states: torch.Tensor, mask: torch.Tensor | None = None) -> np.ndarray:
    """(L, L) contact probabilities of the model's own head."""
    shipped = model.contact_head.regression.weight.detach(), model.contact_head.regression.bias.detach()
    return 1 / (1 + np.exp(-head.score(head.attention_features(model, states, mask), shipped)))


def shown(length: int, visible: int) -> list[tuple[str, torch.Tensor]]:
    """Masks (True where masked) that show so many residues: stretches spread over the chain, random sets."""
    rng = np.random.default_rng(length * 1000 + visible)
    found = []
    for start in np.linspace(0, length - visible, DRAWS).round().astype(int):
        for pattern, sites in (
            ("flanking", np.arange(start, start + visible)),
            ("random", rng.permutation(length)[:visible]),
        ):
            mask = torch.ones(length, dtype=torch.bool)
            mask[torch.from_numpy(sites)] = False
            found.append((pattern, mask))
    return found


def products(whole: np.ndarray, part: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(sum O M, sum O O) over some pairs."""
    return np.array([whole[pairs] @ part[pairs], whole[pairs] @ whole[pairs]])


def curve(family: Family, model: ESM2) -> list[dict[str, object]]:
    """Lines (id, pattern, visible, R, left): sums run over the pairs of all masks of a pattern and number."""
    states, length = query_states(family), family.length
    whole = probabilities(model, states)
    far = np.triu(np.ones((length, length), dtype=bool), SEPARATION)
    lines: list[dict[str, object]] = []
    for visible in VISIBLE:
        if visible >= length:
            continue
        sums = {pattern: np.zeros((2, 2)) for pattern in ("flanking", "random")}
        for pattern, mask in shown(length, visible):
            seen = ~mask.numpy()
            both = far & seen[:, None] & seen[None, :]
            part = probabilities(model, states, mask)
            sums[pattern] += np.stack([products(whole, part, both), products(whole, part, far & ~both)])
        for pattern, found in sums.items():
            back, left = (float(above / below) if below else float("nan") for above, below in found)
            lines.append({"id": family.id, "pattern": pattern, "visible": visible, "R": back, "left": left})
    return lines
