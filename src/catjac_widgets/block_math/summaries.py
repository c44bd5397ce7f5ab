"""What is stored beside a completed Jacobian: its order-A contact map, block norms and position means.

Order A: centre all four axes, symmetrise the tensor, Frobenius norm of each block, zero the diagonal, correct
by the average product, zero the diagonal again. Letters are centred as rows arrive; centring over `pos_in`
and pairing a block with its transpose need all rows, so they wait for the end, where rows are read in tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from catjac_widgets.block_math import pairs as block_pairs
from catjac_widgets.block_math.alphabets import Alphabets
from catjac_widgets.block_math.centring import (
    LETTERS_OF_ROW,
    PositionMeans,
    block_norms,
    centred_row,
    letter_centred_norms,
)
from catjac_widgets.block_math.maps import average_product_corrected, zero_diagonal
from catjac_widgets.block_math.pairs import paired_norms, position_shift

#: The axes of a row of the fast variant, in the order in which their means are subtracted.
_AXES_OF_ROW = (*LETTERS_OF_ROW, 1)


def summary_shapes(row_shape: tuple[int, int, int]) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
    """Shape and dimension names of each array that `Accumulator` makes of L rows (A_in, L, A_out)."""
    a_in, length, a_out = row_shape
    return {
        "contacts": ((length, length), ("pos_i", "pos_j")),
        "block_norms": ((length, length), ("pos_in", "pos_out")),
        "mean_over_pos_in": ((a_in, length, a_out), ("aa_in", "pos_out", "aa_out")),
        "mean_over_pos_out": ((length, a_in, a_out), ("pos_in", "aa_in", "aa_out")),
    }


class Accumulator:
    """Gathers the summaries of one Jacobian from its rows, in any order.

    Positions count that are visible; under a mask the others are left out of all means and stay NaN.

    Parameters
    ----------
    row_shape
        (A_in, L, A_out).
    masked
        Bool (L,), True where there is no row.
    dtype
        Of the rows, and of what is made of them.
    one_sided
        Whether blocks of one of (i, j) and (j, i) are 0: the map is then made of the norms of blocks centred
        over letters alone, each pair's two added.
    apc
        Whether the map is corrected by the average product.
    alphabets
        Of the L residues, where there are several.

    Attributes
    ----------
    description
        What is going on while `finish` works, in words.
    """

    description = "making the contact map"

    def __init__(
        self,
        row_shape: tuple[int, int, int],
        masked: np.ndarray,
        dtype: np.dtype,
        *,
        one_sided: bool = False,
        apc: bool = True,
        alphabets: Alphabets | None = None,
    ) -> None:
        length = row_shape[1]
        self.row_shape, self.masked, self.dtype, self._one_sided = row_shape, masked, dtype, one_sided
        self._apc, self._alphabets = apc, alphabets
        self.visible = np.flatnonzero(~masked)
        self._seen = np.zeros(length, dtype=bool)
        self._block_norms = np.full((length, length), np.nan, dtype=dtype)
        self._means = PositionMeans(length, row_shape, self.visible)

    @property
    def missing(self) -> list[int]:
        """0-based visible positions whose row has not come."""
        return [int(index) for index in self.visible if not self._seen[index]]

    def add(self, index: int, row: np.ndarray) -> None:
        """Take the row (A_in, L, A_out) of a 0-based position; a second or a masked one changes nothing."""
        if self._seen[index] or self.masked[index]:
            return
        self._seen[index] = True
        self._means.add(index, row)
        self._block_norms[index] = letter_centred_norms(row, self._alphabets)

    def norms(self, index: int) -> np.ndarray | None:
        """Norms (L,) of the blocks of a row that has come, centred over its letters; None of another."""
        return self._block_norms[index] if self._seen[index] else None

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
        (a_in, length, a_out), visible = self.row_shape, self.visible
        mean_over_pos_in = self._means.over_inputs()
        mean_over_pos_out = self._means.over_outputs
        mean_over_pos_in[:, self.masked] = np.nan
        norms: np.ndarray = np.zeros((len(visible), len(visible)))
        square = a_in == a_out > 1
        own = None if self._alphabets is None else self._alphabets.at(visible, visible)
        if self._one_sided:
            found = self._block_norms[np.ix_(visible, visible)].astype(np.float64)
            norms = found + found.T
        elif square:
            c, r = mean_over_pos_in[:, visible], mean_over_pos_out[visible].transpose(1, 0, 2)
            if own is not None:
                c, r = c * own.weights_in[:, None, None], r * own.weights_out
            c, r = (centred_row(each, LETTERS_OF_ROW, own).transpose(1, 0, 2) for each in (c, r))
            yield from paired_norms(
                norms,
                lambda first, last: self._rows(read, first, last),
                position_shift(c, r, own),
                letters_in=True,
                letters_out=True,
                held=max(1, block_pairs.HELD_BYTES // (a_in * length * a_out * self.dtype.itemsize)),
                alphabets=own,
            )
        else:
            # The mean of rows centred over their own three axes is the mean row, centred likewise.
            mean_row = centred_row(mean_over_pos_in[:, visible], _AXES_OF_ROW, own)
            for k, index in enumerate(visible):
                row = read(int(index))[:, visible]
                norms[k] = block_norms(centred_row(row, _AXES_OF_ROW, own) - mean_row)
                yield None
            norms = 0.5 * (norms + norms.T)
        contacts = np.full((length, length), np.nan, dtype=self.dtype)
        norms = zero_diagonal(norms)
        contacts[np.ix_(visible, visible)] = (
            zero_diagonal(average_product_corrected(norms)) if self._apc else norms
        )
        yield {
            "contacts": contacts,
            "block_norms": self._block_norms,
            "mean_over_pos_in": mean_over_pos_in.astype(self.dtype),
            "mean_over_pos_out": mean_over_pos_out.astype(self.dtype),
        }

    def _rows(self, read: Callable[[int], np.ndarray], first: int, last: int) -> np.ndarray:
        """Lay the rows of visible positions first … last − 1 one after another, at visible residues."""
        a_in, _, a_out = self.row_shape
        everything = len(self.visible) == self.row_shape[1]
        rows = np.empty((last - first, a_in, len(self.visible), a_out), dtype=self.dtype)
        for row, index in zip(rows, self.visible[first:last], strict=True):
            found = read(int(index))
            row[...] = found if everything else found[:, self.visible]
        return rows
