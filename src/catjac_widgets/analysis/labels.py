"""What the labels of a Jacobian allow: its axes checked, which rows are there, whose sequence, how centred.

The names themselves are defined in `proteins.coordinates`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from catjac_widgets.block_math.alphabets import Alphabets
from catjac_widgets.errors import JacobianError, MaskError
from catjac_widgets.proteins.alphabets import MASK_LETTER
from catjac_widgets.proteins.coordinates import AXES, RESIDUE_LABELS, says_residues, sequence_along
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import STRANDS_ATTRIBUTE
from catjac_widgets.proteins.sequences import CHAIN_NAMES, Chain, Sequence

_WHAT_WAS_COMPUTED = (
    "sequence",
    "sequence_name",
    "visible",
    "model",
    "model_fingerprint",
    "variant",
    "numerics",
    "linker",
    "one_sided",
    "storage",
    "strands",
    STRANDS_ATTRIBUTE,
    "alphabets",
    "apc",
)


@dataclass(frozen=True)
class Positions:
    """Which rows of a Jacobian an analysis may use, as indices along `pos_in` and `pos_out`.

    Attributes
    ----------
    rows, columns
        Int arrays of equal length n: the same residues along the input and the output axis.
    missing
        1-based positions that are visible to the model but have no row (yet).
    """

    rows: np.ndarray
    columns: np.ndarray
    missing: tuple[int, ...]


def check_axes(J: xr.DataArray) -> xr.DataArray:
    """Return J with its axes in the order of `AXES`, positions and letters labelled.

    A Dataset with the variable `jacobian` (as a netCDF or zarr file is read) is taken too.

    Raises
    ------
    JacobianError
        Naming the axis or the coordinate that is missing.
    """
    if isinstance(J, xr.Dataset) and "jacobian" in J:
        J = J["jacobian"]
    if not isinstance(J, xr.DataArray):
        raise JacobianError(
            f"A Jacobian is a labelled array as catjac.jacobian returns it, not {type(J).__name__}; pass "
            "that array."
        )
    gone = [axis for axis in AXES if axis not in J.dims]
    if gone:
        raise JacobianError(
            f"The array has no axis {' and '.join(gone)} (its axes are "
            f"{', '.join(map(str, J.dims)) or 'none'}); "
            "select with a list or a slice, J.sel(pos_in=[24]), to keep an axis, or pass the whole Jacobian."
        )
    extra = [str(axis) for axis in J.dims if axis not in AXES]
    if extra:
        raise JacobianError(
            f"The array has the further axis {', '.join(extra)}; select one of its entries first."
        )
    bare = [axis for axis in AXES if axis not in J.coords]
    if bare:
        raise JacobianError(
            f"The axis {' and '.join(bare)} bears no labels; keep the coordinates that jacobian() gave."
        )
    return J if J.dims == AXES else J.transpose(*AXES)


def letters(J: xr.DataArray, axis: str) -> list[str]:
    """List the letters along `aa_in` or `aa_out`, as plain text."""
    return [str(letter) for letter in J[axis].values]


def is_fast(J: xr.DataArray) -> bool:
    """Whether the rows are masked residues instead of substitutions."""
    return letters(J, "aa_in") == [MASK_LETTER]


def positions(J: xr.DataArray, axis: str) -> np.ndarray:
    """Return the 1-based positions along `pos_in` or `pos_out`, int array.

    Raises
    ------
    JacobianError
        If they are not unique.
    """
    values = np.asarray(J[axis].values).astype(int)
    if len(np.unique(values)) != len(values):
        raise JacobianError(f"Some positions occur twice along {axis}; give each position once.")
    return values


def alphabets(J: xr.DataArray, inputs: list[str] | None = None) -> Alphabets | None:
    """Tell which letters residues may have, where J is over several alphabets; None where it is over one.

    Parameters
    ----------
    inputs
        The letters put in, in another order than J's own.

    Raises
    ------
    JacobianError
        If the residues, which tell that, are not known any more.
    """
    told = str(J.attrs.get("alphabets", "")).split()
    if len(told) < 2:
        return None
    gone = [name for name in ("wild_type_in", "wild_type_out") if name not in J.coords]
    if gone:
        raise JacobianError(
            f"Which letters a residue may have follows from its own, and the coordinate {' and '.join(gone)} "
            "is gone; keep it."
        )
    residues = [[str(letter) for letter in J[f"wild_type_{side}"].values] for side in ("in", "out")]
    put = letters(J, "aa_in") if inputs is None else inputs
    return Alphabets.of(told, (residues[0], put), (residues[1], letters(J, "aa_out")))


def rows_present(J: xr.DataArray) -> np.ndarray:
    """Tell for each of `pos_in` whether its row was computed, reading one number of it (NaN: no row)."""
    corner = J.isel(aa_in=0, pos_out=0, aa_out=0)
    return ~np.isnan(np.asarray(corner.values))


def averages_to_zero(J: xr.DataArray) -> bool:
    """Tell by one column whether J was centred over `pos_in`, whatever its attributes say.

    Attributes outlive arithmetic: of ``J - J.mean("pos_in")`` they still say that it is raw. A J that is not
    in memory is taken at its word.
    """
    if not J.variable._in_memory or J.sizes["pos_in"] < 2:
        return False
    column = J.isel(pos_out=0).values
    column = column[np.isfinite(column).all(axis=(1, 2))]
    if len(column) < 2 or not column.any():
        return False
    return bool(np.abs(column.mean(axis=0)).max() < 1e-5 * np.abs(column).max())


def visible_positions(J: xr.DataArray | xr.Dataset) -> set[int] | None:
    """Return the positions that the model saw, from the attribute `visible`; None where that is gone."""
    text, residues = J.attrs.get("visible"), J.attrs.get("sequence")
    if text is None or residues is None:
        return None
    try:
        return {
            int(position) for position in Mask.parse(len(str(residues).replace(":", "")), str(text)).visible
        }
    except MaskError:
        return None


def usable_positions(J: xr.DataArray, *, allow_partial: bool) -> Positions:
    """Find the residues that have both a row and a column, in the order of `pos_out`.

    Masked residues have no row and are left out; anything else that is missing is refused.

    Raises
    ------
    JacobianError
        If rows are missing that no mask explains and `allow_partial` is False, or fewer than two residues are
        left.
    """
    inputs, outputs = positions(J, "pos_in"), positions(J, "pos_out")
    row_of = {int(position): row for row, position in enumerate(inputs)}
    present = rows_present(J)
    visible = visible_positions(J)
    stray = sorted(set(row_of) - {int(position) for position in outputs})
    if stray and not allow_partial:
        raise JacobianError(
            f"{_listed(stray)} of pos_in {'is' if len(stray) == 1 else 'are'} not in pos_out; select "
            "the same positions on both axes (or pass allow_partial=True to use those they share)."
        )
    rows, columns, missing = [], [], []
    for column, position in enumerate(int(value) for value in outputs):
        row = row_of.get(position)
        if visible is not None and position not in visible:
            continue
        if row is not None and present[row]:
            rows.append(row)
            columns.append(column)
        else:
            missing.append(position)
    if missing and not allow_partial:
        why = "are not computed"
        if visible is None:
            why = "are missing (masked, or not computed: the attributes that would tell are gone)"
        raise JacobianError(
            f"{len(missing)} of {len(missing) + len(rows)} rows {why}: {_listed(missing)}; complete J, or "
            "pass allow_partial=True to use the rows that are there."
        )
    if len(rows) < 2:
        raise JacobianError(
            f"A contact map needs at least two visible residues with rows, and there "
            f"{'is 1' if rows else 'is none'}; show more of the sequence."
        )
    return Positions(np.array(rows), np.array(columns), tuple(missing))


def map_coordinates(
    J: xr.DataArray, sides: Iterable[str] = ("i", "j"), axis: str = "out", index: np.ndarray | None = None
) -> dict[Hashable, tuple]:
    """Make coordinates for maps over the residues of one axis of J: `pos_i`, `chain_i`, `residue_i`, ….

    Parameters
    ----------
    sides
        Suffixes of the new dimensions; "" gives `pos`, `chain`, ….
    axis
        "in" or "out": which axis of J the residues come from.
    index
        Which of them, as indices; all by default.
    """
    chosen = slice(None) if index is None else index
    made: dict[Hashable, tuple] = {}
    for side in sides:
        suffix = f"_{side}" if side else ""
        made[f"pos{suffix}"] = (f"pos{suffix}", positions(J, f"pos_{axis}")[chosen])
        for label in RESIDUE_LABELS:
            if f"{label}_{axis}" in J.coords:
                values = np.array([str(value) for value in J[f"{label}_{axis}"].values], dtype=str)
                made[f"{label}{suffix}"] = (f"pos{suffix}", values[chosen])
    return made


def sequence_of(labelled: xr.DataArray | xr.Dataset) -> Sequence:
    """Recover the sequence that a Jacobian, a map or a table is about: coordinates first, then attributes.

    Raises
    ------
    JacobianError
        If neither coordinates nor attributes name the residues.
    """
    for side in ("out", "i", ""):
        if says_residues(labelled, side):
            found = sequence_along(labelled, side)
            strands = str(labelled.attrs.get(STRANDS_ATTRIBUTE, ""))
            return found.on_strands(strands) if len(strands) == len(found.chains) else found
    text = labelled.attrs.get("sequence")
    if text:
        parts = str(text).split(":")
        made = Sequence(
            tuple(Chain(CHAIN_NAMES[k], part) for k, part in enumerate(parts)),
            str(labelled.attrs.get("sequence_name", "")),
        )
        return made.on_strands(str(labelled.attrs.get(STRANDS_ATTRIBUTE, "")))
    raise JacobianError(
        "The array no longer says which residues it is about (coordinates chain_…, number_…, wild_type_… "
        "are gone); "
        "pass it as catjac made it."
    )


def is_one_sided(J: xr.DataArray) -> bool:
    """Whether J is of a model that reads from left to right: J[i, :, j] is 0 for j before i."""
    return bool(J.attrs.get("one_sided"))


def components_removed(J: xr.DataArray) -> int:
    """Tell how many components `contacts` removes by default: none where J's model says so."""
    return int(J.attrs.get("apc") != "off")


def provenance(J: xr.DataArray) -> dict[Hashable, str | int | float]:
    """Return the attributes that say from what an array was made, for what is derived from it."""
    return {key: J.attrs[key] for key in _WHAT_WAS_COMPUTED if key in J.attrs}


def _listed(values: list[int]) -> str:
    shown = ", ".join(str(value) for value in values[:5])
    noun = "position" if len(values) == 1 else "positions"
    return f"{noun} {shown}{', …' if len(values) > 5 else ''}"
