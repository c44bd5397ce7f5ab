"""The slice view: the block of a pair, or what one substitution does along the chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np
import traitlets

from catjac_widgets.errors import CatjacError, UsageError
from catjac_widgets.proteins.alphabets import MASK_LETTER
from catjac_widgets.proteins.coordinates import sequence_along
from catjac_widgets.proteins.masks import as_mask
from catjac_widgets.widgets.base.arrays import ArrayPayload, encode
from catjac_widgets.widgets.base.state import STATIC, SharedState, View
from catjac_widgets.widgets.base.traits import Brush
from catjac_widgets.widgets.jacobian_slice.mean_block import BrushedMean, MeanBlock, mean_block_of
from catjac_widgets.widgets.jacobian_slice.values import (
    FORMS,
    LETTER_ORDERS,
    QUANTITIES,
    Block,
    Row,
    Substitution,
    mean_of,
    row_of,
    slice_of,
)

if TYPE_CHECKING:
    import xarray as xr


class BlockQuestion(TypedDict):
    """What the front end sends to ask for a block."""

    kind: Literal["block"]
    id: int
    pos_in: int
    pos_out: int


class RowQuestion(TypedDict):
    """What it sends to ask for one substitution along the chain."""

    kind: Literal["row"]
    id: int
    pos_in: int
    aa_in: str


class Answer(TypedDict, total=False):
    """What it gets back under the same id, with the float32 values as a buffer where `shape` is given.

    A block says its `pair`, a row its `pos_in` and `aa_in`; see `Block` and `Substitution` for the rest.
    """

    kind: Literal["block", "row"]
    id: int
    pair: list[int]
    some_letters: bool
    pos_in: int
    aa_in: str
    status: str
    note: str
    letters_in: list[str]
    letters_out: list[str]
    shape: list[int] | None


class JacobianSlice(View):
    """A slice of the Jacobian as a picture: of the selected pair, or of one substitution along the chain.

    Parameters
    ----------
    J
        The Jacobian to slice, in memory or lazy (only the rows that are looked at are read); None where
        `find` is given.
    find
        Called with a 1-based position, returns its `Row`; serves a Jacobian that is not complete.
    jacobian
        Called for the Jacobian that `slice` cuts; goes with `find`.
    mean_block
        Called with a brush, returns its `MeanBlock`; goes with `find`.
    state
        Another widget whose selection to follow.
    **traits
        Initial values of any trait below or of `SharedState`.

    Attributes
    ----------
    form
        "block": J[i, :, j, :] of the selected pair. "profile": what putting `letter_in` at i does to each
        residue. "matrix": the same letter by letter, J[i, a, :, :].
    letter_in
        The letter a that is put at i, for "profile" and "matrix".
    letter_out
        The letter b whose logit the profile reads; "" for the norm over all letters, their mean taken off.
    quantity
        "raw": mutant − wild type. "centred": over both letter axes, not over positions. "epistasis":
        conditional log-odds, against the wild-type letter at j (`catjac.epistasis`).
    letter_order
        "model", "chemistry", "alphabetical" or "hydrophobicity".
    block, row
        What the front end shows of the selection, kept so that a saved notebook can show it; `row` is None
        for the form "block".
    mean
        The mean block of the state's `brush` as the front end shows it; see `BrushedMean`.

    Raises
    ------
    JacobianError
        If J lacks axes or labels.
    UsageError
        If J was cut along pos_out.
    TypeError
        For a keyword that is no trait.
    """

    _esm = STATIC / "jacobian_slice.js"
    _css = STATIC / "catjac.css"

    form = traitlets.Enum(FORMS, "block").tag(sync=True)
    letter_in = traitlets.Unicode("A").tag(sync=True)
    letter_out = traitlets.Unicode("").tag(sync=True)
    quantity = traitlets.Enum(QUANTITIES, "raw").tag(sync=True)
    letter_order = traitlets.Enum(tuple(LETTER_ORDERS), "chemistry").tag(sync=True)
    block = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    row = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    #: The orders' letters, told to the front end so that they stand in one place.
    orders = traitlets.Dict(LETTER_ORDERS, read_only=True).tag(sync=True)
    #: What the Jacobian holds where it is not raw, for instance "centred"; there is nothing to choose then.
    kind = traitlets.Unicode("").tag(sync=True)
    mean = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)

    def __init__(
        self,
        J: xr.DataArray | None = None,
        *,
        find: Callable[[int], Row] | None = None,
        jacobian: Callable[[], xr.DataArray] | None = None,
        mean_block: Callable[[Brush], MeanBlock] | None = None,
        state: SharedState | None = None,
        **traits: Any,
    ) -> None:
        if J is not None:
            whole = _checked(J)
            traits = _traits_of(whole, alone=state is None) | traits
            find = find or (lambda position: row_of(whole, position))
            jacobian = jacobian or (lambda: whole)
            mean_block = mean_block or (lambda brush: mean_block_of(whole, brush))
        self._find = find or (lambda position: Row(position, "error", "There is no Jacobian to slice."))
        self._jacobian = jacobian
        super().__init__(state=state, **traits)
        self.on_msg(self._asked)
        self.observe(lambda change: self.renew(), ["selection", "form", "letter_in"])
        self.renew()
        self._brushed = None if mean_block is None else BrushedMean(self, mean_block)

    @property
    def slice(self) -> xr.DataArray:
        """What the view shows now, with J's labels; NaN while its row is to come.

        Dims (aa_in, aa_out) for a block, or the mean block of a brush; (pos_out, aa_out) for a matrix;
        (pos_out,) for a profile. Letters are in the order shown.

        Raises
        ------
        UsageError
            If no pair is selected, or there is no Jacobian.
        JacobianError
            For a quantity that this Jacobian does not have: the fast variant has no epistasis.
        """
        brushed = self.brush is not None and self.form == "block"
        if self.selection is None and not brushed:
            raise UsageError("No pair is selected; click one on the map or set ex.selection = (i, j).")
        if self._jacobian is None:
            raise UsageError("There is no Jacobian to slice; pass one, catjac.JacobianSlice(J).")
        if brushed:
            return mean_of(self._jacobian(), self.brush, self.quantity, self.letter_order)
        return slice_of(
            self._jacobian(),
            self.selection,
            form=self.form,
            letter_in=self.letter_in,
            letter_out=self.letter_out,
            quantity=self.quantity,
            letter_order=self.letter_order,
        )

    def renew(self) -> None:
        """Look up again what is selected, and show it."""
        if self.selection is not None:
            # The front end has asked, and been answered, when it moved the selection itself; this can wait.
            self.delivery.post(("shown", id(self)), self._show, prepare=self._selected)

    def restart(self) -> None:
        """Look up everything again: the Jacobian is another one."""
        self.renew()
        if self._brushed is not None:
            self._brushed.renew()

    def row_came(self, position: int) -> None:
        """Show a row that has just been computed, if it is looked at; safe on any thread."""
        if self._brushed is not None:
            self._brushed.row_came(position)
        if self.selection is not None and self.selection[0] == position:
            self.renew()

    def find(self, position: int) -> Row:
        """Return the row of a 1-based position; a sentence in it where that fails."""
        length = position if self.sequence is None else len(self.sequence)
        if not 1 <= position <= length:
            return Row(
                position, "error", f"There is no position {position} in a sequence of {length} residues."
            )
        try:
            return self._find(position)
        except CatjacError as error:
            return Row(position, "error", str(error))
        except Exception as error:
            return Row(position, "error", f"This row cannot be read ({type(error).__name__}: {error}).")

    @traitlets.validate("letter_in", "letter_out")
    def _one_letter(self, proposal: Any) -> str:
        letter: str = proposal["value"]
        reads = proposal["trait"].name == "letter_out"
        if len(letter) == 1 or (not reads and letter == MASK_LETTER) or (reads and not letter):
            return letter
        raise UsageError(f"{proposal['trait'].name}={letter!r} is not one letter; give for instance 'K'.")

    @traitlets.validate("quantity")
    def _still_to_be_had(self, proposal: Any) -> str:
        if self.kind and proposal["value"] != "raw":
            raise UsageError(f"This Jacobian is {self.kind} already; it is shown as it is (quantity 'raw').")
        return str(proposal["value"])

    def _selected(self) -> tuple[Block, Substitution | None] | None:
        if self.selection is None:
            return None
        i, j = self.selection
        row = self.find(i)
        return row.block(j), None if self.form == "block" else row.substitution(self.letter_in)

    def _show(self, found: tuple[Block, Substitution | None] | None) -> None:
        if found is None:
            return
        block, row = found
        with self.hold_sync():
            self.set_trait("block", _said(block) | {"values": encode(block.values)})
            self.set_trait("row", row and _said(row) | {"values": encode(row.values)})

    def _asked(self, widget: Any, content: BlockQuestion | RowQuestion, buffers: Any) -> None:
        if content.get("kind") in ("block", "row"):
            # One key: of questions that wait, the last one is answered.
            self.delivery.post(
                ("answer", id(self)),
                lambda part: self._answer(content, part),
                prepare=lambda: self._part(content),
                urgent=True,
            )

    def _part(self, question: BlockQuestion | RowQuestion) -> Block | Substitution:
        try:
            row = self.find(int(question["pos_in"]))
            if question["kind"] == "block":
                return row.block(int(question["pos_out"]))
            return row.substitution(str(question["aa_in"]))
        except (KeyError, TypeError, ValueError) as error:
            # Whoever asked is told under the same id.
            note = f"This question was not understood ({type(error).__name__}: {error})."
            nothing = Substitution(0, "", "error", note)
            return nothing if question["kind"] == "row" else Block((0, 0), "error", note)

    def _answer(self, question: BlockQuestion | RowQuestion, part: Block | Substitution) -> None:
        payload: ArrayPayload | None = encode(part.values)
        answer: Answer = {
            "kind": question["kind"],
            "id": question["id"],
            **_said(part),  # type: ignore[typeddict-item]
            "shape": payload["shape"] if payload else None,
        }
        self.send(answer, buffers=[payload["data"]] if payload else [])


def _said(part: Block | Substitution) -> dict[str, Any]:
    """All of a part but its values, as the front end reads it."""
    letters = {"letters_in": list(part.letters_in), "letters_out": list(part.letters_out)}
    return {**part.place, "status": part.status, "note": part.note, **letters}


def _checked(J: xr.DataArray) -> xr.DataArray:
    """Return J with its axes in order; refuse one whose residues cannot be counted from 1."""
    from catjac_widgets.analysis import labels

    J = labels.check_axes(J)
    positions = labels.positions(J, "pos_out")
    if not np.array_equal(positions, np.arange(1, len(positions) + 1)):
        raise UsageError(
            "A slice view needs every residue along pos_out; pass the Jacobian before selecting."
        )
    return J


def _traits_of(J: xr.DataArray, *, alone: bool) -> dict[str, Any]:
    from catjac_widgets.analysis import labels

    sequence = sequence_along(J, "out")
    kinds = [str(J.attrs.get("kind", "raw")), "symmetrised" if J.attrs.get("symmetrised") else "raw"]
    traits: dict[str, Any] = {
        "sequence": sequence,
        "kind": " and ".join(kind for kind in kinds if kind != "raw"),
    }
    visible = labels.visible_positions(J)
    if alone and visible is not None and len(visible) < len(sequence):
        masked = np.array([position not in visible for position in range(1, len(sequence) + 1)])
        traits["mask"] = as_mask(masked, sequence)
    return traits
