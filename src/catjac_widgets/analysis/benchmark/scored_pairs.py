"""Pairs of residues with a map's score and a structure's verdict: what every precision is counted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from catjac_widgets.analysis import labels
from catjac_widgets.errors import JacobianError, StructureError

Pairs = Literal["unordered", "ordered"]


@dataclass(frozen=True)
class Scored:
    """Pairs of residues with a score and a verdict, i < j.

    Attributes
    ----------
    scores, hits
        float64 and bool, one a pair.
    length
        L, the number of residues that the structure resolves.
    first, second
        int, the residues (0-based in the map) of each pair.
    """

    scores: np.ndarray
    hits: np.ndarray
    length: int
    first: np.ndarray
    second: np.ndarray

    def precision(self, count: int) -> float:
        """Share of contacts among the `count` best pairs; pairs that do not exist count as misses.

        Ties across the limit enter with their mean, so that the order in which pairs are listed has no say.
        """
        if count < 1:
            return float("nan")
        if len(self.scores) <= count:
            return float(self.hits.sum()) / count
        limit = np.partition(self.scores, -count)[-count]
        above, tied = self.scores > limit, self.scores == limit
        open_places = count - above.sum()
        return float(self.hits[above].sum() + open_places * self.hits[tied].mean()) / count

    @property
    def auc(self) -> float:
        """Mean precision of the best 0.1 L, 0.2 L, …, 1.0 L pairs."""
        tenths = [self.precision(max(1, self.length * tenth // 10)) for tenth in range(1, 11)]
        return float(np.mean(tenths))


def scored_pairs(
    C: xr.DataArray | np.ndarray,
    truth: Any,
    *,
    separation: float = 6,
    max_separation: int | None = None,
    length: int | None = None,
    pairs: Pairs = "unordered",
) -> Scored:
    """Collect the pairs within the separations that have a score and a known truth; see `precision_at_l`."""
    scores, positions, chains = square_scores(C)
    known = truth_on_map(C, truth, positions)
    resolved = np.isfinite(known).any(axis=1)
    apart = separations(positions, chains)
    wanted = (apart >= separation) & np.isfinite(known) & np.isfinite(scores)
    if max_separation is not None:
        wanted &= apart < max_separation
    if pairs == "unordered":
        wanted = np.triu(wanted, 1)
    first, second = np.nonzero(wanted)
    count = int(resolved.sum()) if length is None else int(length)
    return Scored(scores[wanted], known[wanted] > 0, count, first, second)


def square_scores(C: xr.DataArray | np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str] | None]:
    """Scores (symmetrised), positions and chain names of a map."""
    if isinstance(C, xr.DataArray):
        if set(C.dims) != {"pos_i", "pos_j"}:
            raise JacobianError(
                f"A map has the axes pos_i and pos_j, this array {', '.join(map(str, C.dims)) or 'none'}; "
                "make one with contacts(J)."
            )
        C = C.transpose("pos_i", "pos_j")
    values = np.asarray(C, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise JacobianError(f"A map is square, this array has the shape {values.shape}.")
    positions: np.ndarray = np.arange(1, len(values) + 1)
    chains = None
    if isinstance(C, xr.DataArray):
        if "pos_i" in C.coords:
            positions = np.asarray(C["pos_i"].values).astype(int)
            if "pos_j" not in C.coords or not np.array_equal(positions, C["pos_j"].values):
                raise JacobianError(
                    "pos_i and pos_j of the map differ; select the same positions on both axes."
                )
        if "chain_i" in C.coords:
            chains = [str(chain) for chain in C["chain_i"].values]
    return (values + values.T) / 2, positions, chains


def separations(positions: np.ndarray, chains: list[str] | None) -> np.ndarray:
    """|i − j| of all pairs of residues, float64; infinite between chains."""
    apart = np.abs(positions[:, None] - positions[None]).astype(np.float64)
    if chains is not None:
        names = np.array(chains)
        apart[names[:, None] != names[None]] = np.inf
    return apart


def truth_on_map(C: xr.DataArray | np.ndarray, truth: Any, positions: np.ndarray) -> np.ndarray:
    """Lay the truth over the map's residues: 1 contact, 0 none, NaN unknown."""
    if hasattr(truth, "map_to") and hasattr(truth, "contacts"):
        if not isinstance(C, xr.DataArray):
            raise JacobianError(
                "A bare array says nothing of its residues; pass the labelled map, or an array of truth."
            )
        sequence = labels.sequence_of(C)
        truth = truth.contacts(sequence)
        truth = truth.assign_coords(pos_i=positions, pos_j=positions)
    if isinstance(truth, xr.DataArray):
        if set(truth.dims) != {"pos_i", "pos_j"}:
            raise StructureError(
                f"The truth has the axes {', '.join(map(str, truth.dims))} instead of pos_i and pos_j."
            )
        truth = truth.transpose("pos_i", "pos_j")
        if "pos_i" in truth.coords and "pos_j" in truth.coords:
            if not set(positions) & {int(position) for position in truth["pos_i"].values}:
                raise StructureError("The truth and the map have no position in common; number both from 1.")
            # Booleans have no NaN for the positions that are added.
            truth = truth.astype(np.float64).reindex(pos_i=positions, pos_j=positions)
    values = np.asarray(truth, dtype=np.float64)
    if values.shape != (len(positions), len(positions)):
        raise StructureError(
            f"The truth has the shape {values.shape}, the map {(len(positions),) * 2}; give both over "
            "the same residues."
        )
    return np.where(values < 0, np.nan, values)
