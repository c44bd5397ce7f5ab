"""Contact maps of a network's Jacobian and their precision against a structure, by plain loops."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import torch

from .corruption import aligned_tokens
from .families import MISSING
from .network import FIRST_LETTER, Network

CONTACT = 8.0
SEPARATION = 6


def native_contacts(folder: Path, record: dict) -> np.ndarray:
    """(L, L) bool: observed C-beta (C-alpha for glycine) under 8 angstroms, of the query's residues."""
    residues: dict[str, dict[str, np.ndarray]] = {}
    with gzip.open(folder / "families" / f"{record['id']}.pdb.gz", "rt", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("ATOM"):
                place = np.array([float(line[start : start + 8]) for start in (30, 38, 46)])
                residues.setdefault(line[21:27], {})[line[12:16].strip()] = place
    centres = np.array([atoms.get("CB", atoms["CA"]) for atoms in residues.values()])
    centres = centres[record["pdb_offset"] : record["pdb_offset"] + record["length"]]
    return np.linalg.norm(centres[:, None] - centres[None], axis=-1) < CONTACT


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
    mutants[torch.arange(len(mutants)), visible.repeat_interleave(MISSING) + 1] = (
        torch.arange(MISSING).repeat(len(visible)) + FIRST_LETTER
    )

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


def precision_at_l(scores: np.ndarray, truth: np.ndarray, sites: np.ndarray | None = None) -> float:
    """Share of contacts among the L best pairs at separation 6 or more; missing pairs count as misses.

    sites: (L,) positions of the map's rows along the chain and in `truth`; all of it by default.
    """
    places = np.arange(len(truth)) if sites is None else sites
    i, j = np.triu_indices(len(places), 1)
    apart = places[j] - places[i] >= SEPARATION
    i, j = i[apart], j[apart]
    best = np.argsort(-scores[i, j], kind="stable")[: len(places)]
    return float(truth[places[i[best]], places[j[best]]].sum() / len(places))
