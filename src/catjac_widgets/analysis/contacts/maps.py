"""From a Jacobian to a contact map."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import xarray as xr

from catjac_widgets.analysis import labels
from catjac_widgets.analysis.contacts.operations import block_norms, remove_components, zero_diagonal
from catjac_widgets.errors import JacobianError, UsageError

Order = Literal["A", "A'", "B", "C", "plain"]
Diagonal = Literal["zero", "normalize", "none"]


def contacts(
    J: xr.DataArray,
    *,
    order: Order = "A",
    diag: Diagonal = "zero",
    removed: int = 1,
    allow_partial: bool = False,
    allow_centred: bool = False,
) -> xr.DataArray:
    """Contact map of a Jacobian: block norms, corrected for what all residues share.

    With Ctr the subtraction of the mean over each of the four axes in turn (axes of length 1 left out), Sym
    the average of J[i,a,j,b] and J[j,b,i,a], Fro the Frobenius norm of every block, D0 the zeroed diagonal,
    APC the average product correction and SymC the average of the map with its transpose, the published
    orders are

    ======= ==================================== ======================================
    order   steps                                source
    ======= ==================================== ======================================
    "A"     Ctr, Sym, Fro, D0, APC, D0           Zhang et al. (2024), batch runs
    "A'"    Ctr, Fro, D0, APC, D0, SymC          Zhang et al. (2024), ``get_contacts``
    "B"     Sym, Ctr, Fro, D0, APC, D0           ColabBio; equals A
    "C"     Ctr, Fro, SymC, D0, APC, D0          TattaBio
    "plain" Fro of J as it is, nothing else      often called "RMS"
    ======= ==================================== ======================================

    Where the letters of the two sides differ (the fast variant), A and B put SymC after Fro in place of Sym.

    Parameters
    ----------
    J
        Raw Jacobian, dims (pos_in, aa_in, pos_out, aa_out), from `jacobian`, a file or a selection with the
        same positions on both sides. A lazy J is read row by row; J is never copied as a whole.
    order
        One of the orders above.
    diag
        "zero"; or "normalize": C_ij / sqrt(C_ii C_jj) in place of both D0; or "none": the diagonal is kept.
    removed
        Components removed: 0 none, 1 APC, k ≥ 2 the k largest singular components.
    allow_partial
        Use the rows that are there, even if some visible residue has none yet.
    allow_centred
        Take a J whose attribute `kind` says that it is no longer raw.

    Returns
    -------
    xr.DataArray
        float64, dims (pos_i, pos_j) over all output positions; NaN where masked or without a row.
        Scores, neither probabilities nor positive. `attrs["kind"]` says what it is: "Jacobian",
        "Jacobian, fast", "Jacobian, 63 %".

    Raises
    ------
    JacobianError
        For a J that is partial, centred, damaged, or lacks an axis or labels; the sentence says which.
    UsageError
        For an option that does not exist, or that "plain" has no use for.

    References
    ----------
    Zhang Z. et al. (2024), Protein language models learn evolutionary statistics of interacting sequence
    motifs, PNAS.
    """
    _check_options(order, diag, removed)
    J = labels.check_axes(J)
    kind = str(J.attrs.get("kind", "raw"))
    if kind != "raw" and not allow_centred:
        raise JacobianError(
            f"The Jacobian is {kind}, not raw; pass the raw one, or allow_centred=True if this is what you "
            "want."
        )
    usual = (order, diag, removed) in (("A", "zero", 1), ("B", "zero", 1))
    full, percent = _stored(J) if usual else None, 100
    if full is None:
        used = labels.usable_positions(J, allow_partial=allow_partial)
        if order == "plain":
            values = _norms(J, used, centred=False, symmetrised=False)
        else:
            values = _corrected(J, used, order, diag, removed)
        full = np.full((J.sizes["pos_out"],) * 2, np.nan)
        full[np.ix_(used.columns, used.columns)] = values
        percent = 100 * len(used.rows) // (len(used.rows) + len(used.missing))
    attrs = {
        **labels.provenance(J),
        "kind": _what_it_is(J, percent),
        "order": order,
        "diagonal": diag if order != "plain" else "none",
        "removed": int(removed) if order != "plain" else 0,
    }
    return xr.DataArray(
        full, dims=("pos_i", "pos_j"), coords=labels.map_coordinates(J), name="contacts", attrs=attrs
    )


def _stored(J: xr.DataArray) -> np.ndarray | None:
    """Take the map that was stored with a Jacobian on disk; numbers in memory may be others by now."""
    if J.variable._in_memory or J.chunks is not None:
        return None
    from catjac_widgets.engine.cache import stored

    found = stored.contacts(J)
    return None if found is None else np.asarray(found.values, dtype=np.float64)


def _corrected(
    J: xr.DataArray, used: labels.Positions, order: Order, diag: Diagonal, removed: int
) -> np.ndarray:
    same_letters = set(labels.letters(J, "aa_in")) == set(labels.letters(J, "aa_out"))
    symmetrised = order in ("A", "B") and same_letters
    values = _norms(J, used, centred=True, symmetrised=symmetrised)
    if order == "C" or (order in ("A", "B") and not same_letters):
        values = (values + values.T) / 2
    if diag == "zero":
        values = zero_diagonal(values)
    elif diag == "normalize":
        values = _normalised(values, labels.positions(J, "pos_out")[used.columns])
    values = remove_components(values, removed)
    if diag == "zero":
        values = zero_diagonal(values)
    return (values + values.T) / 2 if order == "A'" else values


def _norms(J: xr.DataArray, used: labels.Positions, *, centred: bool, symmetrised: bool) -> np.ndarray:
    axes = labels.AXES if centred else ()
    return block_norms(
        J, centred_over=axes, symmetrised=symmetrised, rows=used.rows, columns=used.columns
    ).values


def _normalised(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    if not values.any():
        return values
    scale = np.sqrt(np.diagonal(values))
    if not scale.all():
        raise JacobianError(
            f'diag="normalize" divides by the diagonal, which is 0 at position '
            f"{positions[np.argmin(scale)]}; "
            'use diag="zero".'
        )
    return values / np.outer(scale, scale)


def _what_it_is(J: xr.DataArray, percent: int) -> str:
    what = "Jacobian, fast" if labels.is_fast(J) else "Jacobian"
    return what if percent == 100 else f"{what}, {percent} %"


def _check_options(order: str, diag: str, removed: int) -> None:
    for name, value, allowed in (("order", order, get_args(Order)), ("diag", diag, get_args(Diagonal))):
        if value not in allowed:
            raise UsageError(f"{name}={value!r} is none of {', '.join(map(repr, allowed))}.")
    if not isinstance(removed, int | np.integer) or isinstance(removed, bool) or removed < 0:
        raise UsageError(
            f"removed={removed!r} is not a number of components; give 0 (none), 1 (APC) or more."
        )
    if order == "plain" and (diag != "zero" or removed != 1):
        raise UsageError('order="plain" is the bare norm of the raw blocks; leave out diag and removed.')
