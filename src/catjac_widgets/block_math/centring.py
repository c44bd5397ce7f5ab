"""Means of a Jacobian over letters and positions, and the norms of its blocks; plain numpy.

A row is what substitutions at one position do everywhere, shape (A_in, L, A_out).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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


def letter_centred_norms(row: np.ndarray) -> np.ndarray:
    """Frobenius norm of each block of a row, centred over its letters: (A_in, L, A_out) to float64 (L,).

    Letter axes of length 1 (the fast variant) are not centred.
    """
    return block_norms(centred(row, LETTERS_OF_ROW))


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
