"""Plans: which substitutions to run, for whom, and the key under which the rows are kept."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from catjac_widgets.block_math.alphabets import Alphabets
from catjac_widgets.block_math.summaries import summary_shapes
from catjac_widgets.engine.plans.positions import check_positions
from catjac_widgets.language_models.alphabets import letters_at
from catjac_widgets.language_models.base import WITHOUT_APC, Numerics
from catjac_widgets.proteins.alphabets import MASK_LETTER
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.sequences import Sequence

if TYPE_CHECKING:
    from catjac_widgets.language_models.base import Substitution

#: Changes whenever the rows, or how they lie on disk, would differ for the same request.
FORMAT_VERSION = 1

VARIANTS = ("full", "fast")


@dataclass(frozen=True)
class Plan:
    """One categorical Jacobian to compute: everything that decides its values, and which rows were asked for.

    Attributes
    ----------
    sequence
        The residues and chains asked about (L residues, without linker).
    mask
        Which of them the model may not see.
    linker
        Residues put between chains for the model; their rows and columns are dropped.
    variant
        "full" (all letters at each position) or "fast" (the position masked).
    numerics
        How the model's passes are computed.
    positions
        1-based positions asked for, in the order asked.
    model, fingerprint, letters
        The model's name, what identifies its outputs, and the letters of its logits in its own order.
    causal
        Whether the model reads from left to right, so that its Jacobian is one-sided. It follows from the
        fingerprint.
    rows_bits
        Bits of each number's mantissa that rows keep, None for all; see `engine.rounding`.
    attributes
        What else the Jacobian says of its model; it follows from the fingerprint, too.
    alphabets
        Those that `letters` are of, where there are several; each residue has one of them, and numbers of
        letters of another one are 0.
    strands
        Whether the model reads each chain's strand before it.
    """

    sequence: Sequence
    mask: Mask
    linker: str
    variant: str
    numerics: Numerics
    positions: tuple[int, ...]
    model: str
    fingerprint: str
    letters: str
    causal: bool = False
    rows_bits: int | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    alphabets: tuple[str, ...] = ()
    strands: bool = False

    @property
    def apc(self) -> bool:
        """Whether its contact map is corrected by the average product by default."""
        return not set(WITHOUT_APC) & set(self.attributes)

    @property
    def length(self) -> int:
        """L, the number of residues without linker."""
        return len(self.sequence)

    @property
    def dtype(self) -> np.dtype:
        """Type of the Jacobian's numbers."""
        return np.dtype(self.numerics.dtype)

    @property
    def is_approximate(self) -> bool:
        """Whether rows are near the exact ones, but not within the tolerance of float32."""
        return self.numerics.approximate

    @cached_property
    def letters_in(self) -> tuple[str, ...]:
        """The letters of `aa_in`."""
        return (MASK_LETTER,) if self.variant == "fast" else tuple(self.letters)

    # How the rows lie in an entry, see `Kept`.
    rows_name: ClassVar[str] = "jacobian"
    rows_dims: ClassVar[tuple[str, ...]] = ("pos_in", "aa_in", "pos_out", "aa_out")
    chunk_length: ClassVar[int] = 1

    @property
    def rows_shape(self) -> tuple[int, ...]:
        """Shape (L, A_in, L, A_out) of the whole Jacobian."""
        return self.length, *self.row_shape

    def selection(self, index: int) -> int:
        """Where the row of a 0-based position lies along `pos_in`."""
        return index

    @property
    def beside_shapes(self) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
        """Shape and dimension names of each array that is kept beside the rows."""
        _, length, a_out = self.row_shape
        error: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {"numerics_error": ((1,), ("estimate",))}
        return (error if self.is_approximate else {}) | {
            "wild_type_logits": ((length, a_out), ("pos_out", "aa_out")),
            **summary_shapes(self.row_shape),
        }

    @property
    def row_shape(self) -> tuple[int, int, int]:
        """Shape (A_in, L, A_out) of one row."""
        return len(self.letters_in), self.length, len(self.letters)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.row_shape) * self.dtype.itemsize

    @property
    def store_bytes(self) -> int:
        """Bytes of all rows that the entry can hold."""
        return self.row_bytes * len(self.runnable)

    @property
    def result_bytes(self) -> int:
        """Bytes of the array asked for."""
        return self.row_bytes * len(self.positions)

    # ---- what the model sees

    @property
    def model_residues(self) -> str:
        """The residues given to the model: chains joined by the linker, or each behind its strand."""
        if self.strands:
            pairs = zip(self.sequence.strands, self.sequence.chains, strict=True)
            return "".join(strand + chain.residues for strand, chain in pairs)
        return self.linker.join(chain.residues for chain in self.sequence.chains)

    @cached_property
    def kept(self) -> np.ndarray:
        """Where the L residues lie (0-based) among those given to the model."""
        chain = self.sequence.chain_index
        return np.arange(self.length) + (chain + 1 if self.strands else len(self.linker) * chain)

    @property
    def model_mask(self) -> Mask | None:
        """The mask over what is given to the model (a linker is visible), None where nothing is masked."""
        if not self.mask:
            return None
        masked = np.zeros(len(self.model_residues), dtype=bool)
        masked[self.kept] = self.mask.array
        return Mask.from_array(masked)

    # ---- what is run

    @cached_property
    def runnable(self) -> tuple[int, ...]:
        """All 0-based positions that have a row under this mask, whether asked for or not."""
        return tuple(int(index) for index in np.flatnonzero(~self.mask.array))

    @cached_property
    def wanted(self) -> tuple[int, ...]:
        """The 0-based positions that have a row and were asked for, ascending."""
        asked = {position - 1 for position in self.positions}
        return tuple(index for index in self.runnable if index in asked)

    def substitutions(self, index: int) -> list[Substitution]:
        """List what is run for the row of that 0-based position; the wild type is not."""
        from catjac_widgets.language_models.base import Substitution

        where = int(self.kept[index])
        if self.variant == "fast":
            return [Substitution(where, MASK_LETTER)]
        wild_type = self.sequence.residues[index]
        return [Substitution(where, letter) for letter in self.letters_at(index) if letter != wild_type]

    def letters_at(self, index: int) -> str:
        """Letters that may be put at a 0-based position."""
        return letters_at(self.sequence.residues[index], self.letters, self.alphabets)

    def unchanged(self, index: int) -> list[int]:
        """Tell which letters, by number, change nothing at a 0-based position and are not run."""
        if self.variant == "fast":
            return []
        run = set(self.letters_at(index)) - {self.sequence.residues[index]}
        return [slot for slot, letter in enumerate(self.letters_in) if letter not in run]

    @property
    def substitutions_per_row(self) -> int:
        """How many sequences one row takes, at most."""
        return 1 if self.variant == "fast" else max(map(len, self.alphabets or (self.letters,))) - 1

    @cached_property
    def blocks(self) -> Alphabets | None:
        """Which numbers of a block are of letters that its residues may be; None where all are."""
        residues = self.sequence.residues
        return Alphabets.of(self.alphabets, (residues, self.letters_in), (residues, self.letters))

    def groups(self, batch_size: int) -> list[tuple[int, ...]]:
        """Divide the positions asked for into those that share a batch.

        The division is fixed over all runnable positions, so that it depends on the key and the batch size
        only; what is done already never changes a batch.
        """
        size = max(1, batch_size // self.substitutions_per_row)
        wanted = set(self.wanted)
        groups = (self.runnable[k : k + size] for k in range(0, len(self.runnable), size))
        chosen = (tuple(index for index in group if index in wanted) for group in groups)
        return [group for group in chosen if group]

    # ---- how it is kept

    @cached_property
    def key_content(self) -> dict[str, Any]:
        """What `key.json` says: everything that decides the values, and not the device."""
        return {
            "format": FORMAT_VERSION,
            "sequence": str(self.sequence),
            "linker": self.linker,
            "visible": str(self.mask),
            "variant": self.variant,
            "numerics": self.numerics.name,
            "tf32": False,
            "dtype": self.dtype.name,
            "letters": self.letters,
            # The adapter writes the weights' hash, token dropout and BOS/EOS policy into its fingerprint.
            "model_fingerprint": self.fingerprint,
            # Rows that keep all bits have the key that they had before there were others.
            **({} if self.rows_bits is None else {"bits": self.rows_bits}),
            **({"strands": self.sequence.strands} if self.sequence.strands else {}),
        }

    @cached_property
    def key_json(self) -> str:
        """`key_content` as canonical JSON text."""
        return json.dumps(self.key_content, sort_keys=True, indent=1, ensure_ascii=False) + "\n"

    @cached_property
    def key(self) -> str:
        """SHA-256 of `key_json`, in hexadecimal."""
        return hashlib.sha256(self.key_json.encode()).hexdigest()

    def with_positions(self, positions: Iterable[int] | None) -> Plan:
        """Return the same plan for other 1-based positions (None = all)."""
        return replace(self, positions=check_positions(positions, self.length))
