"""The rows of an alignment that an MSA Transformer is given."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from catjac_widgets.errors import SequenceError, UsageError
from catjac_widgets.language_models.msa_transformer.published import DEFAULT_DEPTH
from catjac_widgets.proteins.alignments import Alignment, read_alignment
from catjac_widgets.proteins.alphabets import ESM_LETTERS, GAP

#: What may stand in a row: the amino acids, letters for others and for unknown ones, and the gap.
LETTERS = f"{ESM_LETTERS}XBUZO{GAP}"

#: The place in `LETTERS` of each ASCII code, -1 of what is none.
_STATE_OF = np.array([LETTERS.find(chr(code)) for code in range(256)], dtype=np.int8)

#: Changes whenever other rows of the same alignment would be read.
VERSION = "rows 1"


@dataclass(frozen=True, eq=False)
class AlignedRows:
    """Rows of an alignment, the query first, in the columns of the query's residues.

    Attributes
    ----------
    letters
        uint8 (R, L): ASCII of what stands there, of `LETTERS`.
    """

    letters: np.ndarray

    def __len__(self) -> int:
        return len(self.letters)

    @property
    def query(self) -> str:
        """The first row, L letters."""
        return self.letters[0].tobytes().decode("ascii")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the rows; the query's own letters count too."""
        digest = hashlib.sha256(f"{VERSION} {self.letters.shape} ".encode())
        digest.update(np.ascontiguousarray(self.letters).data)
        return digest.hexdigest()


def choose_rows(
    alignment: Alignment | str | Path, depth: int = DEFAULT_DEPTH, *, progress: bool = False
) -> AlignedRows:
    """Choose the rows of an alignment that are read; insertions are left out.

    Parameters
    ----------
    alignment
        An `Alignment`, or the path (or text) of A3M or aligned FASTA; the first row is the query. Columns
        in which the query has a gap are left out as well, and then rows without any residue.
    depth
        How many rows at most; of more, those are taken that differ most, see `Alignment.most_diverse`.
    progress
        Whether to show a bar if it takes a while.

    Raises
    ------
    SequenceError
        If it cannot be read, or its first row has no residue.
    UsageError
        If the depth is no number of rows.
    """
    if isinstance(depth, bool) or not isinstance(depth, int | np.integer) or depth < 1:
        raise UsageError(f"depth={depth!r} is no number of rows; give 1 (the query alone) or more.")
    if not isinstance(alignment, Alignment):
        alignment = read_alignment(alignment, letters=LETTERS)
    if not set(alignment.letters) <= set(LETTERS):
        raise SequenceError(
            f"The alignment's letters are {alignment.letters}; the MSA Transformer reads proteins "
            f"({LETTERS})."
        )
    codes = np.frombuffer(alignment.letters.encode("ascii"), np.uint8)
    letters = codes[alignment.states]
    if alignment.query:
        # Its letters as they were read: those that the alignment's alphabet lacks are gaps in its states.
        query = np.frombuffer(alignment.query.encode("ascii", "replace"), np.uint8)
        letters[0] = np.where(_STATE_OF[query] >= 0, query, ord("X"))
    letters = letters[:, letters[0] != ord(GAP)]
    if not letters.shape[1]:
        raise SequenceError("The first row of the alignment, which is the query, has no residue.")
    letters = letters[(letters != ord(GAP)).any(axis=1)]
    chosen = Alignment(_STATE_OF[letters], LETTERS).most_diverse(int(depth), progress=progress)
    return AlignedRows(letters[chosen])


def settings_of(digest: str) -> dict[str, str | int]:
    """Say what of the alignment decides the logits; the version changes whenever they would be others.

    Parameters
    ----------
    digest
        See `AlignedRows.digest`.
    """
    return {"version": 1, "rows": digest}


def attributes_of(rows: int) -> tuple[tuple[str, str], ...]:
    """Say what Jacobians tell of the alignment; see `LanguageModel.attributes`."""
    return (("alignment_rows", str(rows)),)


def check_size(length: int, rows: int, name: str, most_residues: int | None, most_rows: int | None) -> None:
    """Refuse an alignment that is larger than the network can read.

    Raises
    ------
    SequenceError
        Saying which way.
    """
    if most_residues is not None and length > most_residues:
        raise SequenceError(
            f"The alignment's query has {length:,} residues, but {name} takes at most "
            f"{most_residues:,}; cut the alignment into domains."
        )
    if most_rows is not None and rows > most_rows:
        raise SequenceError(
            f"{name} would read {rows:,} rows of the alignment, but it takes at most {most_rows:,}; ask "
            "for a smaller depth."
        )
