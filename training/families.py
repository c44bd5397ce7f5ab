"""Natural families: alignments read from A3M, split into training and held-out rows, weighted."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

LETTERS = "LAGVSERTIDPKQNFYMHWC"
"""The 20 amino acids in the order of ESM-2's vocabulary."""
MISSING = len(LETTERS)
"""The state of a gap or an unknown residue in an aligned row."""

IDENTITY = 0.8
HELD_OUT_SHARE, HELD_OUT_MOST = 0.08, 160


class DataError(SystemExit):
    """The alignments cannot be read; the message is one sentence."""


@dataclass(frozen=True)
class Family:
    """An alignment to one query, split for training.

    `rows` and `held_out` are (N, L) int8 states: 0-19 in the order of `LETTERS`, 20 where nothing is known.
    The first row of `rows` is the query. `weights` is one over the number of training rows at 80 % identity
    or more; `profile` is the (L, 20) weighted composition of each column.
    """

    id: str
    query: str
    rows: np.ndarray
    held_out: np.ndarray
    weights: np.ndarray
    profile: np.ndarray
    record: dict

    @property
    def length(self) -> int:
        """Residues of the query."""
        return len(self.query)

    @property
    def neff(self) -> float:
        """Effective number of training rows."""
        return float(self.weights.sum())


def data_folder() -> Path:
    """Find the folder that CATJAC_DATA names; DataError where it is unset or holds no families."""
    named = os.environ.get("CATJAC_DATA")
    if not named:
        raise DataError(
            "CATJAC_DATA is not set: let it name the data folder that holds families/families.json."
        )
    folder = Path(named).expanduser()
    if not (folder / "families" / "families.json").is_file():
        raise DataError(f"CATJAC_DATA names {named!r}, but there is no families/families.json in it.")
    return folder


def records(folder: Path) -> list[dict]:
    """Read families.json, shortest query first."""
    entries = json.loads((folder / "families" / "families.json").read_text(encoding="utf-8"))
    return sorted(entries, key=lambda entry: (entry["length"], entry["id"]))


def encode(rows: Sequence[str]) -> np.ndarray:
    """Aligned rows as (N, L) int8 states; every character outside the 20 letters is MISSING."""
    table = np.full(256, MISSING, dtype=np.int8)
    for state, letter in enumerate(LETTERS):
        table[ord(letter)] = state
    if len({len(row) for row in rows}) > 1:
        raise ValueError("the rows of an alignment must all have the query's length; these do not")
    return table[np.frombuffer("".join(rows).encode("ascii"), dtype=np.uint8)].reshape(len(rows), -1)


def read_a3m(path: Path) -> list[str]:
    """Read a (gzipped) A3M file, the query first; lower-case insertions are dropped."""
    opener = gzip.open if path.suffix == ".gz" else open
    rows: list[list[str]] = []
    with opener(path, "rt", encoding="ascii") as lines:
        for line in lines:
            if line.startswith(">"):
                rows.append([])
            elif rows:
                rows[-1].append("".join(c for c in line.strip() if not c.islower()))
    return ["".join(parts) for parts in rows]


def identity_counts(rows: np.ndarray, others: np.ndarray, block: int = 512) -> np.ndarray:
    """Identical columns, missing ones counted as a letter, between all rows and others: (N, M) int."""
    states = np.arange(MISSING + 1, dtype=np.int8)
    flat = (others[:, :, None] == states).reshape(len(others), -1).astype(np.float32)
    counts = np.empty((len(rows), len(others)), dtype=np.int16)
    for start in range(0, len(rows), block):
        part = (rows[start : start + block, :, None] == states).reshape(-1, flat.shape[1]).astype(np.float32)
        counts[start : start + block] = np.rint(part @ flat.T)
    return counts


def row_weights(rows: np.ndarray) -> np.ndarray:
    """One over the number of rows, itself included, at 80 % identity or more: (N,) float64."""
    return 1.0 / (identity_counts(rows, rows) >= IDENTITY * rows.shape[1]).sum(axis=1)


def profile_of(rows: np.ndarray, weights: np.ndarray, pseudocount: float = 1.0) -> np.ndarray:
    """Weighted letter frequencies of every column, pseudocount spread by the overall composition: (L, 20)."""
    counts = np.stack([((rows == a) * weights[:, None]).sum(axis=0) for a in range(MISSING)], axis=1)
    overall = counts.sum(axis=0) + 1.0
    counts = counts + pseudocount * overall / overall.sum()
    return counts / counts.sum(axis=1, keepdims=True)


def split(rows: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(training, held-out) row indices; no training row is at 80 % identity or more to a held-out one.

    The query (row 0) and its neighbours always train. The split does not depend on the training seed.
    """
    length = rows.shape[1]
    near_query = identity_counts(rows, rows[:1])[:, 0] >= IDENTITY * length
    number = min(HELD_OUT_MOST, int(HELD_OUT_SHARE * len(rows)))
    candidates = np.flatnonzero(~near_query)
    held_out = np.sort(np.random.default_rng(seed).permutation(candidates)[:number])
    close = (identity_counts(rows, rows[held_out]) >= IDENTITY * length).any(axis=1) & ~near_query
    safe = ~(identity_counts(rows[held_out], rows[near_query]) >= IDENTITY * length).any(axis=1)
    return np.flatnonzero(~close), held_out[safe]


def load(folder: Path, record: dict) -> Family:
    """One family, read, split, weighted."""
    text = read_a3m(folder / "families" / f"{record['id']}.a3m.gz")
    states = encode(text)
    training, held_out = split(states)
    rows = states[training]
    weights = row_weights(rows)
    return Family(
        record["id"], record["query"], rows, states[held_out], weights, profile_of(rows, weights), record
    )


def query_states(family: Family) -> torch.Tensor:
    """(L,) states of the query."""
    return torch.from_numpy(encode([family.query]))[0]
