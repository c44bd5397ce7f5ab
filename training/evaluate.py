"""Scores of every family: held-out pseudo-perplexity and precision of contact maps, as lines of a CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from esm.model.esm2 import ESM2

from . import head, maps, recovery
from .corruption import aligned_tokens
from .families import MISSING, Family, query_states
from .network import Network
from .potts import Potts, coupling_map, perplexity

HELD_OUT_ROWS = 24
MASK_DRAWS = 3
HOMOLOGUES = 2
FRAGMENT = 0.8
"""Share of the query in each of the two crops (without its end, without its start)."""
FLANK = 20
"""Random residues on either side of the flanked query."""


@torch.no_grad()
def masked_perplexity(network: Network, rows: np.ndarray) -> float:
    """Pseudo-perplexity over the 20 letters of aligned rows, one site masked at a time."""
    states = torch.from_numpy(rows[:HELD_OUT_ROWS])
    total, number = 0.0, 0
    for row in states:
        sites = torch.nonzero(row < MISSING)[:, 0]
        mask = torch.zeros(len(sites), len(row), dtype=torch.bool)
        mask[torch.arange(len(sites)), sites] = True
        logits = network([aligned_tokens(row.expand(len(sites), -1), mask)]).view(len(sites), -1, MISSING)
        logits = logits[torch.arange(len(sites)), sites + 1]
        total += float(F.cross_entropy(logits, row[sites].long(), reduction="sum"))
        number += len(sites)
    return float(np.exp(total / number))


def jacobian_precision(
    network: Network, states: torch.Tensor, truth: np.ndarray, mask: torch.Tensor | None = None
) -> float:
    """Score the Jacobian's map at L; under a mask, its visible pairs with L the visible residues."""
    return maps.precision_at_l(maps.contact_map(maps.jacobian(network, states, mask)), truth, mask)


def masks(length: int, share: float) -> list[torch.Tensor]:
    """Draw the fixed random masks of a share of the residues."""
    rng = np.random.default_rng(length)
    hidden = round(share * length)
    drawn = []
    for _ in range(MASK_DRAWS if hidden else 1):
        mask = torch.zeros(length, dtype=torch.bool)
        mask[rng.permutation(length)[:hidden]] = True
        drawn.append(mask)
    return drawn


def crops(network: Network, family: Family, truth: np.ndarray) -> float:
    """Mean precision over the query without its last and without its first fifth."""
    size = round(FRAGMENT * family.length)
    kept = [slice(0, size), slice(family.length - size, None)]
    states = query_states(family)
    return float(np.mean([jacobian_precision(network, states[part], truth[part, part]) for part in kept]))


def homologues(network: Network, family: Family, truth: np.ndarray) -> float:
    """Mean precision over the first held-out rows with gaps, gaps removed, against the query's contacts."""
    found = []
    for row in family.held_out:
        sites = np.flatnonzero(row < MISSING)
        if len(sites) < family.length and len(found) < HOMOLOGUES:
            states = torch.from_numpy(row[sites])
            found.append(jacobian_precision(network, states, truth[np.ix_(sites, sites)]))
    return float(np.mean(found)) if found else float("nan")


def flanked(network: Network, family: Family, truth: np.ndarray) -> float:
    """Precision over the query between two stretches of random residues."""
    states = query_states(family)
    before, after = torch.from_numpy(
        np.random.default_rng(family.length).integers(0, MISSING, (2, FLANK)).astype(np.int8)
    )
    found = maps.jacobian(network, torch.cat([before, states, after]))
    inside = slice(FLANK, FLANK + family.length)
    return maps.precision_at_l(maps.contact_map(found[inside, :, inside]), truth)


def teacher_scores(family: Family, potts: Potts, truth: np.ndarray) -> dict[str, object]:
    """Score a Potts model: precision of its couplings, held-out pseudo-perplexity, and the profile's."""
    states = torch.from_numpy(family.held_out[:HELD_OUT_ROWS])
    profile = torch.from_numpy(family.profile).float().log().expand(len(states), -1, -1)
    return {
        "id": family.id,
        "potts_precision": maps.precision_at_l(coupling_map(potts.couplings).numpy(), truth),
        "profile_perplexity": perplexity(profile, states),
        "potts_perplexity": perplexity(potts.logits(states), states),
    }


def precision(
    family: Family, network: Network, teacher: dict[str, float], truth: np.ndarray, trained: bool
) -> dict[str, object]:
    """Score what says whether a family is learnt, beside its `teacher_scores` (on the same held-out rows)."""
    reference = family.record["p_at_l"]
    found = jacobian_precision(network, query_states(family), truth)
    perplexity_found = masked_perplexity(network, family.held_out)
    better = perplexity_found < teacher["profile_perplexity"]
    return {
        "id": family.id,
        "trained": trained,
        "length": family.length,
        "neff": round(family.neff),
        "p_at_l": reference,
        "potts_precision": teacher["potts_precision"],
        "mini_precision": found,
        "ratio_to_p_at_l": found / reference,
        "profile_perplexity": teacher["profile_perplexity"],
        "potts_perplexity": teacher["potts_perplexity"],
        "mini_perplexity": perplexity_found,
        "passes": bool(found >= 0.8 * reference and better),
    }


def head_score(
    model: ESM2, states: torch.Tensor, truth: np.ndarray, mask: torch.Tensor | None = None
) -> float:
    """Precision of the model's own contact head over all pairs."""
    shipped = model.contact_head.regression.weight.detach(), model.contact_head.regression.bias.detach()
    return maps.precision_at_l(head.score(head.attention_features(model, states, mask), shipped), truth)


def head_precision(family: Family, model: ESM2, truth: np.ndarray) -> dict[str, float]:
    """Score the contact head over all pairs, without a mask and averaged over masks."""
    states = query_states(family)
    return {
        f"head_precision_{percent}_masked": float(
            np.mean([head_score(model, states, truth, mask) for mask in masks(family.length, percent / 100)])
        )
        for percent in (0, 50, 90)
    }


def expected_contacts(model: ESM2, states: torch.Tensor, mask: torch.Tensor | None = None) -> float:
    """Sum of the head's probabilities over the pairs at separation 6 or more, a residue."""
    found = recovery.probabilities(model, states, mask)
    return float(found[np.triu_indices(len(found), maps.SEPARATION)].sum() / len(found))


def strength(jacobian: torch.Tensor) -> float:
    """Root mean square of the centred Jacobian's entries."""
    centred = jacobian.double()
    for axis in range(4):
        centred = centred - centred.mean(dim=axis, keepdim=True)
    return float(centred.square().mean().sqrt())


def robustness(family: Family, network: Network, model: ESM2, truth: np.ndarray) -> dict[str, float]:
    """Score under masks, elsewhere in a chain, on homologues and, for control, on shuffled letters."""
    states = query_states(family)
    found = {}
    for percent in (50, 90):
        scores = [
            jacobian_precision(network, states, truth, mask) for mask in masks(family.length, percent / 100)
        ]
        found[f"mini_precision_{percent}_masked"] = float(np.mean(scores))
    found["mini_precision_crops"] = crops(network, family, truth)
    found["mini_precision_flanked"] = flanked(network, family, truth)
    found["mini_precision_ungapped"] = homologues(network, family, truth)
    shuffled = states[torch.from_numpy(np.random.default_rng(0).permutation(family.length))]
    changed = maps.jacobian(network, shuffled)
    found["mini_precision_shuffled"] = maps.precision_at_l(maps.contact_map(changed), truth)
    found["mini_strength_shuffled"] = strength(changed) / strength(maps.jacobian(network, states))
    found["head_precision_shuffled"] = head_score(model, shuffled, truth)
    for percent in (0, 50, 90):
        found[f"head_contacts_{percent}_masked"] = float(
            np.mean([expected_contacts(model, states, mask) for mask in masks(family.length, percent / 100)])
        )
    found["head_contacts_shuffled"] = expected_contacts(model, shuffled)
    return found


def plain_scores(family: Family, network: Network, truth: np.ndarray) -> dict[str, float]:
    """Precision and held-out pseudo-perplexity of the network trained without distillation."""
    return {
        "plain_precision": jacobian_precision(network, query_states(family), truth),
        "plain_perplexity": masked_perplexity(network, family.held_out),
    }


def write(path: Path, lines: Sequence[dict[str, object]]) -> None:
    """Write a CSV, columns in the order in which they first appear, numbers to four digits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for line in lines for name in line))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names, restval="", lineterminator="\n")
        writer.writeheader()
        for line in lines:
            writer.writerow(
                {name: round(value, 4) if isinstance(value, float) else value for name, value in line.items()}
            )


def perplexity_of_sequence(network: Network, states: torch.Tensor) -> float:
    """Pseudo-perplexity over the 20 letters of one complete sequence."""
    return masked_perplexity(network, states[None].numpy())
