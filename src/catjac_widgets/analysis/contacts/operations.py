"""The single steps from a Jacobian to a contact map, as pure functions on labelled arrays."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TypeVar, overload

import numpy as np
import xarray as xr

from catjac_widgets.analysis import labels
from catjac_widgets.analysis.labels import AXES
from catjac_widgets.block_math import pairs as block_pairs
from catjac_widgets.block_math.pairs import paired_norms, position_shift
from catjac_widgets.errors import JacobianError, UsageError

LETTER_AXES = ("aa_in", "aa_out")

#: Rows of J that are copied or read from disk at once.
_FEW_ROWS = 8

#: Residues on a side of the tiles in which J is averaged with its transpose.
_TILE = 16

Map = TypeVar("Map", xr.DataArray, np.ndarray)


def centre(J: xr.DataArray, axes: Collection[str] = AXES) -> xr.DataArray:
    """Subtract from J its mean over each of `axes` in turn, leaving out axes of length 1.

    Rows that are NaN (masked or not computed) stay so and do not enter the means over `pos_in`. A lazy J
    stays lazy.

    Parameters
    ----------
    axes
        Any of "pos_in", "aa_in", "pos_out", "aa_out".

    Returns
    -------
    xr.DataArray
        J's shape and labels; the attribute `kind` is "centred" and `centred_over` names the axes.

    Raises
    ------
    UsageError
        If an axis is none of the four.
    """
    J = labels.check_axes(J)
    _check_axis_names(axes)
    wanted = [axis for axis in AXES if axis in axes and J.sizes[axis] > 1]
    centred = J
    if J.chunks is None and wanted:
        centred = J.copy(data=_own_values(J))
        _centre_in_place(centred.values, wanted)
    else:
        for axis in wanted:
            centred = centred - centred.mean(axis, skipna=axis == "pos_in")
    before = str(J.attrs.get("centred_over", "")).split()
    over = " ".join(axis for axis in AXES if axis in axes or axis in before)
    return centred.assign_coords(J.coords).assign_attrs(
        {**J.attrs, "kind": "centred" if over else J.attrs.get("kind", "raw"), "centred_over": over}
    )


def symmetrise(J: xr.DataArray) -> xr.DataArray:
    """Average J[i,a,j,b] with J[j,b,i,a].

    Returns
    -------
    xr.DataArray
        J's shape and labels, with the attribute `symmetrised` = 1; letters and positions of the input axes
        are brought into the order of the output axes.

    Raises
    ------
    JacobianError
        If positions or letters of the two sides are not the same.
    """
    J = labels.check_axes(J)
    if set(labels.letters(J, "aa_in")) != set(labels.letters(J, "aa_out")):
        raise JacobianError(
            "J cannot be symmetrised, because aa_in and aa_out hold different letters; symmetrise its "
            "contact map."
        )
    if set(labels.positions(J, "pos_in")) != set(labels.positions(J, "pos_out")):
        raise JacobianError(
            "J cannot be symmetrised, because pos_in and pos_out differ; select the same positions."
        )
    if not (
        np.array_equal(labels.positions(J, "pos_in"), labels.positions(J, "pos_out"))
        and labels.letters(J, "aa_in") == labels.letters(J, "aa_out")
    ):
        J = J.sel(pos_in=J["pos_out"].values, aa_in=J["aa_out"].values)
    if J.chunks is None:
        data = _own_values(J)
        _symmetrise_in_place(data)
    else:
        data = (J.variable.data + J.variable.transpose("pos_out", "aa_out", "pos_in", "aa_in").data) / 2
    return J.copy(data=data).assign_attrs({**J.attrs, "symmetrised": 1})


def _own_values(J: xr.DataArray) -> np.ndarray:
    """Give J's numbers as an array that may be changed: copied where in memory, otherwise read."""
    return np.array(J.values) if J.variable._in_memory else np.asarray(J.values)


def _centre_in_place(values: np.ndarray, axes: Collection[str]) -> None:
    """Subtract the means over `axes` from an array (L, A_in, L, A_out), row by row; sums are float64."""
    mean_row = np.zeros(values.shape[1:])
    if "pos_in" in axes:
        number = np.zeros(values.shape[1:])
        for row in values:
            there = ~np.isnan(row)
            mean_row += np.where(there, row, 0.0)
            number += there
        with np.errstate(invalid="ignore"):
            mean_row /= number
    for row in values:
        centred = row - mean_row
        for axis in AXES[1:]:
            if axis in axes:
                centred -= centred.mean(axis=AXES.index(axis) - 1, keepdims=True)
        row[...] = centred


def _symmetrise_in_place(values: np.ndarray) -> None:
    """Average an array (L, A, L, A) with its transpose, a tile and its mirror image at a time."""
    tiles = [slice(start, start + _TILE) for start in range(0, len(values), _TILE)]
    for place, rows in enumerate(tiles):
        for columns in tiles[place:]:
            mean = (values[rows, :, columns] + values[columns, :, rows].transpose(2, 3, 0, 1)) / 2
            values[rows, :, columns] = mean
            values[columns, :, rows] = mean.transpose(2, 3, 0, 1)


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
    _check_axis_names(centred_over)
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
    means = _Means(reader, centred_over)
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


def apc(C: Map) -> Map:
    """Average product correction: C_ij − (Σ_k C_ik)(Σ_k C_kj) / ΣC.

    NaN rows and columns stay NaN and do not enter the sums; where ΣC = 0 the map is returned as zeros. The
    diagonal is taken as it is.

    Source: Dunn, Wahl & Gloor (2008), Bioinformatics 24:333.
    """
    return _on_values(C, lambda values: _over_finite(values, _apc))


def remove_components(C: Map, count: int) -> Map:
    """Remove what all residues share: nothing (0), the average product (1) or singular components (k ≥ 2).

    The `count` largest singular components go, whether they carry a sign or not.

    Raises
    ------
    UsageError
        If `count` is negative, or larger than the map.
    """
    size = len(C)
    if not isinstance(count, int | np.integer) or isinstance(count, bool) or not 0 <= count <= size:
        raise UsageError(
            f"removed={count!r} is not a number of components; give 0, 1 (APC) or at most {size}."
        )
    if count == 0:
        return C.copy()
    if count == 1:
        return apc(C)
    return _on_values(
        C, lambda values: _over_finite(values, lambda square: _without_singular(square, int(count)))
    )


@overload
def zero_diagonal(C: xr.DataArray) -> xr.DataArray: ...
@overload
def zero_diagonal(C: np.ndarray) -> np.ndarray: ...
def zero_diagonal(C):  # type: ignore[no-untyped-def]
    """Set the finite diagonal entries to 0."""

    def zeroed(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        diagonal = np.einsum("ii->i", values)
        diagonal[~np.isnan(diagonal)] = 0.0
        return values

    return _on_values(C, zeroed)


# --- rows, means and norms ----------------------------------------------------------------------------------


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
        return max(1, int(block_pairs.HELD_BYTES // (np.prod(self.shape[1:]) * self.J.dtype.itemsize)))

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


class _Means:
    """What centring subtracts: letter means are local to a block, position means take one pass."""

    def __init__(self, reader: _Rows, axes: Collection[str]) -> None:
        n, inputs, columns, outputs = reader.shape
        self.letters_in = "aa_in" in axes and inputs > 1
        self.letters_out = "aa_out" in axes and outputs > 1
        # After the letters, X_ij = Y_ij − mean_i Y_j − mean_j Y_i + mean Y; each term is (A_in, A_out) a
        # position.
        self.of_column: np.ndarray | None = None
        self.of_row: np.ndarray | None = None
        self.of_all: np.ndarray | None = None
        over_rows, over_columns = "pos_in" in axes and n > 1, "pos_out" in axes and columns > 1
        if not (over_rows or over_columns):
            return
        total = np.zeros((inputs, columns, outputs))
        of_row = np.zeros((n, inputs, outputs))
        for k, row in reader.each():
            total += row
            of_row[k] = row.mean(axis=1)
        # Letters are centred last: the mean of centred rows is the mean row, centred.
        if over_rows:
            self.of_column = self.centre_letters((total / n).transpose(1, 0, 2), 1, 2)
        if over_columns:
            self.of_row = self.centre_letters(of_row, 1, 2)
        if self.of_column is not None and self.of_row is not None:
            self.of_all = self.of_row.mean(axis=0)

    def centre_letters(self, block: np.ndarray, axis_in: int, axis_out: int) -> np.ndarray:
        if self.letters_in:
            block = block - block.mean(axis=axis_in, keepdims=True)
        if self.letters_out:
            block = block - block.mean(axis=axis_out, keepdims=True)
        return block

    def centre_blocks(self, blocks: np.ndarray, row: int) -> np.ndarray:
        """Centre the blocks (columns, A_in, A_out) of one row."""
        blocks = self.centre_letters(blocks, 1, 2)
        if self.of_column is not None:
            blocks = blocks - self.of_column
        if self.of_row is not None:
            blocks = blocks - self.of_row[row]
        if self.of_all is not None:
            blocks = blocks + self.of_all
        return blocks


def _plain_norms(reader: _Rows, means: _Means) -> np.ndarray:
    norms = np.empty((reader.shape[0], reader.shape[2]))
    for k, row in reader.each():
        blocks = means.centre_blocks(row.transpose(1, 0, 2), k)
        norms[k] = np.sqrt(np.einsum("jab,jab->j", blocks, blocks))
    return norms


def _symmetric_norms(reader: _Rows, means: _Means) -> np.ndarray:
    norms = np.empty((reader.shape[0],) * 2)
    for _ in paired_norms(
        norms,
        reader.read,
        position_shift(means.of_column, means.of_row),
        letters_in=means.letters_in,
        letters_out=means.letters_out,
        held=reader.held,
    ):
        pass
    if np.isnan(norms).any():
        raise JacobianError("A row of J is NaN in part, so it is damaged; compute it anew.")
    return norms


# --- small square maps --------------------------------------------------------------------------------------


def _on_values(C, function):  # type: ignore[no-untyped-def]
    if isinstance(C, xr.DataArray):
        return C.copy(data=function(np.asarray(C.values, dtype=np.float64)))
    return function(np.asarray(C, dtype=np.float64))


def _over_finite(values: np.ndarray, function) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Apply a function of a square array to the residues that have values."""
    kept = ~np.isnan(values).all(axis=1)
    result = np.full_like(values, np.nan)
    result[np.ix_(kept, kept)] = function(values[np.ix_(kept, kept)])
    return result


def _apc(values: np.ndarray) -> np.ndarray:
    total = values.sum()
    if total == 0:
        return np.zeros_like(values)
    return values - values.sum(axis=1, keepdims=True) * values.sum(axis=0, keepdims=True) / total


def _without_singular(values: np.ndarray, count: int) -> np.ndarray:
    left, sizes, right = np.linalg.svd(values)
    return (left[:, count:] * sizes[count:]) @ right[count:]


def _check_axis_names(axes: Collection[str]) -> None:
    unknown = [axis for axis in axes if axis not in AXES]
    if isinstance(axes, str) or unknown:
        raise UsageError(
            f"{axes if isinstance(axes, str) else unknown[0]!r} is no axis of J; name any of "
            f"{', '.join(AXES)}."
        )
