"""What is stored beside a completed Jacobian: its order-A contact map, block norms and position means.

Order A: centre all four axes, symmetrise the tensor, Frobenius norm of each block, zero the diagonal, correct
by the average product, zero the diagonal again. Letters are centred as rows arrive; centring over `pos_in`
and pairing a block with its transpose need all rows, so they wait for the end, where rows are read in tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from catjac_widgets.block_math import pairs as block_pairs
from catjac_widgets.block_math.pairs import paired_norms, position_shift

if TYPE_CHECKING:
    from catjac_widgets.engine.plans.jacobian import Plan


class Accumulator:
    """Gathers the summaries of one Jacobian from its rows, in any order.

    Positions count that are visible; under a mask the others are left out of all means and stay NaN.

    Parameters
    ----------
    plan
        Whose rows will come.
    """

    def __init__(self, plan: Plan) -> None:
        a_in, length, a_out = plan.row_shape
        self.plan = plan
        self.visible = np.flatnonzero(~plan.mask.array)
        self._seen = np.zeros(length, dtype=bool)
        self._block_norms = np.full((length, length), np.nan, dtype=plan.dtype)
        # float64: long sums would lose digits in float32, and each of these is one row's worth of memory.
        self._mean_over_pos_out = np.full((length, a_in, a_out), np.nan, dtype=np.float64)
        self._sum_over_pos_in = np.zeros((a_in, length, a_out), dtype=np.float64)

    @property
    def missing(self) -> list[int]:
        """0-based visible positions whose row has not come."""
        return [int(index) for index in self.visible if not self._seen[index]]

    def add(self, index: int, row: np.ndarray) -> None:
        """Take the row (A_in, L, A_out) of a 0-based position; a second or a masked one changes nothing."""
        if self._seen[index] or self.plan.mask.masked[index]:
            return
        self._seen[index] = True
        self._sum_over_pos_in += row
        self._mean_over_pos_out[index] = row[:, self.visible].mean(axis=1, dtype=np.float64)
        self._block_norms[index] = _norms(_centre_letters(row))

    def finish(self, read: Callable[[int], np.ndarray]) -> Iterator[dict[str, np.ndarray] | None]:
        """Compute what needs all rows; yields None between tiles, and the arrays last.

        Parameters
        ----------
        read
            Gives the row of a 0-based position again.

        Yields
        ------
        None, and at last a dict
            "contacts" and "block_norms" (L, L), "mean_over_pos_in" (A_in, L, A_out), "mean_over_pos_out"
            (L, A_in, A_out).
        """
        for index in self.missing:
            self.add(index, read(index))
            yield None
        plan, visible = self.plan, self.visible
        mean_over_pos_in = self._sum_over_pos_in / len(visible)
        mean_over_pos_in[:, plan.mask.array] = np.nan
        norms: np.ndarray = np.zeros((len(visible), len(visible)))
        square = len(plan.letters_in) == len(plan.letters) > 1
        if square:
            c = _centre_letters(mean_over_pos_in[:, visible]).transpose(1, 0, 2)
            r = _centre_letters(self._mean_over_pos_out[visible].transpose(1, 0, 2)).transpose(1, 0, 2)
            yield from paired_norms(
                norms,
                lambda first, last: self._rows(read, first, last),
                position_shift(c, r),
                letters_in=True,
                letters_out=True,
                held=max(1, block_pairs.HELD_BYTES // plan.row_bytes),
            )
        else:
            # The mean of rows centred over their own three axes is the mean row, centred likewise.
            mean_row = _centre_row(mean_over_pos_in[:, visible])
            for k, index in enumerate(visible):
                norms[k] = _norms(_centre_row(read(int(index))[:, visible]) - mean_row)
                yield None
            norms = 0.5 * (norms + norms.T)
        contacts = np.full((plan.length, plan.length), np.nan, dtype=plan.dtype)
        contacts[np.ix_(visible, visible)] = average_product_corrected(norms)
        yield {
            "contacts": contacts,
            "block_norms": self._block_norms,
            "mean_over_pos_in": mean_over_pos_in.astype(plan.dtype),
            "mean_over_pos_out": self._mean_over_pos_out.astype(plan.dtype),
        }

    def _rows(self, read: Callable[[int], np.ndarray], first: int, last: int) -> np.ndarray:
        """Lay the rows of visible positions first … last − 1 one after another, at visible residues."""
        a_in, _, a_out = self.plan.row_shape
        everything = len(self.visible) == self.plan.length
        rows = np.empty((last - first, a_in, len(self.visible), a_out), dtype=self.plan.dtype)
        for row, index in zip(rows, self.visible[first:last], strict=True):
            found = read(int(index))
            row[...] = found if everything else found[:, self.visible]
        return rows


def average_product_corrected(norms: np.ndarray) -> np.ndarray:
    """Correct a map (n, n): zero its diagonal, subtract the margins' product over the sum, zero it again.

    A map that sums to nothing gives zeros.
    """
    corrected = norms.astype(np.float64)
    np.fill_diagonal(corrected, 0.0)
    total = corrected.sum()
    if total == 0.0:
        return np.zeros_like(corrected)
    corrected -= corrected.sum(axis=1, keepdims=True) * corrected.sum(axis=0, keepdims=True) / total
    np.fill_diagonal(corrected, 0.0)
    return corrected


def _centre_letters(row: np.ndarray) -> np.ndarray:
    """Subtract the means over both letter axes of a row (A_in, L, A_out); axes of length 1 are left alone."""
    centred = row - row.mean(axis=2, keepdims=True) if row.shape[2] > 1 else row.copy()
    if row.shape[0] > 1:
        centred -= centred.mean(axis=0, keepdims=True)
    return centred


def _centre_row(row: np.ndarray) -> np.ndarray:
    """Subtract the means over all three axes of a row (A_in, n, A_out); axes of length 1 are left alone."""
    centred = _centre_letters(row)
    if row.shape[1] > 1:
        centred -= centred.mean(axis=1, keepdims=True)
    return centred


def _norms(row: np.ndarray) -> np.ndarray:
    """Frobenius norm of each block of a row: (A_in, L, A_out) to (L,)."""
    return np.sqrt(np.einsum("ajb,ajb->j", row, row, dtype=np.float64))
