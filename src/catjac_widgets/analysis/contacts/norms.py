"""Norms of a labelled Jacobian's blocks, read row by row."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import xarray as xr

from catjac_widgets.analysis import labels
from catjac_widgets.analysis.contacts.operations import LETTER_AXES, check_axis_names
from catjac_widgets.block_math import pairs
from catjac_widgets.block_math.centring import BlockCentring
from catjac_widgets.errors import JacobianError
from catjac_widgets.proteins.coordinates import AXES

#: Rows of J that are copied or read from disk at once.
_FEW_ROWS = 8


def block_norms(
    J: xr.DataArray,
    *,
    centred_over: Collection[str] = LETTER_AXES,
    symmetrised: bool = False,
    rows: np.ndarray | None = None,
    columns: np.ndarray | None = None,
) -> xr.DataArray:
    """Frobenius norm of every block J[i, :, j, :], reading J row by row.

    J is centred and symmetrised on the way, never as a whole: beside J itself only arrays of the size of one
    row times 20 are held, and up to 128 MB of rows where they are read from disk or selected. Sums are
    float64.

    Parameters
    ----------
    centred_over
        Axes over which the mean is subtracted first; axes of length 1 are left out.
    symmetrised
        Whether J is averaged with its transpose before the norm; needs the same letters on both sides.
    rows, columns
        Indices along `pos_in` and `pos_out` to use; all by default. Means over positions run over these only.

    Returns
    -------
    xr.DataArray
        float64, dims (pos_i, pos_j), i the substituted and j the read position; NaN where J's row is missing.

    Raises
    ------
    UsageError
        If an axis is none of the four.
    JacobianError
        If a row is NaN in part, or J cannot be symmetrised.
    """
    J = labels.check_axes(J)
    check_axis_names(centred_over)
    shown = np.arange(J.sizes["pos_in"]) if rows is None else rows
    rows = np.flatnonzero(labels.rows_present(J)) if rows is None else rows
    columns = np.arange(J.sizes["pos_out"]) if columns is None else columns
    if symmetrised and not np.array_equal(
        labels.positions(J, "pos_in")[rows], labels.positions(J, "pos_out")[columns]
    ):
        raise JacobianError(
            "J cannot be symmetrised, because pos_in and pos_out differ; select the same positions."
        )
    reader = _Rows(J, rows, columns, match_letters=symmetrised)
    axes = [AXES.index(axis) for axis in centred_over]
    means = BlockCentring(reader.shape, axes, reader.each, reader.alphabets)
    norms = _symmetric_norms(reader, means) if symmetrised else _plain_norms(reader, means)
    full = np.full((len(shown), len(columns)), np.nan)
    full[np.isin(shown, rows)] = norms
    inputs = labels.map_coordinates(J, ["i"], "in", shown)
    outputs = labels.map_coordinates(J, ["j"], "out", columns)
    return xr.DataArray(
        full,
        dims=("pos_i", "pos_j"),
        coords={**inputs, **outputs},
        name="block_norms",
        attrs=labels.provenance(J),
    )


class _Rows:
    """The chosen rows, columns and letters of J; views of an array in memory, otherwise read when asked."""

    def __init__(
        self, J: xr.DataArray, rows: np.ndarray, columns: np.ndarray, *, match_letters: bool
    ) -> None:
        self.J = J
        self.rows, self.columns = rows, columns
        self.positions = labels.positions(J, "pos_in")[rows]
        inputs, outputs = labels.letters(J, "aa_in"), labels.letters(J, "aa_out")
        if match_letters and set(inputs) != set(outputs):
            raise JacobianError(
                "J cannot be symmetrised, because aa_in and aa_out hold different letters; symmetrise its "
                "contact map."
            )
        self.order = (
            [inputs.index(letter) for letter in outputs] if match_letters else list(range(len(inputs)))
        )
        self.shape = (len(rows), len(inputs), len(columns), len(outputs))
        found = labels.alphabets(J, [inputs[k] for k in self.order])
        self.alphabets = None if found is None else found.at(rows, columns)
        in_memory = J.variable._in_memory
        nothing_to_copy = (
            np.array_equal(rows, np.arange(J.sizes["pos_in"]))
            and np.array_equal(columns, np.arange(J.sizes["pos_out"]))
            and self.order == sorted(self.order)
        )
        self.whole: np.ndarray | None = J.values if in_memory and nothing_to_copy else None
        self.picks = None if nothing_to_copy else np.ix_(np.array(self.order), columns)

    @property
    def held(self) -> int:
        """How many rows may be held at a time."""
        if self.whole is not None:
            return self.shape[0]
        return max(1, int(pairs.HELD_BYTES // (np.prod(self.shape[1:]) * self.J.dtype.itemsize)))

    def read(self, first: int, last: int) -> np.ndarray:
        """Rows first … last − 1, shape (n, A_in, columns, A_out), in J's own dtype."""
        if self.whole is not None:
            return self.whole[first:last]
        found = np.empty((last - first, *self.shape[1:]), dtype=self.J.dtype)
        # A few rows at a time, so that what is read and then selected from stays small.
        for start in range(first, last, _FEW_ROWS):
            wanted = self.rows[start : min(start + _FEW_ROWS, last)]
            unbroken = np.all(np.diff(wanted) == 1)
            values = self.J[slice(wanted[0], wanted[-1] + 1) if unbroken else wanted].values
            for k, row in enumerate(values, start=start - first):
                found[k] = row if self.picks is None else row[self.picks]
        return found

    def each(self) -> Iterator[tuple[int, np.ndarray]]:
        """One row after the other, (A_in, columns, A_out) float64, checked for NaN."""
        for first in range(0, self.shape[0], _FEW_ROWS):
            block = self.read(first, min(first + _FEW_ROWS, self.shape[0]))
            for offset in range(len(block)):
                row = block[offset].astype(np.float64)
                if np.isnan(row).any():
                    raise JacobianError(
                        f"Row {self.positions[first + offset]} of J is NaN in part, so it is damaged; "
                        "compute it anew."
                    )
                yield first + offset, row


def _plain_norms(reader: _Rows, means: BlockCentring) -> np.ndarray:
    norms = np.empty((reader.shape[0], reader.shape[2]))
    for k, row in reader.each():
        blocks = means.centre(row.transpose(1, 0, 2), k)
        norms[k] = np.sqrt(np.einsum("jab,jab->j", blocks, blocks))
    return norms


def _symmetric_norms(reader: _Rows, means: BlockCentring) -> np.ndarray:
    norms = np.empty((reader.shape[0],) * 2)
    for _ in pairs.paired_norms(
        norms,
        reader.read,
        pairs.position_shift(means.over_inputs, means.over_outputs, reader.alphabets),
        letters_in=means.letters_in,
        letters_out=means.letters_out,
        held=reader.held,
        alphabets=reader.alphabets,
    ):
        pass
    if np.isnan(norms).any():
        raise JacobianError("A row of J is NaN in part, so it is damaged; compute it anew.")
    return norms
