"""`J.catjac`: analyses and selections by residue, on any labelled Jacobian (or map)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from catjac_widgets.analysis import labels, summaries
from catjac_widgets.analysis.contacts import maps as contact_maps
from catjac_widgets.analysis.options import check_options, options_of
from catjac_widgets.errors import JacobianError, SequenceError
from catjac_widgets.proteins.sequences import Sequence

Number = int | str


class JacobianAccessor:
    """Analyses of a Jacobian, and selections by chain and the structure's own residue numbers.

    Works on what `jacobian` returns, also after `sel`, arithmetic or a round trip through a file, as long as
    the labels that a method needs are there; otherwise the error names what is missing.
    """

    def __init__(self, array: xr.DataArray) -> None:
        self._array = array

    @property
    def sequence(self) -> Sequence:
        """The residues that the array is about, with chains and numbers.

        Raises
        ------
        JacobianError
            If neither coordinates nor attributes name them.
        """
        return labels.sequence_of(self._array)

    @property
    def visible(self) -> np.ndarray:
        """1-based positions that the model saw, int array.

        Raises
        ------
        JacobianError
            If the attributes that tell are gone.
        """
        found = labels.visible_positions(self._array)
        if found is None:
            raise JacobianError("The attributes 'visible' and 'sequence' are gone, so the mask is not known.")
        return np.array(sorted(found), dtype=int)

    @property
    def is_complete(self) -> bool:
        """Whether every visible residue among the outputs has its row.

        Raises
        ------
        JacobianError
            If axes or labels are missing.
        """
        try:
            labels.usable_positions(labels.check_axes(self._array), allow_partial=False)
        except JacobianError:
            labels.check_axes(self._array)
            return False
        return True

    def sel(
        self,
        *,
        chain: str | None = None,
        number: Number | Iterable[Number] | None = None,
        chain_out: str | None = None,
        number_out: Number | Iterable[Number] | None = None,
        **indexers: Any,
    ) -> xr.DataArray:
        """Select by chain and residue number.

        Parameters
        ----------
        chain, number
            Of the substituted residue (`pos_in`; `pos_i` of a map). One number takes the axis away, a list
            keeps it, a chain alone keeps all its residues.
        chain_out, number_out
            Of the residue that is read (`pos_out`; `pos_j` of a map).
        indexers
            Passed on to `DataArray.sel`, for instance ``aa_in="K"``.

        Returns
        -------
        xr.DataArray
            A view where xarray gives one.

        Raises
        ------
        UsageError
            For an indexer that is none of the array's axes.
        SequenceError
            If no residue bears that number, or residues of several chains do; or there is no such position or
            letter.
        JacobianError
            If the array has no such axis or its residue labels are gone.
        """
        array = self._array
        own = ("chain", "number", "chain_out", "number_out")
        check_options("J.catjac.sel", indexers, (*own, *map(str, array.xindexes)))
        sides = ("in", "out") if not set(array.dims) & {"pos_i", "pos_j"} else ("i", "j")
        for side, wanted_chain, wanted in (
            (sides[0], chain, number),
            (sides[1], chain_out, number_out),
        ):
            if wanted_chain is None and wanted is None:
                continue
            array = array.isel({f"pos_{side}": _find(array, side, wanted_chain, wanted)})
        for axis, wanted in indexers.items():
            array = _select(array, axis, wanted)
        return array

    def contacts(self, **options: Any) -> xr.DataArray:
        """Contact map; see `catjac.contacts`."""
        check_options("J.catjac.contacts", options, options_of(contact_maps.contacts, "J"))
        return contact_maps.contacts(self._array, **options)

    def sensitivity(self, **options: Any) -> xr.Dataset:
        """Summaries by residue; see `catjac.sensitivity`."""
        check_options("J.catjac.sensitivity", options, options_of(summaries.sensitivity, "J"))
        return summaries.sensitivity(self._array, **options)

    def epistasis(self) -> xr.DataArray:
        """Conditional log-odds changes; see `catjac.epistasis`."""
        return summaries.epistasis(self._array)

    def block(self, pos_in: int, pos_out: int) -> xr.DataArray:
        """Letters × letters of one pair of positions (1-based): dims (aa_in, aa_out).

        Raises
        ------
        SequenceError
            If there is no such position.
        """
        J = labels.check_axes(self._array)
        _check_position(J, "pos_in", pos_in)
        _check_position(J, "pos_out", pos_out)
        return J.sel(pos_in=pos_in, pos_out=pos_out).load()

    def profile(self, pos: int, letter: str, read: str | None = None) -> xr.DataArray:
        """Show what one substitution does along the chain.

        Parameters
        ----------
        pos
            1-based position of the substitution.
        letter
            The letter put there ("<mask>" in the fast variant).
        read
            The letter whose logit is read; by default the Euclidean norm over all letters, each position's
            mean taken off.

        Returns
        -------
        xr.DataArray
            Dim pos_out, in logits.

        Raises
        ------
        SequenceError
            If there is no such position or letter.
        """
        J = labels.check_axes(self._array)
        _check_position(J, "pos_in", pos)
        for axis, wanted in (("aa_in", letter), ("aa_out", read)):
            if wanted is not None and wanted not in labels.letters(J, axis):
                raise SequenceError(
                    f"{wanted!r} is not among {axis} of this Jacobian, which has "
                    f"{' '.join(labels.letters(J, axis))}."
                )
        row = J.sel(pos_in=pos, aa_in=letter).load()
        if read is not None:
            return row.sel(aa_out=read)
        known = labels.alphabets(J)
        if known is None:
            centred = row - row.mean("aa_out")
        else:
            possible = xr.DataArray(known.allowed_out, dims=("pos_out", "aa_out"))
            centred = (row - row.where(possible).mean("aa_out")).where(possible, 0.0)
        norm = (centred**2).sum("aa_out", skipna=False) ** 0.5
        return norm.rename("profile").assign_attrs(labels.provenance(J))


def _select(array: xr.DataArray, axis: str, wanted: Any) -> xr.DataArray:
    """Select by the labels of one axis."""
    if axis not in array.xindexes:
        raise JacobianError(
            f"The array has no axis {axis} left to select on; give its number or chain, or {axis}=, not both."
        )
    try:
        return array.sel({axis: wanted})
    except (KeyError, TypeError, ValueError) as error:
        there = array[axis].values
        labels_there = f"{there[0]} to {there[-1]}" if there.dtype.kind in "iu" else " ".join(map(str, there))
        raise SequenceError(f"There is no {axis}={wanted!r}; there is {labels_there}.") from error


def _find(
    array: xr.DataArray, side: str, chain: str | None, number: Number | Iterable[Number] | None
) -> int | np.ndarray:
    """Index along `pos_<side>` of the residues asked for."""
    axis = f"pos_{side}"
    if axis not in array.dims:
        raise JacobianError(f"The array has no axis {axis} to select on; it was selected away before.")
    missing = [name for name in (f"chain_{side}", f"number_{side}") if name not in array.coords]
    if missing:
        raise JacobianError(
            f"The coordinate {' and '.join(missing)} is gone, so residue numbers mean nothing."
        )
    chains = np.array([str(value) for value in array[f"chain_{side}"].values])
    numbers = np.array([str(value) for value in array[f"number_{side}"].values])
    in_chain = np.ones(len(chains), dtype=bool) if chain is None else chains == chain
    if not in_chain.any():
        raise SequenceError(f"There is no chain {chain!r}; there is {', '.join(dict.fromkeys(chains))}.")
    if number is None:
        return np.flatnonzero(in_chain)
    if isinstance(number, int | np.integer | str):
        return _one(in_chain, numbers, str(number), chain)
    return np.array([_one(in_chain, numbers, str(each), chain) for each in number], dtype=int)


def _one(in_chain: np.ndarray, numbers: np.ndarray, number: str, chain: str | None) -> int:
    found = np.flatnonzero(in_chain & (numbers == number))
    if len(found) == 1:
        return int(found[0])
    if len(found):
        raise SequenceError(f"Residue number {number} exists in several chains; name one with chain=….")
    raise SequenceError(f"There is no residue number {number}{f' in chain {chain}' if chain else ''}.")


def _check_position(J: xr.DataArray, axis: str, position: int) -> None:
    there = labels.positions(J, axis)
    if position not in there:
        raise SequenceError(
            f"There is no position {position} along {axis}; it runs from {there.min()} to {there.max()}."
        )
