"""The mean block of a brush: what the pairs of a block of the map have in common, letter by letter."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.block_math.alphabets import Alphabets
from catjac_widgets.errors import CatjacError, UsageError
from catjac_widgets.widgets.base.arrays import encode

if TYPE_CHECKING:
    import xarray as xr

    from catjac_widgets.widgets.base.traits import Brush

#: Called with a 1-based position, returns its row (A_in, L, A_out), or None where it is not there (yet).
FindRow = Callable[[int], "np.ndarray | None"]

#: Seconds that reading rows may take in one go, so that whoever else waits has a turn.
TURN = 0.05


@dataclass(frozen=True)
class Counts:
    """What went into a mean.

    Attributes
    ----------
    pairs
        How many pairs i ≠ j it is the mean of.
    rows_done, rows_waiting, rows_masked
        Rows of the brush that are in it, that are not there yet, and that are masked (and never come).
    """

    pairs: int
    rows_done: int
    rows_waiting: int
    rows_masked: int


class MeanBlock:
    """Mean of J's raw blocks over the pairs i ≠ j of a brush, read a row at a time.

    Of a Jacobian in the store no more than one row is in memory at once, and rows that are not there are left
    out and may be read later. How a residue answers to itself is another question: pairs i = j do not count.

    Parameters
    ----------
    brush
        Runs of rows (substituted) and of columns (read), 1-based, ends included.
    row
        Where rows come from.
    letters_in, letters_out
        Of the block's axes.
    masked
        Positions (1-based) that are masked: their rows never come.
    alphabets
        Which letters residues may have, where not all: others are left out, and of letters that some may have
        the mean is over their pairs.
    """

    def __init__(
        self,
        brush: Brush,
        row: FindRow,
        letters_in: tuple[str, ...],
        letters_out: tuple[str, ...],
        masked: frozenset[int] = frozenset(),
        alphabets: Alphabets | None = None,
    ) -> None:
        self.brush = brush
        (i0, i1), (j0, j1) = brush
        self._alphabets, self._kept = alphabets, np.ix_(range(len(letters_in)), range(len(letters_out)))
        if alphabets is not None:
            put = np.flatnonzero(alphabets.allowed_in[i0 - 1 : i1].any(axis=0))
            read = np.flatnonzero(alphabets.allowed_out[j0 - 1 : j1].any(axis=0))
            self._kept = np.ix_(put, read)
            letters_in, letters_out = (
                tuple(letters[k] for k in kept) for letters, kept in ((letters_in, put), (letters_out, read))
            )
        self.letters_in, self.letters_out = letters_in, letters_out
        self._row = row
        self._masked = sum(position in masked for position in range(i0, i1 + 1))
        self._to_read = [position for position in range(i0, i1 + 1) if position not in masked]
        self._sum = np.zeros((len(letters_in), len(letters_out)))
        self._counted = np.zeros_like(self._sum)
        self._pairs = self._rows = 0

    def read(self, seconds: float | None = None) -> bool:
        """Read rows that are there, for about that long (`TURN`); whether all that are there were read."""
        until = time.monotonic() + (TURN if seconds is None else seconds)
        waiting = []
        while self._to_read:
            position = self._to_read.pop(0)
            row = self._row(position)
            if row is None:
                waiting.append(position)
            else:
                self._take(position, row)
            if time.monotonic() > until and self._to_read:
                self._to_read += waiting  # those that are not there yet are asked for last
                return False
        self._to_read = waiting
        return True

    def _take(self, position: int, row: np.ndarray) -> None:
        j0, j1 = self.brush[1]
        columns = np.arange(j0, j1 + 1)
        columns = columns[columns != position]
        if len(columns):
            self._sum += row[:, columns - 1, :].sum(axis=1, dtype=np.float64)[self._kept]
            self._counted += self._possible(position, columns - 1)
        self._pairs += len(columns)
        self._rows += 1

    def _possible(self, position: int, columns: np.ndarray) -> np.ndarray | int:
        """Count the pairs that may have each two letters."""
        if self._alphabets is None:
            return len(columns)
        put, read = self._alphabets.allowed_in[position - 1], self._alphabets.allowed_out[columns]
        return np.outer(put, read.sum(axis=0))[self._kept]

    @property
    def counts(self) -> Counts:
        """How much was read."""
        return Counts(self._pairs, self._rows, len(self._to_read), self._masked)

    @property
    def values(self) -> np.ndarray | None:
        """float32, (letters_in, letters_out), logits; None while there is no pair."""
        return (self._sum / np.maximum(self._counted, 1)).astype(np.float32) if self._pairs else None

    @property
    def status(self) -> tuple[str, str]:
        """Whether there is a mean: "ready", "waiting", "masked" or "error", and why not."""
        counts = self.counts
        if counts.pairs:
            return "ready", ""
        if counts.rows_waiting:
            return (
                "waiting",
                "No row of this block is computed yet; its mean appears here as soon as one is.",
            )
        if counts.rows_done:
            return "error", "This block holds no pair of two residues; drag over a larger one."
        return (
            "masked",
            "All rows of this block are masked, so nothing was put in their place; choose visible residues.",
        )

    def words(self) -> str:
        """Say what it is the mean of."""
        counts = self.counts
        parts = [f"mean of {counts.pairs} pair{'' if counts.pairs == 1 else 's'}"]
        if counts.rows_waiting:
            total = counts.rows_done + counts.rows_waiting
            parts.append(f"{counts.rows_done} of {total} rows so far")
        if counts.rows_masked:
            parts.append(f"{counts.rows_masked} masked row{'' if counts.rows_masked == 1 else 's'} left out")
        return " · ".join(parts)


class BrushedMean:
    """Keeps a view's mean block up to date with the brush, in turns with whatever else is delivered.

    Parameters
    ----------
    view
        Whose `brush` to follow and whose trait `mean` to set: None, or a dict with brush, status ("ready",
        "waiting", "masked" or "error"), note, words, letters_in, letters_out and values.
    prepare
        Called with a brush, returns its `MeanBlock`.
    """

    def __init__(self, view: Any, prepare: Callable[[Brush], MeanBlock]) -> None:
        self._view, self._prepare = view, prepare
        self._mean: MeanBlock | None = None
        view.observe(lambda change: self.renew(), "brush")
        if view.brush is not None:
            self.renew()

    def renew(self) -> None:
        """Begin anew: the brush, or the Jacobian, is another one."""
        self._mean = None
        self._post()

    def row_came(self, position: int) -> None:
        """Read on if that row belongs to the brush."""
        brush = self._view.brush
        if brush is not None and brush[0][0] <= position <= brush[0][1]:
            # Nobody waits for one row among many.
            self._post(urgent=False)

    def _post(self, *, urgent: bool = True) -> None:
        self._view.delivery.post(("mean", id(self)), self._show, prepare=self._read, urgent=urgent)

    def _read(self) -> dict[str, Any] | None:
        brush: Brush | None = self._view.brush
        if brush is None:
            return None
        said: dict[str, Any] = {
            "brush": [list(run) for run in brush],
            "letters_in": [],
            "letters_out": [],
            "values": None,
        }
        try:
            mean = self._mean
            if mean is None or mean.brush != brush:
                mean = self._mean = self._prepare(brush)
            if not mean.read():
                self._post()
        except CatjacError as error:
            return said | {"status": "error", "note": str(error), "words": ""}
        except Exception as error:
            note = f"These blocks cannot be read ({type(error).__name__}: {error})."
            return said | {"status": "error", "note": note, "words": ""}
        status, note = mean.status
        letters = {"letters_in": list(mean.letters_in), "letters_out": list(mean.letters_out)}
        said |= {"status": status, "note": note, "words": mean.words(), "values": encode(mean.values)}
        return said | letters

    def _show(self, said: dict[str, Any] | None) -> None:
        self._view.mean = said


def mean_block_of(J: xr.DataArray, brush: Brush) -> MeanBlock:
    """Prepare the mean block of a Jacobian, in memory or lazy; rows of NaN count as not there."""

    def row(position: int) -> np.ndarray | None:
        values = np.asarray(J.sel(pos_in=position).transpose("aa_in", "pos_out", "aa_out").values)
        return None if np.isnan(values).any() else values

    from catjac_widgets.analysis import labels

    letters_in, letters_out = (
        tuple(str(letter) for letter in J[name].values) for name in ("aa_in", "aa_out")
    )
    # Positions are 1 … L where a brush is drawn.
    return MeanBlock(brush, row, letters_in, letters_out, alphabets=labels.alphabets(J))


def label_mean(mean: MeanBlock) -> xr.DataArray:
    """Label a mean block as far as it was read: dims (aa_in, aa_out), in logits; `attrs` hold its counts.

    Raises
    ------
    UsageError
        If there is no pair in it.
    """
    import xarray as xr

    values = mean.values
    if values is None:
        raise UsageError(
            "No pair of the brushed block can be averaged: its rows are masked or not computed yet; "
            "brush others."
        )
    (i0, i1), (j0, j1) = mean.brush
    return xr.DataArray(
        values,
        dims=("aa_in", "aa_out"),
        coords={"aa_in": list(mean.letters_in), "aa_out": list(mean.letters_out)},
        name="jacobian",
        attrs={"rows": f"{i0}-{i1}", "columns": f"{j0}-{j1}", "units": "logits"} | asdict(mean.counts),
    )
