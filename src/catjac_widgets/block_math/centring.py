"""Means of a Jacobian over letters and positions, and the norms of its blocks; plain numpy.

A row is what substitutions at one position do everywhere, shape (A_in, L, A_out).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np

from catjac_widgets.block_math.alphabets import Alphabets

#: The letter axes of a row, in the order in which stored block norms were always centred.
LETTERS_OF_ROW = (2, 0)


def centred(values: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """Subtract the mean over each of `axes` in turn, leaving out axes of length 1.

    Parameters
    ----------
    values
        Any shape, float.
    axes
        In the order in which means are subtracted; the order changes the last digits only.

    Returns
    -------
    numpy.ndarray
        A new array of the same shape and dtype.
    """
    made: np.ndarray | None = None
    for axis in axes:
        if values.shape[axis] == 1:
            continue
        if made is None:
            made = values - values.mean(axis=axis, keepdims=True)
        else:
            made -= made.mean(axis=axis, keepdims=True)
    return values.copy() if made is None else made


def block_norms(row: np.ndarray) -> np.ndarray:
    """Frobenius norm of each block of a row: (A_in, L, A_out) to float64 (L,)."""
    return np.sqrt(np.einsum("ajb,ajb->j", row, row, dtype=np.float64))


def letter_centred_norms(row: np.ndarray, alphabets: Alphabets | None = None) -> np.ndarray:
    """Frobenius norm of each block of a row, centred over its letters: (A_in, L, A_out) to float64 (L,).

    Letter axes of length 1 (the fast variant) are not centred; with alphabets, each is by itself.
    """
    return block_norms(centred_row(row, LETTERS_OF_ROW, alphabets))


def centred_row(row: np.ndarray, axes: Sequence[int], alphabets: Alphabets | None = None) -> np.ndarray:
    """Centre a row (A_in, L, A_out) over some of its axes, see `centred` and `Alphabets.centred_row`."""
    return centred(row, axes) if alphabets is None else alphabets.centred_row(row, axes)


class PositionMeans:
    """Gathers the means of a Jacobian over its input and its output positions, a row at a time, in float64.

    Parameters
    ----------
    count
        n, how many rows there may be.
    row_shape
        (A_in, L, A_out).
    columns
        0-based output positions over which a row's mean runs; all by default.

    Attributes
    ----------
    over_outputs
        float64 (n, A_in, A_out): the mean of each row over its output positions, NaN where no row came.
    """

    def __init__(
        self, count: int, row_shape: tuple[int, int, int], columns: np.ndarray | None = None
    ) -> None:
        a_in, _, a_out = row_shape
        self.over_outputs = np.full((count, a_in, a_out), np.nan)
        # Long sums would lose digits in float32.
        self._sum = np.zeros(row_shape)
        self._columns = columns
        self._rows = 0

    def add(self, index: int, row: np.ndarray) -> None:
        """Take row `index`, shape (A_in, L, A_out); each once."""
        self._sum += row
        used = row if self._columns is None else row[:, self._columns]
        self.over_outputs[index] = used.mean(axis=1, dtype=np.float64)
        self._rows += 1

    def over_inputs(self) -> np.ndarray:
        """Return the mean of the rows that came, float64 (A_in, L, A_out)."""
        return self._sum / self._rows


class BlockCentring:
    """Subtracts a Jacobian's means from the blocks of one row at a time, with no centred copy of it all.

    With Y the blocks centred over their letters, centring over positions too takes from block (i, j)
    mean_i Y_j + mean_j Y_i − mean Y, each a matrix of (A_in, A_out).

    Parameters
    ----------
    shape
        (n, A_in, columns, A_out) of the Jacobian; axes of length 1 are left alone.
    axes
        Over which of the four axes, by number, the mean is subtracted.
    each
        Gives (index, row) for all rows, float64 (A_in, columns, A_out); called where position means are
        needed.
    alphabets
        Of these rows and columns, where there are several.

    Attributes
    ----------
    letters_in, letters_out
        Whether the mean over the input and the output letters is subtracted.
    over_inputs, over_outputs
        float64 (columns, A_in, A_out) and (n, A_in, A_out): position means, centred over letters; None where
        those positions are not centred.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        axes: Collection[int],
        each: Callable[[], Iterable[tuple[int, np.ndarray]]],
        alphabets: Alphabets | None = None,
    ) -> None:
        self._alphabets = alphabets
        n, inputs, columns, outputs = shape
        self.letters_in = 1 in axes and inputs > 1
        self.letters_out = 3 in axes and outputs > 1
        self.over_inputs: np.ndarray | None = None
        self.over_outputs: np.ndarray | None = None
        self._of_all: np.ndarray | None = None
        over_rows, over_columns = 0 in axes and n > 1, 2 in axes and columns > 1
        if not (over_rows or over_columns):
            return
        means = PositionMeans(n, (inputs, columns, outputs))
        for index, row in each():
            means.add(index, row)
        # Letters are centred last: the mean of centred rows is the mean row, centred.
        if over_rows:
            mean = means.over_inputs().transpose(1, 0, 2)
            if alphabets is not None:
                mean = mean * alphabets.weights_in[:, None]
            self.over_inputs = self._centre_letters(mean)
        if over_columns:
            mean = means.over_outputs
            if alphabets is not None:
                mean = mean * alphabets.weights_out
            self.over_outputs = self._centre_letters(mean)
        if self.over_inputs is not None and self.over_outputs is not None:
            self._of_all = self.over_outputs.mean(axis=0)
            if alphabets is not None:
                self._of_all = self._of_all * alphabets.weights_in[:, None]

    def centre(self, blocks: np.ndarray, index: int) -> np.ndarray:
        """Centre the blocks (columns, A_in, A_out) of row `index`."""
        blocks = self._centre_letters(blocks)
        if self.over_inputs is not None:
            blocks = blocks - self.over_inputs
        if self.over_outputs is not None:
            blocks = blocks - self.over_outputs[index]
        if self._of_all is not None:
            blocks = blocks + self._of_all
        if self._alphabets is not None:
            blocks = blocks * self._alphabets.blocks(index, slice(None))
        return blocks

    def _centre_letters(self, blocks: np.ndarray) -> np.ndarray:
        if self._alphabets is not None:
            made = blocks.copy()
            if self.letters_in:
                self._alphabets.centre_in(made, 1)
            if self.letters_out:
                self._alphabets.centre_out(made, 2)
            return made
        axes = [1] * self.letters_in + [2] * self.letters_out
        # A copy would be summed in another order.
        return centred(blocks, axes) if axes else blocks


def centre_in_place(values: np.ndarray, axes: Collection[int], alphabets: Alphabets | None = None) -> None:
    """Subtract the means over `axes` from a Jacobian, row by row; sums are float64.

    Parameters
    ----------
    values
        (n, A_in, L, A_out), float; changed. Rows that are NaN stay so and do not enter the means over rows.
    axes
        Any of 0 … 3.
    alphabets
        Where there are several; each pair is then centred by itself.
    """
    mean_row = np.zeros(values.shape[1:])
    if 0 in axes:
        number = np.zeros(values.shape[1:])
        for row in values:
            there = ~np.isnan(row)
            mean_row += np.where(there, row, 0.0)
            number += there
        with np.errstate(invalid="ignore"):
            mean_row /= number
    if alphabets is not None:
        mean_row *= alphabets.weights_in[:, None, None]
        for index, row in enumerate(values):
            made = (row - mean_row) * alphabets.blocks(index, slice(None)).transpose(1, 0, 2)
            row[...] = alphabets.centred_row(made, [axis - 1 for axis in (1, 2, 3) if axis in axes])
        return
    for row in values:
        made = row - mean_row
        for axis in (1, 2, 3):
            if axis in axes:
                made -= made.mean(axis=axis - 1, keepdims=True)
        row[...] = made
