"""The block of one pair: what each letter put at i does to each logit at j."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np
import traitlets

from catjac_widgets.alphabets import DISPLAY_LETTERS
from catjac_widgets.errors import CatjacError
from catjac_widgets.widgets.arrays import encode
from catjac_widgets.widgets.labels import sequence_of
from catjac_widgets.widgets.mean_block import BrushedMean, mean_block_of
from catjac_widgets.widgets.state import STATIC, Pair, SharedState, View

if TYPE_CHECKING:
    import xarray as xr


class BlockQuestion(TypedDict):
    """What the front end sends to ask for a block."""

    kind: Literal["block"]
    id: int
    pos_in: int
    pos_out: int


class BlockAnswer(TypedDict):
    """What it gets back under the same id, with the float32 values as a buffer where `shape` is given."""

    kind: Literal["block"]
    id: int
    pair: list[int]
    status: str
    note: str
    letters_in: list[str]
    letters_out: list[str]
    shape: list[int] | None


@dataclass(frozen=True)
class Block:
    """One block, or why there is none (yet).

    Attributes
    ----------
    status
        "ready", "waiting" (its row is not computed yet), "masked" or "error".
    note
        A sentence for a person, where it is not ready.
    values
        float32, shape (letters_in, letters_out), raw logits, mutant − baseline.
    """

    pair: Pair
    status: Literal["ready", "waiting", "masked", "error"]
    note: str = ""
    letters_in: tuple[str, ...] = ()
    letters_out: tuple[str, ...] = ()
    values: np.ndarray | None = None


def block_of(J: xr.DataArray, pair: Pair) -> Block:
    """Read one block off a Jacobian, in memory or lazy, complete or partial."""
    i, j = pair
    block = J.sel(pos_in=i, pos_out=j)
    values = np.asarray(block.values, dtype=np.float32)
    if np.isnan(values).any():
        return Block(pair, "waiting", f"Row {J['residue_in'].sel(pos_in=i).item()} is not in this Jacobian.")
    letters_in, letters_out = (
        tuple(str(letter) for letter in J[name].values) for name in ("aa_in", "aa_out")
    )
    return Block(pair, "ready", "", letters_in, letters_out, values)


class JacobianSlice(View):
    """The 20 × 20 block of the selected pair as a picture.

    Parameters
    ----------
    J
        The Jacobian to slice; None where `find` is given.
    find
        Called with a pair (i, j), returns its `Block`; serves a Jacobian that is not complete.
    state
        Another widget whose selection to follow.
    **traits
        Initial values of any trait below or of `SharedState`.

    Attributes
    ----------
    block
        The selected pair's block as the front end shows it; kept so that a saved notebook can show it.
    letter_order
        In which order letters stand on both axes; by chemistry to begin with.
    mean
        The mean block of the state's `brush` as the front end shows it; see `BrushedMean`.
    """

    _esm = STATIC / "jacobian_slice.js"
    _css = STATIC / "catjac.css"

    block = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    letter_order = traitlets.Unicode(DISPLAY_LETTERS).tag(sync=True)
    mean = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)

    def __init__(
        self,
        J: xr.DataArray | None = None,
        *,
        find: Callable[[Pair], Block] | None = None,
        state: SharedState | None = None,
        **traits: Any,
    ) -> None:
        if J is not None:
            traits = {"sequence": sequence_of(J, "out")} | traits
            find = find or (lambda pair: block_of(J, pair))
        self._find = find or (lambda pair: Block(pair, "error", "There is no Jacobian to slice."))
        super().__init__(state=state, **traits)
        self.on_msg(self._asked)
        self.observe(lambda change: self.renew(), "selection")
        self.renew()
        if J is not None:
            BrushedMean(self, lambda brush: mean_block_of(J, brush))

    def renew(self) -> None:
        """Look the selected pair's block up again and show it."""
        if self.selection is not None:
            self.delivery.post("block", self._show, prepare=self._selected, urgent=True)

    def _selected(self) -> Block | None:
        return self.find(self.selection) if self.selection is not None else None

    def _show(self, block: Block | None) -> None:
        if block is not None:
            letters = {"letters_in": list(block.letters_in), "letters_out": list(block.letters_out)}
            self.block = {
                "pair": list(block.pair),
                "status": block.status,
                "note": block.note,
                **letters,
                "values": encode(block.values),
            }

    def find(self, pair: Pair) -> Block:
        """Return the pair's block; a sentence in it where that fails."""
        try:
            return self._find(pair)
        except CatjacError as error:
            return Block(pair, "error", str(error))
        except Exception as error:
            return Block(pair, "error", f"This block cannot be read ({type(error).__name__}: {error}).")

    def _asked(self, widget: Any, content: BlockQuestion, buffers: Any) -> None:
        if content.get("kind") != "block":
            return
        pair = (int(content["pos_in"]), int(content["pos_out"]))
        self.delivery.post(
            ("answer", id(self)),
            lambda block: self._answer(content["id"], block),
            prepare=lambda: self.find(pair),
            urgent=True,
        )

    def _answer(self, question: int, block: Block) -> None:
        payload = encode(block.values)
        answer: BlockAnswer = {
            "kind": "block",
            "id": question,
            "pair": list(block.pair),
            "status": block.status,
            "note": block.note,
            "letters_in": list(block.letters_in),
            "letters_out": list(block.letters_out),
            "shape": payload["shape"] if payload else None,
        }
        self.send(answer, buffers=[payload["data"]] if payload else [])
