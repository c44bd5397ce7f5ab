"""How well a map finds the contacts of a structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from catjac_widgets.analysis import labels
from catjac_widgets.analysis.benchmark.intervals import CONFIDENCE, DRAWS, Unit, precision_interval
from catjac_widgets.errors import JacobianError, StructureError, UsageError

if TYPE_CHECKING:
    import pandas as pd

#: Sequence separations |i − j|: from the first, below the second.
RANGES: dict[str, tuple[int, int | None]] = {
    "local": (3, 6),
    "short": (6, 12),
    "medium": (12, 24),
    "long": (24, None),
}

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


def precision_at_l(
    C: xr.DataArray | np.ndarray,
    truth: Any,
    *,
    separation: int = 6,
    max_separation: int | None = None,
    fraction: float = 1.0,
    length: int | None = None,
    pairs: Pairs = "unordered",
) -> float:
    """Share of true contacts among the best-scoring L · `fraction` pairs.

    Parameters
    ----------
    C
        Map of scores, labelled (pos_i, pos_j) or a bare square array. Of an asymmetric map the mean of both
        directions counts.
    truth
        A `Structure` (its default contacts are taken: observed Cβ below 8 Å), a map labelled like C, or a
        square array over the same residues. Above 0 is a contact; NaN and negative values are unknown and
        left out.
    separation, max_separation
        |i − j| from `separation` up to and without `max_separation`. Residues of different chains are
        infinitely far apart.
    fraction
        1, 1/2, 1/5, …; the count is rounded down.
    length
        L; by default the number of residues of C that the structure resolves.
    pairs
        "unordered"; or "ordered": (i, j) and (j, i) are ranked as two, as Zhang et al. (2024) do, which for a
        symmetric map is the precision of the best L/2 unordered pairs.

    Returns
    -------
    float
        0 … 1. Where fewer pairs exist than are asked for, the missing ones count as misses;
        `evaluate_contacts` reports how many there are.

    Raises
    ------
    JacobianError, StructureError
        If C or the truth is not square or they do not fit each other.
    UsageError
        For a separation, fraction or convention that makes no sense.
    """
    _check(separation, max_separation, fraction, pairs)
    scored = scored_pairs(
        C, truth, separation=separation, max_separation=max_separation, length=length, pairs=pairs
    )
    return scored.precision(int(scored.length * fraction))


def auc(
    C: xr.DataArray | np.ndarray,
    truth: Any,
    *,
    separation: int = 6,
    max_separation: int | None = None,
    length: int | None = None,
) -> float:
    """Average the precision over the best 0.1 L, 0.2 L, …, 1.0 L pairs; see `precision_at_l`."""
    _check(separation, max_separation, 1.0, "unordered")
    return scored_pairs(C, truth, separation=separation, max_separation=max_separation, length=length).auc


def evaluate_contacts(
    C: xr.DataArray | np.ndarray,
    truth: Any,
    *,
    length: int | None = None,
    pairs: Pairs = "unordered",
    unit: Unit = "residues",
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Tabulate the precision of a map over the usual ranges of sequence separation.

    Parameters
    ----------
    C, truth, length, pairs
        See `precision_at_l`.
    unit, confidence, draws, seed
        Of the interval, see `precision_interval`: a bootstrap over the protein's residues, or over its pairs.
        ``draws=0`` leaves it out.

    Returns
    -------
    pandas.DataFrame
        One row a range ("all" is |i − j| ≥ 6, then local, short, medium and long) with the number of pairs
        and of contacts among them, precision at L, L/2 and L/5, the interval (low, high) of the first, AUC,
        and `random`, the share of contacts. Where there are fewer pairs than places, the places left count as
        misses.

    Raises
    ------
    JacobianError, StructureError, UsageError
        As `precision_at_l` and `precision_interval`.
    """
    import pandas as pd

    _check(1, None, 1.0, pairs)
    rows = []
    for name, (first, last) in {"all": (6, None), **RANGES}.items():
        scored = scored_pairs(C, truth, separation=first, max_separation=last, length=length, pairs=pairs)
        low = high = float("nan")
        if draws:
            low, high = precision_interval(
                scored, scored.length, unit=unit, confidence=confidence, draws=draws, seed=seed
            )
        rows.append(
            {
                "range": name,
                "separation": f"{first}–{last - 1}" if last else f"≥ {first}",
                "pairs": len(scored.hits),
                "contacts": int(scored.hits.sum()),
                "precision_at_l": scored.precision(scored.length),
                "precision_at_l_half": scored.precision(scored.length // 2),
                "precision_at_l_fifth": scored.precision(scored.length // 5),
                "low": low,
                "high": high,
                "auc": scored.auc,
                "random": float(scored.hits.mean()) if len(scored.hits) else float("nan"),
            }
        )
    return pd.DataFrame(rows).set_index("range")


def top_contacts(
    C: xr.DataArray, count: int | None = None, separation: int = 6, *, truth: Any = None
) -> pd.DataFrame:
    """List the best-scoring pairs of residues, best first.

    Parameters
    ----------
    count
        How many; L (the residues of the map) by default.
    separation
        Smallest |i − j|; residues of different chains are infinitely far apart.
    truth
        What `precision_at_l` takes; adds the column `contact` (True, False, or None where unknown).

    Returns
    -------
    pandas.DataFrame
        residue_i, residue_j (what a person calls them), pos_i < pos_j (1-based), separation (inf between
        chains), score.

    Raises
    ------
    JacobianError
        If C bears no labels or is not square.
    """
    import pandas as pd

    scores, positions, chains = _square(C)
    apart = _separations(positions, chains)
    first, second = np.triu_indices(len(positions), 1)
    kept = (apart[first, second] >= separation) & np.isfinite(scores[first, second])
    first, second = first[kept], second[kept]
    order = np.argsort(-scores[first, second], kind="stable")[: len(positions) if count is None else count]
    first, second = first[order], second[order]
    names = [str(p) for p in positions]
    if isinstance(C, xr.DataArray) and "residue_i" in C.coords:
        names = [str(name) for name in C["residue_i"].values]
    table = pd.DataFrame(
        {
            "residue_i": [names[k] for k in first],
            "residue_j": [names[k] for k in second],
            "pos_i": positions[first],
            "pos_j": positions[second],
            "separation": apart[first, second],
            "score": scores[first, second],
        },
        index=pd.RangeIndex(1, len(first) + 1, name="rank"),
    )
    if not np.isinf(table["separation"]).any():
        table["separation"] = table["separation"].astype(int)
    if truth is not None:
        known = _truth_for(C, truth, positions)[first, second]
        table["contact"] = pd.array([None if np.isnan(v) else bool(v > 0) for v in known], dtype="boolean")
    return table


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
    scores, positions, chains = _square(C)
    known = _truth_for(C, truth, positions)
    resolved = np.isfinite(known).any(axis=1)
    apart = _separations(positions, chains)
    wanted = (apart >= separation) & np.isfinite(known) & np.isfinite(scores)
    if max_separation is not None:
        wanted &= apart < max_separation
    if pairs == "unordered":
        wanted = np.triu(wanted, 1)
    first, second = np.nonzero(wanted)
    count = int(resolved.sum()) if length is None else int(length)
    return Scored(scores[wanted], known[wanted] > 0, count, first, second)


def _square(C: xr.DataArray | np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str] | None]:
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


def _separations(positions: np.ndarray, chains: list[str] | None) -> np.ndarray:
    apart = np.abs(positions[:, None] - positions[None]).astype(np.float64)
    if chains is not None:
        names = np.array(chains)
        apart[names[:, None] != names[None]] = np.inf
    return apart


def _truth_for(C: xr.DataArray | np.ndarray, truth: Any, positions: np.ndarray) -> np.ndarray:
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


def _check(separation: int, max_separation: int | None, fraction: float, pairs: str) -> None:
    if pairs not in ("unordered", "ordered"):
        raise UsageError(f"pairs={pairs!r} is neither 'unordered' nor 'ordered'.")
    if separation < 1 or (max_separation is not None and max_separation <= separation):
        raise UsageError(
            f"A separation from {separation} up to {max_separation} holds no pair; give 1 ≤ separation < "
            "max_separation."
        )
    if not fraction > 0:
        raise UsageError(f"fraction={fraction!r} leaves no pair; give 1, 1/2, 1/5, ….")
