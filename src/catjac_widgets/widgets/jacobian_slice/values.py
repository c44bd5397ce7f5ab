"""Parts of a Jacobian as the slice view shows them: a row, a block, one substitution."""

from __future__ import annotations

from collections.abc import Sequence as ListLike
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from catjac_widgets.block_math.alphabets import Alphabets
from catjac_widgets.errors import UsageError
from catjac_widgets.proteins.alphabets import MASK_LETTER, ORDERS
from catjac_widgets.widgets.base.traits import Brush, Pair

if TYPE_CHECKING:
    import xarray as xr

#: What the view draws: J[i, :, j, :]; J[i, a, :, b] or its norm over b; J[i, a, :, :].
FORMS = ("block", "profile", "matrix")

#: J itself; centred over both letter axes (not over positions); `catjac.epistasis`.
QUANTITIES = ("raw", "centred", "epistasis")

#: Letters of each order that a person can choose; those of the model's own order are the axis' own.
LETTER_ORDERS = {"model": ""} | {
    name: ORDERS[name] for name in ("chemistry", "alphabetical", "hydrophobicity")
}

Status = Literal["ready", "waiting", "masked", "error"]


@dataclass(frozen=True)
class Block:
    """One block, or why there is none (yet).

    Attributes
    ----------
    pair
        The 1-based positions (i, j).
    status
        "ready", "waiting" (its row is not computed yet), "masked" or "error".
    note
        A sentence for a person, where it is not ready.
    values
        float32, shape (letters_in, letters_out), raw logits, mutant − baseline.
    some_letters
        Whether the Jacobian has more letters than these residues may have.
    """

    pair: Pair
    status: Status
    note: str = ""
    letters_in: tuple[str, ...] = ()
    letters_out: tuple[str, ...] = ()
    values: np.ndarray | None = None
    some_letters: bool = False

    @property
    def place(self) -> dict[str, Any]:
        """What it is of, as the front end names it."""
        return {"pair": list(self.pair), "some_letters": self.some_letters}


@dataclass(frozen=True)
class Substitution:
    """What one substitution does along the chain, or why that is not known (yet).

    Attributes
    ----------
    position, letter
        The 1-based position i and the letter a put there.
    status, note
        As of `Block`.
    values
        float32, shape (planes, L, letters_out), raw logits: J[i, a], then the mean of J[i] over its letters
        (what centring takes off), then J[i, w_i] where that row is not zero.
    """

    position: int
    letter: str
    status: Status
    note: str = ""
    letters_in: tuple[str, ...] = ()
    letters_out: tuple[str, ...] = ()
    values: np.ndarray | None = None

    @property
    def place(self) -> dict[str, Any]:
        """What it is of, as the front end names it."""
        return {"pos_in": self.position, "aa_in": self.letter}


@dataclass(frozen=True)
class Row:
    """All of J[i], or why it is not there (yet).

    Attributes
    ----------
    position
        The 1-based i.
    status, note
        As of `Block`.
    values
        float32, shape (letters_in, L, letters_out), raw logits; not to be changed.
    wild_type
        The letter w_i, "" where it is not known.
    alphabets
        Which letters the residues may have, `allowed_in` of i alone; None where they may have all.
    """

    position: int
    status: Status
    note: str = ""
    letters_in: tuple[str, ...] = ()
    letters_out: tuple[str, ...] = ()
    values: np.ndarray | None = None
    wild_type: str = ""
    alphabets: Alphabets | None = None

    @property
    def own_letters(self) -> tuple[str, ...]:
        """Letters that may be put at i."""
        if self.alphabets is None:
            return self.letters_in
        return tuple(np.array(self.letters_in)[self.alphabets.allowed_in[0]].tolist())

    def block(self, pos_out: int) -> Block:
        """Cut out J[i, :, j, :] of a 1-based j."""
        pair = (self.position, pos_out)
        if self.values is None:
            return Block(pair, self.status, self.note)
        if not 1 <= pos_out <= self.values.shape[1]:
            return Block(pair, "error", f"There is no position {pos_out} in {self.values.shape[1]} residues.")
        values = np.array(self.values[:, pos_out - 1, :], dtype=np.float32)
        read = self.letters_out
        if self.alphabets is not None:
            # Of residues of two alphabets, the letters that they may have.
            allowed = self.alphabets.allowed_out[pos_out - 1]
            values = np.ascontiguousarray(values[np.ix_(self.alphabets.allowed_in[0], allowed)])
            read = tuple(np.array(read)[allowed].tolist())
        some = len(self.own_letters) < len(self.letters_in) or len(read) < len(self.letters_out)
        return Block(pair, "ready", "", self.own_letters, read, values, some)

    def substitution(self, letter: str) -> Substitution:
        """Cut out J[i, a, :, :] and what centring and epistasis need beside it."""
        letter = letter_put(letter, self.letters_in)
        if self.values is None:
            return Substitution(self.position, letter, self.status, self.note)
        if letter not in self.own_letters:
            there = " ".join(self.own_letters)
            note = f"{letter} is not among the letters that were put in ({there}); choose one of these."
            return Substitution(self.position, letter, "error", note)
        own = self.values if self.alphabets is None else self.values[self.alphabets.allowed_in[0]]
        planes = [self.values[self.letters_in.index(letter)], own.mean(axis=0, dtype=np.float64)]
        if self.wild_type in self.letters_in:
            reference = self.values[self.letters_in.index(self.wild_type)]
            if reference.any():
                planes.append(reference)
        values = np.stack(planes).astype(np.float32)
        if self.alphabets is not None:
            # Letters that a residue cannot have are none of its logits.
            values[:, ~self.alphabets.allowed_out] = np.nan
        return Substitution(self.position, letter, "ready", "", self.own_letters, self.letters_out, values)


def letter_put(letter: str, letters_in: ListLike[str]) -> str:
    """Return the letter that stands for a choice: a Jacobian of masked residues has only one."""
    return MASK_LETTER if tuple(letters_in) == (MASK_LETTER,) else letter


def row_of(J: xr.DataArray, position: int) -> Row:
    """Read one row off a Jacobian, in memory or lazy, complete or partial; nothing else is loaded.

    Raises
    ------
    JacobianError
        If axes or labels are missing.
    """
    from catjac_widgets.analysis import labels

    J = labels.check_axes(J)
    if position not in labels.positions(J, "pos_in"):
        return Row(position, "waiting", f"Row {position} was left out of this Jacobian.")
    known = labels.alphabets(J)
    index = int(np.flatnonzero(labels.positions(J, "pos_in") == position)[0])
    row = J.sel(pos_in=position)
    values = np.asarray(row.values, dtype=np.float32)
    if np.isnan(values).any():
        name = str(row["residue_in"].item()) if "residue_in" in row.coords else str(position)
        visible = labels.visible_positions(J)
        if visible is not None and position not in visible:
            return Row(position, "masked", masked_note(name))
        return Row(position, "waiting", f"Row {name} is not in this Jacobian.")
    return Row(
        position,
        "ready",
        "",
        tuple(labels.letters(J, "aa_in")),
        tuple(labels.letters(J, "aa_out")),
        values,
        str(row["wild_type_in"].item()) if "wild_type_in" in row.coords else "",
        None if known is None else known.at(np.array([index]), np.arange(J.sizes["pos_out"])),
    )


def masked_note(residue: str) -> str:
    """Say why a masked residue has no row."""
    return f"{residue} is masked, so nothing was put in its place; choose a visible residue."


def ordered(letters: ListLike[str], order: str) -> list[str]:
    """Sort letters into one of `LETTER_ORDERS`; those that it lacks come last, as they are."""
    wanted = LETTER_ORDERS[order]
    return sorted(letters, key=lambda letter: wanted.index(letter) if letter in wanted else len(wanted))


def slice_of(
    J: xr.DataArray,
    pair: Pair,
    *,
    form: str = "block",
    letter_in: str = "A",
    letter_out: str = "",
    quantity: str = "raw",
    letter_order: str = "model",
) -> xr.DataArray:
    """Cut a slice out of a Jacobian; only its row is read.

    Parameters
    ----------
    J
        As `catjac.jacobian` returned it, in memory or lazy; NaN where rows are missing.
    pair
        1-based positions (i, j).
    form
        "block": J[i, :, j, :], dims (aa_in, aa_out). "profile": along pos_out, J[i, a, :, b], or without a
        letter_out `J.catjac.profile`. "matrix": J[i, a, :, :], dims (pos_out, aa_out).
    letter_in, letter_out
        The letters a and b.
    quantity, letter_order
        One of `QUANTITIES`, one of `LETTER_ORDERS`.

    Returns
    -------
    xr.DataArray
        Loaded, logits, with J's labels.

    Raises
    ------
    JacobianError
        For a quantity that this Jacobian does not have (epistasis of the fast variant).
    UsageError
        For a letter or a position that it does not have.
    """
    import xarray as xr

    from catjac_widgets.analysis import accessor, labels
    from catjac_widgets.analysis.contacts.operations import LETTER_AXES, centre
    from catjac_widgets.analysis.summaries import epistasis

    i, j = pair
    J = labels.check_axes(J)
    for axis, position in (("pos_in", i), ("pos_out", j)):
        if position not in labels.positions(J, axis):
            raise UsageError(f"There is no position {position} along {axis} of this Jacobian.")
    letters_in, letters_out = labels.letters(J, "aa_in"), labels.letters(J, "aa_out")
    letter_in = letter_put(letter_in, letters_in)
    for letter, there in ((letter_in, letters_in), (letter_out, ["", *letters_out])):
        if letter not in there:
            raise UsageError(f"{letter!r} is not among the letters {' '.join(there).strip()}.")
    # A list keeps the axis, which centring and epistasis want.
    row = J.sel(pos_in=[i]).load()
    if quantity == "centred":
        row = centre(row, LETTER_AXES)
    elif quantity == "epistasis":
        row = epistasis(row)
    if form == "profile":
        return accessor.JacobianAccessor(row).profile(i, letter_in, letter_out or None)
    made = row.sel(pos_in=i, pos_out=j) if form == "block" else row.sel(pos_in=i, aa_in=letter_in)
    known = labels.alphabets(row)
    if known is not None and form == "block":
        place = labels.positions(J, "pos_out").tolist().index(j)
        made = made.isel(aa_in=known.allowed_in[0], aa_out=known.allowed_out[place])
    elif known is not None:
        made = made.where(xr.DataArray(known.allowed_out, dims=("pos_out", "aa_out")))
    orders = {
        axis: ordered(labels.letters(made, axis), letter_order) for axis in LETTER_AXES if axis in made.dims
    }
    return made.sel(orders)


def mean_of(
    J: xr.DataArray, brush: Brush, quantity: str = "raw", letter_order: str = "model"
) -> xr.DataArray:
    """Average the blocks of a brush's pairs i ≠ j; rows that are not there do not count.

    Parameters
    ----------
    J
        As of `slice_of`.
    brush
        Runs of rows and of columns, 1-based, ends included.
    quantity, letter_order
        "raw" or "centred", one of `LETTER_ORDERS`.

    Returns
    -------
    xr.DataArray
        Dims (aa_in, aa_out), logits; NaN where no pair is there.

    Raises
    ------
    UsageError
        For epistasis: residues that are read together have no one wild-type letter.
    JacobianError
        If axes or labels are missing.
    """
    import xarray as xr

    from catjac_widgets.analysis import labels
    from catjac_widgets.analysis.contacts.operations import LETTER_AXES, centre

    if quantity == "epistasis":
        raise UsageError(
            "A mean over several residues has no one wild-type letter; choose raw or centred, or one pair."
        )
    J = labels.check_axes(J)
    (i0, i1), (j0, j1) = brush
    blocks = J.sel(pos_in=slice(i0, i1), pos_out=slice(j0, j1)).load()
    if quantity == "centred":
        blocks = centre(blocks, LETTER_AXES)
    counted = blocks.pos_in != blocks.pos_out
    known = labels.alphabets(blocks)
    if known is not None:
        put = xr.DataArray(known.allowed_in, dims=("pos_in", "aa_in"))
        counted = counted & put & xr.DataArray(known.allowed_out, dims=("pos_out", "aa_out"))
        there = {"aa_in": known.allowed_in.any(axis=0), "aa_out": known.allowed_out.any(axis=0)}
        blocks, counted = blocks.isel(there), counted.isel(there)
    made = blocks.where(counted).mean(["pos_in", "pos_out"])
    if known is not None:
        made = made.fillna(0.0)
    return made.sel({axis: ordered(labels.letters(made, axis), letter_order) for axis in LETTER_AXES})
