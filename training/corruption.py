"""Training rows: natural rows, partly redrawn, masked, cropped or with their gaps removed.

Most groups are aligned rows, unmasked or lightly masked. The rest rehearse what a person does with the model:
heavy masks (scattered, or all but one or two fragments), crops, and homologues without gap columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .families import MISSING, Family
from .network import CLS, EOS, FIRST_LETTER, GAP, MASK, PAD, with_ends

KINDS = {"aligned": 0.72, "heavy": 0.14, "crop": 0.06, "ungapped": 0.08}
QUERY_SHARE = 0.15
NATURAL_SHARE, UNIFORM_SHARE = 0.35, 0.40
"""Rows left as they are; rows with up to half their sites redrawn uniformly; the others from the profile."""
FILL_SHARE = 0.3
"""Rows whose missing sites are filled from the profile, as a complete query is."""
SHORTEST_CROP = 20
PLAIN_MASKED_SHARE = 0.15


@dataclass(frozen=True)
class Group:
    """Rows of one family, ready for a step.

    tokens: (N, T) with ends; states: (N, L) as the teacher sees them, MISSING where masked or absent;
    columns: (N, T) the family's column of each token, -1 at ends and padding;
    targets: (N, T) natural letter states at masked sites of natural rows, -1 elsewhere.
    """

    family: int
    tokens: torch.Tensor
    states: torch.Tensor
    columns: torch.Tensor
    targets: torch.Tensor


def redraw(
    states: np.ndarray, profile: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Redraws up to half the sites of some rows: (N, L) -> ((N, L), (N,) bool natural rows)."""
    number, length = states.shape
    kind = rng.random(number)
    uniform = (kind < UNIFORM_SHARE)[:, None]
    natural = kind > 1 - NATURAL_SHARE
    share = np.where(natural, 0.0, rng.uniform(0.02, 0.5, number))
    chosen = rng.random((number, length)) < share[:, None]
    from_profile = (
        (profile.cumsum(axis=1)[None] < rng.random((number, length, 1))).sum(axis=2).clip(max=MISSING - 1)
    )
    drawn = np.where(uniform, rng.integers(0, MISSING, (number, length)), from_profile)
    fill = (~natural & (rng.random(number) < FILL_SHARE))[:, None]
    known = states < MISSING
    return np.where(chosen & known, drawn, np.where(fill & ~known, from_profile, states)), natural


def light_mask(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """No mask in half the rows, up to 40 % scattered in the others: (N, L) bool."""
    share = np.where(rng.random(shape[0]) < 0.5, 0.0, rng.uniform(0.0, 0.4, shape[0]))
    return rng.random(shape) < share[:, None]


def heavy_mask(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """5-95 % masked, scattered or all but one or two fragments: (N, L) bool."""
    number, length = shape
    mask = rng.random(shape) < rng.uniform(0.05, 0.95, (number, 1))
    sites = np.arange(length)
    for row in range(number):
        if rng.random() < 0.5:
            fragments = int(rng.integers(1, 3))
            visible = np.zeros(length, dtype=bool)
            for _ in range(fragments):
                size = int(rng.integers(4, max(5, int(0.9 * length) // fragments)))
                start = int(rng.integers(0, max(1, length - size + 1)))
                visible |= (sites >= start) & (sites < start + size)
            mask[row] = ~visible
    return mask


def draw(family: Family, index: int, tokens: int, rng: np.random.Generator, rehearsal: float = 1.0) -> Group:
    """Draw a group of about `tokens` tokens of one family.

    rehearsal: factor of the shares of heavy masks, crops and ungapped rows, 0-1.
    """
    length = family.length
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    if rng.random() > rehearsal:
        kind = "aligned"
    columns = np.arange(length)
    if kind == "crop" and length > SHORTEST_CROP:
        size = int(rng.integers(SHORTEST_CROP, length))
        start = int(rng.integers(0, length - size + 1))
        columns = columns[start : start + size]
    number = max(1, round(tokens / (len(columns) + 2)))
    chances = family.weights / family.weights.sum()
    picked = np.where(rng.random(number) < QUERY_SHARE, 0, rng.choice(len(chances), number, p=chances))
    states, natural = redraw(family.rows[picked], family.profile, rng)
    mask = (heavy_mask if kind == "heavy" else light_mask)(states.shape, rng)
    absent = np.ones(length, dtype=bool)
    absent[columns] = False
    seen = np.where(mask | absent, MISSING, states)
    targets = np.where(mask & natural[:, None] & (states < MISSING), states, -1)
    letters = np.where(mask, MASK, np.where(states < MISSING, states + FIRST_LETTER, GAP))
    if kind == "ungapped":
        kept = [np.flatnonzero(row < MISSING) for row in states]
    else:
        kept = [columns] * number
    return assemble(index, letters, seen, targets, kept)


def draw_plain(family: Family, index: int, tokens: int, rng: np.random.Generator) -> Group:
    """Draw natural aligned rows with 15 % of their residues masked, for plain masked-language training."""
    length = family.length
    chances = family.weights / family.weights.sum()
    states = family.rows[rng.choice(len(chances), max(1, round(tokens / (length + 2))), p=chances)]
    mask = (rng.random(states.shape) < PLAIN_MASKED_SHARE) & (states < MISSING)
    seen, targets = np.where(mask, MISSING, states), np.where(mask, states, -1)
    letters = np.where(mask, MASK, np.where(states < MISSING, states + FIRST_LETTER, GAP))
    return assemble(index, letters, seen, targets, [np.arange(length)] * len(states))


def assemble(
    index: int, letters: np.ndarray, seen: np.ndarray, targets: np.ndarray, kept: list[np.ndarray]
) -> Group:
    """Put the kept columns of each row between start and end tokens, padded to the longest row."""
    width = max(map(len, kept)) + 2
    shape = (len(kept), width)
    tokens, places = np.full(shape, PAD, dtype=np.int64), np.full(shape, -1, dtype=np.int64)
    goals = np.full(shape, -1, dtype=np.int64)
    for row, columns in enumerate(kept):
        end = len(columns) + 1
        tokens[row, 0], tokens[row, end] = CLS, EOS
        tokens[row, 1:end], places[row, 1:end] = letters[row, columns], columns
        goals[row, 1:end] = targets[row, columns]
    return Group(index, *map(torch.from_numpy, (tokens, seen, places, goals)))


def aligned_tokens(states: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Tokens with ends of aligned rows: (N, L) states -> (N, L + 2)."""
    tokens = torch.where(states < MISSING, states.long() + FIRST_LETTER, torch.tensor(GAP))
    return with_ends(tokens if mask is None else tokens.masked_fill(mask, MASK))
