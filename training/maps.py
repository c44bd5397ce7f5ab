"""Contact maps of a network's Jacobian, by a plain loop, and their precision against a structure.

The loop and the map are written again here, apart from the package's engine, so that each checks the other.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from catjac_widgets.analysis.benchmark import precision as evaluation
from catjac_widgets.structures.experimental import structure

from .corruption import aligned_tokens
from .families import MISSING
from .network import FIRST_LETTER, Network

SEPARATION = 6


def native_contacts(folder: Path, record: dict) -> np.ndarray:
    """(L, L) bool: residues of the query with observed C-beta (glycine: C-alpha) under 8 angstroms apart."""
    path = folder / "families" / f"{record['id']}.pdb.gz"
    return structure(path, sequence=record["query"]).contacts().values == 1


@torch.no_grad()
def jacobian(
    network: Network, states: torch.Tensor, mask: torch.Tensor | None = None, rows: int = 160
) -> torch.Tensor:
    """Categorical Jacobian at the visible sites of one row: (V, 20, V, 20) mutant minus wild-type logits.

    states: (L,) letters without gaps; mask: (L,) bool, True where masked.
    """
    hidden = torch.zeros(len(states), dtype=torch.bool) if mask is None else mask
    visible = torch.nonzero(~hidden)[:, 0]
    base = aligned_tokens(states[None], hidden[None])
    mutants = base.repeat(len(visible) * MISSING, 1)
    letters = torch.arange(MISSING).repeat(len(visible)) + FIRST_LETTER
    mutants[torch.arange(len(mutants)), visible.repeat_interleave(MISSING) + 1] = letters

    def logits(tokens: torch.Tensor) -> torch.Tensor:
        return network([tokens]).view(len(tokens), -1, MISSING)[:, 1:-1][:, visible]

    found = torch.cat([logits(part) for part in mutants.split(rows)]) - logits(base)
    return found.view(len(visible), MISSING, len(visible), MISSING)


def contact_map(jacobian: torch.Tensor) -> np.ndarray:
    """Centred over all four axes, symmetrised, Frobenius norm, zero diagonal, APC, zero diagonal: (V, V)."""
    centred = jacobian.double()
    for axis in range(4):
        centred = centred - centred.mean(dim=axis, keepdim=True)
    norms = ((centred + centred.permute(2, 3, 0, 1)) / 2).square().sum(dim=(1, 3)).sqrt()
    norms.fill_diagonal_(0)
    corrected = norms - norms.sum(0, keepdim=True) * norms.sum(1, keepdim=True) / norms.sum().clamp_min(1e-12)
    return corrected.fill_diagonal_(0).numpy()


def precision_at_l(scores: np.ndarray, truth: np.ndarray, mask: torch.Tensor | None = None) -> float:
    """Share of contacts among the L best pairs at separation 6 or more.

    Under a mask `scores` runs over the visible residues; their number is L, and only pairs of them count.
    """
    if mask is None:
        return evaluation.precision_at_l(scores, truth.astype(float), separation=SEPARATION)
    visible = np.flatnonzero(~mask.numpy())
    if len(visible) < 2:
        return float("nan")
    everywhere = np.zeros(truth.shape)
    known = np.full(truth.shape, np.nan)
    everywhere[np.ix_(visible, visible)] = scores
    known[np.ix_(visible, visible)] = truth[np.ix_(visible, visible)]
    return evaluation.precision_at_l(everywhere, known, separation=SEPARATION, length=len(visible))
