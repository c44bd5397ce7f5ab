"""Contact maps of Jacobians, in the published orders of operations."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

import numpy as np
import xarray as xr

from catjac_widgets.analysis import labels
from catjac_widgets.analysis.contacts.norms import block_norms
from catjac_widgets.analysis.contacts.operations import LETTER_AXES, remove_components, zero_diagonal
from catjac_widgets.block_math.maps import over_diagonal
from catjac_widgets.errors import JacobianError, UsageError
from catjac_widgets.proteins.coordinates import AXES

Order = Literal["A", "A'", "B", "C", "plain"]
Diagonal = Literal["zero", "normalize", "none"]


def contacts(
    J: xr.DataArray,
    *,
    order: Order = "A",
    centre: bool = True,
    symmetrise: bool = True,
    diag: Diagonal = "zero",
    removed: int | None = None,
    allow_partial: bool = False,
    allow_centred: bool = False,
) -> xr.DataArray:
    """Contact map of a Jacobian: block norms, corrected for what all residues share.

    With Ctr the subtraction of the mean over each of the four axes in turn (axes of length 1 left out), Sym
    the average of J[i,a,j,b] and J[j,b,i,a], Fro the Frobenius norm of every block, D0 the zeroed diagonal,
    APC the average product correction and SymC the average of the map with its transpose, the published
    orders are

    ======= ==================================== ========================================
    order   steps                                where it is from
    ======= ==================================== ========================================
    "A"     Ctr, Sym, Fro, D0, APC, D0           Zhang et al., batch runs [1]_
    "A'"    Ctr, Fro, D0, APC, D0, SymC          Zhang et al., ``get_contacts`` [1]_
    "B"     Sym, Ctr, Fro, D0, APC, D0           ColabBio, ``jac_to_con`` [2]_; equals A
    "C"     Ctr, Fro, SymC, D0, APC, D0          TattaBio [3]_
    "plain" Fro of J as it is, nothing else      often called "RMS"
    ======= ==================================== ========================================

    Where the letters of the two sides differ (the fast variant), A and B put SymC after Fro in place of Sym.
    The Jacobian of a model that reads from left to right has one block a pair and zeros in the place of the
    other. It is centred over letters alone, since means over positions would mix the two, and the map is
    added to its transpose where it is averaged above.

    ``centre=False`` leaves Ctr out and ``symmetrise=False`` leaves Sym and SymC out of any order but "plain",
    which has neither. The options of ``jac_to_con`` are, in order "B", ``center`` = `centre`, ``symm`` =
    `symmetrise`, ``diag="remove"`` = ``diag="zero"`` and ``apc`` = ``removed=1`` (``removed=0`` without).

    Parameters
    ----------
    J
        Raw Jacobian, dims (pos_in, aa_in, pos_out, aa_out), from `jacobian`, a file or a selection with the
        same positions on both sides. A lazy J is read row by row; J is never copied as a whole.
    order
        One of the orders above.
    centre
        Whether the means over the four axes are subtracted.
    symmetrise
        Whether J is averaged with its transpose; without it, entry (i, j) of the map is what substitutions
        at i do to the logits at j.
    diag
        "zero"; or "normalize": C_ij / sqrt(C_ii C_jj) in place of both D0; or "none": the diagonal is kept.
    removed
        Components removed: 0 none, 1 APC, k ≥ 2 the k largest singular components. By default 1, but 0 where
        J's attribute `apc` is "off", as it is for a model that is given the structure (ProteinMPNN).
    allow_partial
        Use the rows that are there, even if some visible residue has none yet.
    allow_centred
        Take a J that is no longer raw: its attribute `kind` says so, or it averages to zero over `pos_in`.

    Returns
    -------
    xr.DataArray
        float64, dims (pos_i, pos_j) over all output positions; NaN where masked or without a row.
        Scores, neither probabilities nor positive. `attrs["kind"]` says what it is: "Jacobian",
        "Jacobian, fast", "Jacobian, 63 %"; order, centred, symmetrised, diagonal and removed say how it was
        made.

    Raises
    ------
    JacobianError
        For a J that is partial, centred, damaged, or lacks an axis or labels; the sentence says which.
    UsageError
        For an option that does not exist, or that "plain" has no use for.

    References
    ----------
    .. [1] Zhang Z. et al. (2024), Protein language models learn evolutionary statistics of interacting
       sequence motifs, PNAS 121:e2406285121; notebooks of zzhangzzhang/pLMs-interpretability.
    .. [2] sokrypton/ColabBio, categorical_jacobian/esm2.ipynb.
    .. [3] Cornman A. et al. (2024), The OMG dataset: an open metagenomic corpus for mixed-modality genomic
       language modeling, bioRxiv; notebook of TattaBio/gLM2.
    """
    _check_options(order, centre, symmetrise, diag, removed)
    J = labels.check_axes(J)
    usually_removed = labels.components_removed(J)
    removed = usually_removed if removed is None else removed
    if not allow_centred:
        refuse_centred(J)
    usual = (order, centre, symmetrise, diag, removed) in (
        ("A", True, True, "zero", usually_removed),
        ("B", True, True, "zero", usually_removed),
    )
    full, percent = stored_map(J, "contacts") if usual else None, 100
    if full is None:
        used = labels.usable_positions(J, allow_partial=allow_partial)
        if order == "plain":
            values = _norms(J, used, (), symmetrised=False)
        else:
            values = _corrected(J, used, order, centre, symmetrise, diag, removed)
        full = np.full((J.sizes["pos_out"],) * 2, np.nan)
        full[np.ix_(used.columns, used.columns)] = values
        percent = 100 * len(used.rows) // (len(used.rows) + len(used.missing))
    corrected = order != "plain"
    attrs = {
        **labels.provenance(J),
        "kind": _what_it_is(J, percent),
        "order": order,
        "centred": int(centre and corrected),
        "symmetrised": int(symmetrise and corrected),
        "diagonal": diag if corrected else "none",
        "removed": int(removed) if corrected else 0,
    }
    return xr.DataArray(
        full, dims=("pos_i", "pos_j"), coords=labels.map_coordinates(J), name="contacts", attrs=attrs
    )


def refuse_centred(J: xr.DataArray) -> None:
    """Refuse a Jacobian that is no longer raw.

    Raises
    ------
    JacobianError
        Saying what it is.
    """
    kind = str(J.attrs.get("kind", "raw"))
    if kind != "raw":
        why = f"is {kind}, not raw"
    elif labels.averages_to_zero(J):
        why = "averages to zero over pos_in, so it was centred"
    else:
        return
    raise JacobianError(
        f"The Jacobian {why}; pass the raw one, or allow_centred=True if this is what you want."
    )


def stored_map(J: xr.DataArray, name: str) -> np.ndarray | None:
    """Take a map that was stored beside a Jacobian on disk; numbers in memory may be others by now.

    Parameters
    ----------
    name
        "contacts" or "block_norms".

    Returns
    -------
    np.ndarray or None
        float64 (L, L); None where there is none for exactly this array.
    """
    if J.variable._in_memory or J.chunks is not None:
        return None
    from catjac_widgets.engine.cache.stored import stored

    found = stored(J, name)
    return None if found is None else np.asarray(found.values, dtype=np.float64)


def _corrected(
    J: xr.DataArray,
    used: labels.Positions,
    order: Order,
    centre: bool,
    symmetrise: bool,
    diag: Diagonal,
    removed: int,
) -> np.ndarray:
    one_sided = labels.is_one_sided(J)
    same_letters = set(labels.letters(J, "aa_in")) == set(labels.letters(J, "aa_out"))
    tensor_first = order in ("A", "B")
    averaged = same_letters and not one_sided
    axes = () if not centre else LETTER_AXES if one_sided else AXES
    values = _norms(J, used, axes, symmetrised=symmetrise and tensor_first and averaged)
    # Of a pair of residues, a one-sided Jacobian has one block.
    both = 1.0 if one_sided else 0.5
    if symmetrise and (order == "C" or (tensor_first and not averaged)):
        values = both * (values + values.T)
    if diag == "zero":
        values = zero_diagonal(values)
    elif diag == "normalize":
        values = _normalised(values, labels.positions(J, "pos_out")[used.columns])
    values = remove_components(values, removed)
    if diag == "zero":
        values = zero_diagonal(values)
    return both * (values + values.T) if symmetrise and order == "A'" else values


def _norms(
    J: xr.DataArray, used: labels.Positions, axes: Collection[str], *, symmetrised: bool
) -> np.ndarray:
    return block_norms(
        J, centred_over=axes, symmetrised=symmetrised, rows=used.rows, columns=used.columns
    ).values


def _normalised(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    diagonal = np.diagonal(values)
    if values.any() and not diagonal.all():
        raise JacobianError(
            f'diag="normalize" divides by the diagonal, which is 0 at position '
            f'{positions[np.argmin(diagonal)]}; use diag="zero".'
        )
    return over_diagonal(values)


def _what_it_is(J: xr.DataArray, percent: int) -> str:
    what = "Jacobian, fast" if labels.is_fast(J) else "Jacobian"
    what += ", one-sided" * labels.is_one_sided(J)
    return what if percent == 100 else f"{what}, {percent} %"


def _check_options(order: str, centre: bool, symmetrise: bool, diag: str, removed: int | None) -> None:
    for name, value, allowed in (("order", order, get_args(Order)), ("diag", diag, get_args(Diagonal))):
        if value not in allowed:
            raise UsageError(f"{name}={value!r} is none of {', '.join(map(repr, allowed))}.")
    if removed is None:
        removed = 1
    if not isinstance(removed, int | np.integer) or isinstance(removed, bool) or removed < 0:
        raise UsageError(
            f"removed={removed!r} is not a number of components; give 0 (none), 1 (APC) or more."
        )
    if order == "plain" and (centre, symmetrise, diag, removed) != (True, True, "zero", 1):
        raise UsageError(
            'order="plain" is the bare norm of the raw blocks; leave out centre, symmetrise, diag, removed.'
        )
