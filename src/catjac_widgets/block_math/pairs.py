"""Blocks paired with their transposes: (J[i,a,j,b] + J[j,b,i,a]) / 2 and its norms, a tile at a time.

Block (i, j) needs row i and row j, so this is what cannot be done as rows pass by. For the norms, a few rows
are held while all later ones are read past them; nothing of the size of J is ever made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from catjac_widgets.block_math.alphabets import Alphabets

#: Rows held at a time where they are read from elsewhere.
HELD_BYTES = 128 * 2**20

#: Residues on one side of a tile: its blocks, in float64, stay in a core's cache.
_TILE = 16


def paired_norms(
    norms: np.ndarray,
    read: Callable[[int, int], np.ndarray],
    shift: np.ndarray | None,
    *,
    letters_in: bool,
    letters_out: bool,
    held: int,
    alphabets: Alphabets | None = None,
) -> Iterator[None]:
    """Fill a map with the norms of J's blocks, centred and averaged with their transposes.

    With X = J centred over letters and positions, and S_ij = X_ij + X_jiᵀ, the norm is ‖S_ij‖ / 2. Of
    centring over positions only one (A, A) matrix a residue is left in S: see `position_shift`. Yields
    between tiles.

    Parameters
    ----------
    norms
        float64 (n, n), filled.
    read
        Gives rows first … last − 1 of the n, shape (m, A, n, A), as they are; a view where it can.
    shift
        float64 (n, A, A) of `position_shift`; None where positions are not centred.
    letters_in, letters_out
        Whether the mean over the input and the output letters is subtracted.
    held
        How many rows `read` may be asked for at a time, and half as many again.
    alphabets
        Of the n residues, where there are several.
    """
    n = len(norms)
    passing = max(1, min(_TILE, held // 2))
    for first in range(0, n, held):
        last = min(first + held, n)
        here = there = None  # Or two tiles would be held while the next one is read.
        here = read(first, last)
        for other in range(first, n, passing):
            end = min(other + passing, n)
            there = here[other - first : end - first] if end <= last else read(other, end)
            for start in range(first, min(last, end), _TILE):
                rows, columns = slice(start, min(start + _TILE, last)), slice(other, end)
                both = _sum_of_centred(
                    # (i, a, j, b) and (j, b, i, a) → both (i, j, a, b)
                    here[rows.start - first : rows.stop - first, :, columns].transpose(0, 2, 1, 3),
                    there[:, :, rows].transpose(2, 0, 3, 1),
                    letters_in,
                    letters_out,
                    alphabets,
                )
                if shift is not None:
                    both -= shift[columns]
                    both -= shift[rows].transpose(0, 2, 1)[:, None]
                if alphabets is not None:
                    both *= alphabets.blocks(rows, columns)
                found = 0.5 * np.sqrt(np.einsum("ijab,ijab->ij", both, both))
                norms[rows, columns] = found
                norms[columns, rows] = found.T
            yield


def symmetrise_in_place(values: np.ndarray) -> None:
    """Average an array (L, A, L, A) with its transpose, a tile and its mirror image at a time."""
    tiles = [slice(start, start + _TILE) for start in range(0, len(values), _TILE)]
    for place, rows in enumerate(tiles):
        for columns in tiles[place:]:
            mean = (values[rows, :, columns] + values[columns, :, rows].transpose(2, 3, 0, 1)) / 2
            values[rows, :, columns] = mean
            values[columns, :, rows] = mean.transpose(2, 3, 0, 1)


def position_shift(
    over_rows: np.ndarray | None, over_columns: np.ndarray | None, alphabets: Alphabets | None = None
) -> np.ndarray | None:
    """Combine position means to what is subtracted from S_ij = X_ij + X_jiᵀ for j, and turned for i.

    Centring takes c_j + r_i − m from block (i, j), where c is the mean over input positions, r that over
    output positions and m the mean of both. From S it takes s_j + s_iᵀ with s_j = c_j + r_jᵀ − m.

    Parameters
    ----------
    over_rows, over_columns
        c and r, each (n, A, A), of J centred over its letters; None where those positions are not centred.
    alphabets
        Of the n residues, where there are several.

    Returns
    -------
    numpy.ndarray or None
        s, float64 (n, A, A).
    """
    if over_rows is None and over_columns is None:
        return None
    if over_columns is None:
        return over_rows
    turned = over_columns.transpose(0, 2, 1)
    if over_rows is None:
        return turned
    mean = over_rows.mean(axis=0)
    return over_rows + turned - (mean if alphabets is None else mean * alphabets.weights_out)


def _sum_of_centred(
    forward: np.ndarray,
    back: np.ndarray,
    letters_in: bool,
    letters_out: bool,
    alphabets: Alphabets | None,
) -> np.ndarray:
    """Centre both (i, j, A, A) over their letters, those of `back` being turned, and add them; float64."""
    both = np.array(forward, dtype=np.float64, order="C")
    if alphabets is not None:
        # The letters of both sides are the same, and in the same order.
        back = np.array(back, dtype=np.float64, order="C")
        for values, axes in ((both, (2, 3)), (back, (3, 2))):
            for axis, wanted in zip(axes, (letters_in, letters_out), strict=True):
                if wanted:
                    alphabets.centre_out(values, axis)
        both += back
        return both
    if letters_in == letters_out:
        both += back
        for axis in (2, 3) if letters_in else ():
            both -= both.mean(axis=axis, keepdims=True)
        return both
    back = np.array(back, dtype=np.float64, order="C")
    both -= both.mean(axis=2 if letters_in else 3, keepdims=True)
    back -= back.mean(axis=3 if letters_in else 2, keepdims=True)
    both += back
    return both
