"""The single steps from a Jacobian to a contact map, as pure functions on labelled arrays."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar, overload

import numpy as np
import xarray as xr

from catjac_widgets.analysis import labels
from catjac_widgets.block_math import maps
from catjac_widgets.block_math.centring import centre_in_place
from catjac_widgets.block_math.pairs import symmetrise_in_place
from catjac_widgets.errors import JacobianError, UsageError
from catjac_widgets.proteins.coordinates import AXES

LETTER_AXES = ("aa_in", "aa_out")

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
    check_axis_names(axes)
    wanted = [axis for axis in AXES if axis in axes and J.sizes[axis] > 1]
    centred = J
    known = labels.alphabets(J)
    if J.chunks is None and wanted:
        centred = J.copy(data=_own_values(J))
        centre_in_place(centred.values, [AXES.index(axis) for axis in wanted], known)
    elif known is not None and wanted:
        raise JacobianError(
            "A lazy Jacobian of several alphabets cannot be centred piece by piece; load it first: J.load()."
        )
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
        symmetrise_in_place(data)
    else:
        data = (J.variable.data + J.variable.transpose("pos_out", "aa_out", "pos_in", "aa_in").data) / 2
    return J.copy(data=data).assign_attrs({**J.attrs, "symmetrised": 1})


def apc(C: Map) -> Map:
    """Average product correction: C_ij − (Σ_k C_ik)(Σ_k C_kj) / ΣC.

    NaN rows and columns stay NaN and do not enter the sums; where ΣC = 0 the map is returned as zeros. The
    diagonal is taken as it is.

    References
    ----------
    Dunn, Wahl & Gloor (2008), Mutual information without the influence of phylogeny or entropy
    dramatically improves residue contact prediction, Bioinformatics 24:333.
    """
    return _on_values(C, lambda values: maps.over_finite(values, maps.average_product_corrected))


def remove_components(C: Map, count: int) -> Map:
    """Remove what all residues share: nothing (0), the average product (1) or singular components (k ≥ 2).

    The `count` largest singular components go, whether they carry a sign or not.

    Raises
    ------
    UsageError
        If `count` is negative, or larger than the map.

    References
    ----------
    The option ``rm`` of ``do_apc`` in ColabBio, categorical_jacobian/utils.py.
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
        C, lambda values: maps.over_finite(values, lambda square: maps.without_singular(square, int(count)))
    )


@overload
def zero_diagonal(C: xr.DataArray) -> xr.DataArray: ...
@overload
def zero_diagonal(C: np.ndarray) -> np.ndarray: ...
def zero_diagonal(C):  # type: ignore[no-untyped-def]
    """Set the finite diagonal entries to 0."""
    return _on_values(C, maps.zero_diagonal)


def check_axis_names(axes: Collection[str]) -> None:
    """Refuse what is no list of axes of a Jacobian.

    Raises
    ------
    UsageError
        Naming the first that is none.
    """
    unknown = [axis for axis in axes if axis not in AXES]
    if isinstance(axes, str) or unknown:
        raise UsageError(
            f"{axes if isinstance(axes, str) else unknown[0]!r} is no axis of J; name any of "
            f"{', '.join(AXES)}."
        )


def _own_values(J: xr.DataArray) -> np.ndarray:
    """Give J's numbers as an array that may be changed: copied where in memory, otherwise read."""
    return np.array(J.values) if J.variable._in_memory else np.asarray(J.values)


def _on_values(C, function):  # type: ignore[no-untyped-def]
    if isinstance(C, xr.DataArray):
        return C.copy(data=function(np.asarray(C.values, dtype=np.float64)))
    return function(np.asarray(C, dtype=np.float64))
