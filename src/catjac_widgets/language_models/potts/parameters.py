"""Parameters of a Potts model: fields, couplings, their gauge, which residues they belong to; saving them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from catjac_widgets.errors import CheckpointError, ResourceError, SequenceError
from catjac_widgets.language_models.catalogue import in_bytes
from catjac_widgets.language_models.devices import physical_memory
from catjac_widgets.proteins.alphabets import ALIGNMENT_LETTERS, GAP
from catjac_widgets.proteins.sequences import MOST_RESIDUES

ALIGNMENT_STATES = ALIGNMENT_LETTERS + GAP

#: A residue that is not known.
UNKNOWN = "X"

#: A sequence takes a model's place if so many of the known residues are its own.
_ALIKE = 0.5


def check_size(columns: int, states: int, itemsize: int = 8) -> None:
    """Refuse a Potts model whose couplings would take more than half of this machine's memory.

    Raises
    ------
    ResourceError
        With both sizes.
    """
    needed, present = itemsize * (columns * states) ** 2, physical_memory() or 8 * 2**30
    if needed > present / 2:
        raise ResourceError(
            f"A Potts model of {columns:,} columns and {states} states takes {in_bytes(needed)}, more than "
            f"half of this machine's memory ({in_bytes(present)}); give one of fewer columns."
        )


@dataclass(frozen=True, eq=False)
class PottsParameters:
    """A Potts model over K columns with q states.

    Attributes
    ----------
    fields
        V, shape (K, q).
    couplings
        W, shape (K, q, K, q), symmetric (W[i,a,j,b] = W[j,b,i,a]), zero for i = j.
    letters
        The q states, in order; the gap may be one of them.
    sequence
        The residues (L ≥ K) that the columns belong to, X where one is not known; "" where none is, then L is
        as many as the columns need.
    columns
        Which of these residues (0-based) have a column, ascending; all by default.
    neff
        Effective number of sequences it was fitted to, NaN where unknown.
    residual
        How far from the optimum a fit stopped (see `fit_potts`), NaN where unknown.
    first_number
        The residue number that the first of the L residues bears, as the file's author counted.
    is_part
        Whether the query may have more residues before and after these L. plmc and GREMLIN write the numbers
        of their columns, but not how long the query is.
    """

    fields: np.ndarray
    couplings: np.ndarray
    letters: str = ALIGNMENT_STATES
    sequence: str = ""
    columns: tuple[int, ...] = ()
    neff: float = float("nan")
    residual: float = float("nan")
    first_number: int = 1
    is_part: bool = False

    def __post_init__(self) -> None:
        K, q = self.fields.shape
        if self.couplings.shape != (K, q, K, q) or len(self.letters) != q:
            raise CheckpointError(
                f"The Potts model has fields {self.fields.shape}, couplings {self.couplings.shape} and "
                f"{len(self.letters)} letters, which do not fit together."
            )
        if not self.columns:
            object.__setattr__(self, "columns", tuple(range(K)))
        steps = np.diff(self.columns)
        if len(self.columns) != K or (K and self.columns[0] < 0) or (steps < 1).any():
            raise CheckpointError(
                f"The Potts model has {K} columns, but {len(self.columns)} places, each to be given once "
                "and in ascending order."
            )
        if K and max(self.columns[-1], len(self.sequence)) >= MOST_RESIDUES:
            raise CheckpointError(
                f"The Potts model has a column at residue {self.columns[-1] + 1:,}; no protein has so many."
            )
        if len(set(self.letters)) != q:
            raise CheckpointError(f"The Potts model has a letter twice: {self.letters[:40]!r}.")
        if K and self.columns[-1] >= self.length:
            raise CheckpointError(
                f"The Potts model has a column at residue {self.columns[-1] + 1} of {self.length}."
            )

    @property
    def length(self) -> int:
        """L, the residues that the columns belong to and those between them."""
        return len(self.sequence) or (self.columns[-1] + 1 if self.columns else 0)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The residue numbers of the L residues, as text."""
        return tuple(str(self.first_number + k) for k in range(self.length))

    def first_residue(self, residues: str, *, what: str = "The Potts model") -> int:
        """Tell where in a sequence (0-based) the first of the L residues lies.

        A part is put where most of its known residues are found again, at least half of them; where none is
        known, or none is found, where its residue numbers say, for a sequence that is counted from 1.

        Parameters
        ----------
        residues
            The whole sequence; letters that are none of a residue's (hidden ones, say) count as not known.
        what
            The model's name, for messages.

        Raises
        ------
        SequenceError
            If the sequence has another length, or is too short for the columns, or fits nowhere.
        """
        L, more = self.length, len(residues) - self.length
        if not self.is_part:
            if more:
                raise SequenceError(
                    f"{what} is a model of {L} aligned residues, and the sequence has {len(residues)}; give "
                    "a sequence aligned to it, without gaps."
                )
            return 0
        told = self.first_number - 1
        if more < 0:
            raise SequenceError(
                f"{what} has columns from residue {self.first_number + self.columns[0]} to "
                f"{self.first_number + self.columns[-1]}, and the sequence only {len(residues)} residues; "
                "give the whole sequence, residues without a column too."
            )
        known = [k for k, letter in enumerate(self.sequence) if letter != UNKNOWN]
        if known:
            windows = np.lib.stride_tricks.sliding_window_view(np.array(list(residues)), L)
            alike = (windows[:, known] == np.array(list(self.sequence))[known]).sum(axis=1)
            best = np.flatnonzero(alike == alike.max()).tolist()
            if alike.max() >= _ALIKE * len(known):
                if len(best) > 1 and told not in best:
                    raise SequenceError(
                        f"{what} fits the sequence at {len(best)} places; give one whose numbers begin at 1."
                    )
                return told if told in best else best[0]
        if not 0 <= told <= more:
            if not more:
                return 0
            raise SequenceError(
                f"{what} begins at residue {self.first_number}, where the sequence has too few residues, "
                "and its letters fit nowhere in it; give the sequence that it was made for."
            )
        return told

    def of_query(self, residues: str) -> PottsParameters:
        """Give the same model over all residues of its query, numbered from 1.

        Raises
        ------
        SequenceError
            If the sequence is not its query.
        """
        if self.is_part:
            first = self.first_residue(residues)
            columns = tuple(first + column for column in self.columns)
            return replace(self, sequence=residues, columns=columns, first_number=1, is_part=False)
        known = self.sequence or UNKNOWN * self.length
        if len(residues) != len(known) or any(
            a not in (b, UNKNOWN) for a, b in zip(known, residues, strict=True)
        ):
            raise SequenceError(
                f"The sequence has {len(residues)} residues and is not the query of the couplings "
                f"({self.length} residues); give the same residues, with ':' between chains."
            )
        return replace(self, sequence=residues)

    @property
    def residue_letters(self) -> str:
        """The states without the gap."""
        return "".join(letter for letter in self.letters if letter not in "-.")

    def zero_sum(self) -> PottsParameters:
        """Give the same model in the zero-sum gauge: fields and couplings sum to 0 over every letter axis."""
        V, W = self.fields.astype(np.float64), self.couplings.astype(np.float64)
        mean_i = W.mean(axis=1, keepdims=True)
        mean_j = W.mean(axis=3, keepdims=True)
        both = W.mean(axis=(1, 3), keepdims=True)
        fields = V + (mean_i - both).sum(axis=(0, 1))
        fields = fields - fields.mean(axis=1, keepdims=True)
        return replace(self, fields=fields, couplings=W - mean_i - mean_j + both)

    def without_gap(self) -> tuple[np.ndarray, np.ndarray]:
        """Fields (K, A) and couplings (K, A, K, A) over the residues' letters."""
        keep = [self.letters.index(letter) for letter in self.residue_letters]
        return self.fields[:, keep], self.couplings[:, keep][:, :, :, keep]

    def save(self, path: str | Path) -> None:
        """Write ``.npz`` or ``.safetensors``, whichever the name ends in; couplings as float32.

        Raises
        ------
        CheckpointError
            For another ending.
        """
        path = Path(path)
        arrays: dict[str, np.ndarray] = {
            "fields": np.ascontiguousarray(self.fields, dtype=np.float32),
            "couplings": np.ascontiguousarray(self.couplings, dtype=np.float32),
            "columns": np.array(self.columns, dtype=np.int64),
            "neff": np.array([self.neff, self.residual]),
            "numbering": np.array([self.first_number, self.is_part], dtype=np.int64),
        }
        if path.suffix == ".safetensors":
            from safetensors.numpy import save_file

            save_file(arrays, path, metadata={"letters": self.letters, "sequence": self.sequence})
        elif path.suffix == ".npz":
            np.savez_compressed(path, letters=self.letters, sequence=self.sequence, **arrays)  # type: ignore[arg-type]
        else:
            raise CheckpointError(f"{path.name}: a Potts model is saved as .npz or .safetensors.")
