"""Training rows: members of a family as they are, masked, misplaced; and rows that are no members.

A group holds rows of one family. Aligned rows have a token a column and a gap token where a residue is
missing, as the teacher sees them. The others rehearse what a person does with the model: heavy masks
(scattered, or all but one or two fragments), members anywhere (crops, without gaps, between stretches of
random residues), and foreign rows (letters in random order, reversed, or drawn from the background), in which
there is nothing to know.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .families import MISSING, Family
from .network import CLS, EOS, FIRST_LETTER, GAP, MASK, PAD, with_ends

KINDS = {"aligned": 0.8, "heavy": 0.1, "placed": 0.1, "foreign": 0.0}
LATER_KINDS = {"aligned": 0.45, "heavy": 0.2, "placed": 0.15, "foreign": 0.2}
"""Shares of the rows: first those that carry the couplings, later more of those that tell what is known."""
QUERY_SHARES = {"aligned": 0.15, "heavy": 0.4, "placed": 0.3, "foreign": 0.3}
"""Rows of each kind that are made of the query: it is what people look at."""
NATURAL_SHARE, UNIFORM_SHARE = 0.35, 0.40
"""Rows left as they are; rows with sites redrawn uniformly; the others are redrawn from the profile."""
REDRAWN_UNIFORM, REDRAWN_PROFILE = 0.35, 0.5
"""The largest shares of redrawn sites."""
FILL_SHARE = 0.3
"""Rows whose missing sites are filled from the profile, as a complete query is."""
CROP_SHARE, FLANK_SHARE, GAPLESS_SHARE, HIDDEN_SHARE = 0.5, 0.6, 0.8, 0.25
"""Rows of a misplaced group that are cropped, that have a random stretch before (and, drawn apart, after)
them, that lose their gaps, that are heavily masked (of a foreign group, too)."""
SHORTEST_CROP, LONGEST_FLANK = 16, 40
PLAIN_MASKED_SHARE = 0.15
NOWHERE, FOREIGN = -1, -2
"""Columns of ends and padding, and of residues that belong to no column."""


@dataclass(frozen=True)
class Group:
    """Rows of one family, ready for a step.

    tokens: (N, T) with ends; states: (N, L) as the teacher sees them, MISSING where masked or absent;
    columns: (N, T) the family's column of each token, FOREIGN for a residue without one, NOWHERE at ends and
    padding; targets: (N, T) natural letter states at masked sites of natural rows, -1 elsewhere.
    """

    family: int
    tokens: torch.Tensor
    states: torch.Tensor
    columns: torch.Tensor
    targets: torch.Tensor


def from_distribution(shares: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Letters drawn from (..., 20) shares that broadcast to `shape`: int8 of that shape."""
    below = shares.cumsum(axis=-1) < rng.random((*shape, 1))
    return below.sum(axis=-1).clip(max=MISSING - 1).astype(np.int8)


def redraw(
    states: np.ndarray, profile: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Redraws some of the sites of some rows: (N, L) -> ((N, L), (N,) bool natural rows)."""
    number, length = states.shape
    kind = rng.random(number)
    uniform, natural = kind < UNIFORM_SHARE, kind > 1 - NATURAL_SHARE
    most = np.where(uniform, REDRAWN_UNIFORM, REDRAWN_PROFILE)
    share = np.where(natural, 0.0, rng.uniform(0.02, most))
    chosen = rng.random((number, length)) < share[:, None]
    from_profile = from_distribution(profile, (number, length), rng)
    drawn = np.where(uniform[:, None], rng.integers(0, MISSING, (number, length)), from_profile)
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
        if rng.random() < 0.6:
            fragments = int(rng.integers(1, 3))
            visible = np.zeros(length, dtype=bool)
            for _ in range(fragments):
                size = int(rng.integers(4, max(5, int(0.9 * length) // fragments)))
                start = int(rng.integers(0, max(1, length - size + 1)))
                visible |= (sites >= start) & (sites < start + size)
            mask[row] = ~visible
    return mask


def disturb(states: np.ndarray, composition: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Letters permuted, reversed or drawn from the background, nothing to know: (N, L) -> (N, L)."""
    states = states.copy()
    for row in states:
        known = row < MISSING
        if (way := rng.random()) < 0.45:
            row[known] = rng.permutation(row[known])
        elif way < 0.6:
            row[known] = row[known][::-1]
        else:
            row[:] = from_distribution(composition, row.shape, rng)
    return states


def kept_columns(states: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Columns that stay in each row of a misplaced group: a stretch or all, in most without the gaps."""
    kept = []
    for row in states:
        columns = np.arange(len(row))
        if rng.random() < CROP_SHARE and len(columns) > SHORTEST_CROP:
            size = int(rng.integers(SHORTEST_CROP, len(columns)))
            start = int(rng.integers(0, len(columns) - size + 1))
            columns = columns[start : start + size]
        if rng.random() < GAPLESS_SHARE:
            columns = columns[row[columns] < MISSING]
        kept.append(columns)
    return kept


def flanks(
    number: int, composition: np.ndarray, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Random residues, as tokens, before and after each row; often none."""
    sizes = rng.integers(1, LONGEST_FLANK + 1, (number, 2)) * (rng.random((number, 2)) < FLANK_SHARE)
    letters = [from_distribution(composition, (size,), rng) + FIRST_LETTER for size in sizes.flat]
    return list(zip(letters[::2], letters[1::2], strict=True))


def draw(
    family: Family, index: int, tokens: int, composition: np.ndarray, rng: np.random.Generator, kind: str
) -> Group:
    """Draw a group of about `tokens` tokens of one family.

    composition: (20,) letter frequencies of the background; kind: one of KINDS.
    """
    length = family.length
    number = max(1, round(tokens / (length + 2)))
    chances = family.weights / family.weights.sum()
    query = rng.random(number) < QUERY_SHARES[kind]
    picked = np.where(query, 0, rng.choice(len(chances), number, p=chances))
    states, natural = redraw(family.rows[picked], family.profile, rng)
    mask = light_mask(states.shape, rng)
    ends, kept = None, [np.arange(length)] * number
    if kind == "foreign":
        states, natural = disturb(states, composition, rng), np.zeros(number, dtype=bool)
    if kind == "placed":
        kept, ends = kept_columns(states, rng), flanks(number, composition, rng)
    heavy = np.full(number, kind == "heavy") | ((kind != "aligned") & (rng.random(number) < HIDDEN_SHARE))
    mask = np.where(heavy[:, None], heavy_mask(states.shape, rng), mask)
    absent = np.ones(states.shape, dtype=bool)
    for row, columns in enumerate(kept):
        absent[row, columns] = False
    seen = np.where(mask | absent, MISSING, states)
    targets = np.where(mask & natural[:, None] & (states < MISSING), states, -1)
    letters = np.where(mask, MASK, np.where(states < MISSING, states + FIRST_LETTER, GAP))
    return assemble(index, letters, seen, targets, kept, ends)


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
    index: int,
    letters: np.ndarray,
    seen: np.ndarray,
    targets: np.ndarray,
    kept: list[np.ndarray],
    ends: list[tuple[np.ndarray, np.ndarray]] | None = None,
) -> Group:
    """Put kept columns and flanks of each row between start and end tokens; pad to the longest."""
    ends = ends or [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))] * len(kept)
    sizes = [
        len(columns) + len(before) + len(after) for columns, (before, after) in zip(kept, ends, strict=True)
    ]
    shape = (len(kept), max(sizes) + 2)
    tokens, places = np.full(shape, PAD, dtype=np.int64), np.full(shape, NOWHERE, dtype=np.int64)
    goals = np.full(shape, -1, dtype=np.int64)
    for row, (columns, (before, after)) in enumerate(zip(kept, ends, strict=True)):
        end, first = sizes[row] + 1, len(before) + 1
        domain = slice(first, first + len(columns))
        tokens[row, 0], tokens[row, end] = CLS, EOS
        tokens[row, 1:end] = np.concatenate([before, letters[row, columns], after])
        places[row, 1:end] = FOREIGN
        places[row, domain], goals[row, domain] = columns, targets[row, columns]
    return Group(index, *map(torch.from_numpy, (tokens, seen, places, goals)))


def aligned_tokens(states: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Tokens with ends of aligned rows: (N, L) states -> (N, L + 2)."""
    tokens = torch.where(states < MISSING, states.long() + FIRST_LETTER, torch.tensor(GAP))
    return with_ends(tokens if mask is None else tokens.masked_fill(mask, MASK))
