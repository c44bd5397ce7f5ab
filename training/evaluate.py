"""Scores of every family: held-out pseudo-perplexity and precision of contact maps, as lines of a CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from . import head, maps
from .corruption import aligned_tokens
from .families import MISSING, Family, encode
from .network import Network
from .potts import Potts, coupling_map, perplexity
from .weights import load_esm

HELD_OUT_ROWS = 24
MASK_DRAWS = 3
HOMOLOGUES = 2
FRAGMENT = 0.8
"""Share of the query in each of the two crops (without its end, without its start)."""


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


def query_states(family: Family) -> torch.Tensor:
    """(L,) states of the query."""
    return torch.from_numpy(encode([family.query]))[0]


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
    for _ in range(MASK_DRAWS):
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


def likelihoods(family: Family, network: Network, potts: Potts) -> dict[str, float]:
    """Held-out pseudo-perplexity of the profile, the Potts model and the network, on the same rows."""
    states = torch.from_numpy(family.held_out[:HELD_OUT_ROWS])
    profile = torch.from_numpy(family.profile).float().log().expand(len(states), -1, -1)
    return {
        "profile_perplexity": perplexity(profile, states),
        "potts_perplexity": perplexity(potts.logits(states), states),
        "mini_perplexity": masked_perplexity(network, family.held_out),
    }


def scores(
    family: Family, network: Network, weights: Path, potts: Potts, truth: np.ndarray, trained: bool
) -> dict[str, object]:
    """One line of families.csv without the contact head's out-of-fold column."""
    states = query_states(family)
    reference = family.record["p_at_l"]
    line: dict[str, object] = {
        "id": family.id,
        "trained": trained,
        "length": family.length,
        "neff": round(family.neff),
        "p_at_l": round(reference, 4),
    }
    potts_precision = maps.precision_at_l(coupling_map(potts.couplings).numpy(), truth)
    mini_precision = jacobian_precision(network, states, truth)
    line |= {
        "potts_precision": potts_precision,
        "mini_precision": mini_precision,
        "ratio_to_p_at_l": mini_precision / reference,
    }
    line |= likelihoods(family, network, potts)
    line["passes"] = bool(
        mini_precision >= 0.8 * reference and line["mini_perplexity"] < line["profile_perplexity"]
    )  # type: ignore[operator]
    model = load_esm(weights)
    regression = model.contact_head.regression
    shipped = regression.weight.detach(), regression.bias.detach()
    for percent in (0, 50, 90):
        drawn = (
            masks(family.length, percent / 100) if percent else [torch.zeros(family.length, dtype=torch.bool)]
        )
        line[f"head_precision_{percent}_masked"] = float(
            np.mean(
                [
                    maps.precision_at_l(
                        head.score(head.attention_features(model, states, mask), shipped), truth
                    )
                    for mask in drawn
                ]
            )
        )
    if trained:
        for percent in (50, 90):
            line[f"mini_precision_{percent}_masked"] = float(
                np.mean(
                    [
                        jacobian_precision(network, states, truth, mask)
                        for mask in masks(family.length, percent / 100)
                    ]
                )
            )
        line["mini_precision_crops"] = crops(network, family, truth)
        line["mini_precision_ungapped"] = homologues(network, family, truth)
    return line


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
