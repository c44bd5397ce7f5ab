"""Sequences: residues, chains and numbering, and the ways in which people write them down."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from catjac_widgets.errors import SequenceError
from catjac_widgets.proteins.alphabets import ESM_LETTERS

CHAIN_NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class Chain:
    """One chain: its name, its residues and the number that each residue bears.

    Parameters
    ----------
    name
        "A", "B", … as a structure calls it.
    residues
        One letter a residue.
    numbers
        One text a residue, insertion codes included ("52", "52A"); 1 … L by default.
    """

    name: str
    residues: str
    numbers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.numbers:
            object.__setattr__(self, "numbers", tuple(str(k + 1) for k in range(len(self.residues))))
        if len(self.numbers) != len(self.residues):
            raise SequenceError(
                f"Chain {self.name} has {len(self.residues)} residues but {len(self.numbers)} residue "
                "numbers; give one number a residue."
            )

    def __len__(self) -> int:
        return len(self.residues)


@dataclass(frozen=True)
class Sequence:
    """One protein (or complex): chains in order, with positions 1 … L running over all of them.

    Made by `as_sequence` from whatever a person has; equality and hash go by chains, not by name.
    """

    chains: tuple[Chain, ...]
    name: str = field(default="", compare=False)

    @cached_property
    def residues(self) -> str:
        """All residues, chain after chain, without separator."""
        return "".join(chain.residues for chain in self.chains)

    def __len__(self) -> int:
        return len(self.residues)

    def __str__(self) -> str:
        return ":".join(chain.residues for chain in self.chains)

    @property
    def positions(self) -> np.ndarray:
        """Int array 1 … L: the value of the coordinates `pos_in` and `pos_out`."""
        return np.arange(1, len(self) + 1)

    @cached_property
    def chain_names(self) -> tuple[str, ...]:
        """The chain's name, once a residue."""
        return tuple(chain.name for chain in self.chains for _ in chain.residues)

    @cached_property
    def chain_index(self) -> np.ndarray:
        """The chain's place (0, 1, …), once a residue; int array of length L."""
        return np.repeat(np.arange(len(self.chains)), [len(chain) for chain in self.chains])

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """The residue numbers as text, once a residue."""
        return tuple(number for chain in self.chains for number in chain.numbers)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What a person calls each residue: "K24", or "B:K24" where there are several chains."""
        prefix = len(self.chains) > 1
        return tuple(
            f"{chain}:{residue}{number}" if prefix else f"{residue}{number}"
            for chain, residue, number in zip(self.chain_names, self.residues, self.numbers, strict=True)
        )

    def check(self, letters: str = ESM_LETTERS, *, unknown: Mapping[str, str] | None = None) -> Sequence:
        """Return the sequence in `letters` only, mapping the others with `unknown`.

        Parameters
        ----------
        letters
            The allowed letters.
        unknown
            What to put for other letters, for instance ``{"U": "C", "X": "A"}``; without it they are refused.

        Raises
        ------
        SequenceError
            For an empty chain, or naming the first residue that is none of `letters`.
        """
        if not self.chains or not len(self):
            raise SequenceError("The sequence is empty; give at least two residues.")
        table = {key.upper(): value.upper() for key, value in (unknown or {}).items()}
        for key, value in table.items():
            if len(key) != 1 or len(value) != 1 or value not in letters:
                raise SequenceError(
                    f"unknown= puts {value!r} for {key!r}; give one letter for one, of {', '.join(letters)}."
                )
        checked = []
        for chain in self.chains:
            if not len(chain):
                raise SequenceError(f"Chain {chain.name} is empty; remove a ':' or give its residues.")
            # Letters that the model knows are never mapped away.
            known = (letter if letter in letters else table.get(letter, letter) for letter in chain.residues)
            residues = "".join(known)
            for index, letter in enumerate(residues):
                if letter not in letters:
                    where = f" of chain {chain.name}" if len(self.chains) > 1 else ""
                    raise SequenceError(
                        f"residue {index + 1}{where} is {letter!r}; only {', '.join(sorted(letters))} are "
                        f"allowed (to replace it, pass unknown={{{letter!r}: 'A'}})."
                    )
            checked.append(Chain(chain.name, residues, chain.numbers))
        return Sequence(tuple(checked), self.name)

    def position_of(self, number: int | str, chain: str | None = None) -> int:
        """Find the position (1 … L) of the residue with that number in that chain.

        Raises
        ------
        SequenceError
            If there is no such residue, or several chains have one and `chain` was not given.
        """
        found = [
            position
            for position, (name, text) in enumerate(zip(self.chain_names, self.numbers, strict=True), start=1)
            if text == str(number) and chain in (None, name)
        ]
        if len(found) == 1:
            return found[0]
        within = f" in chain {chain}" if chain else ""
        if not found:
            raise SequenceError(f"There is no residue number {number}{within}.")
        if len({self.chain_names[position - 1] for position in found}) == 1:
            raise SequenceError(f"Residue number {number} occurs {len(found)} times{within}; use positions.")
        raise SequenceError(f"Residue number {number} exists in several chains; name one with chain=….")


def as_sequence(
    what: Sequence | str | Path,
    *,
    name: str = "",
    unknown: Mapping[str, str] | None = None,
    letters: str = ESM_LETTERS,
) -> Sequence:
    """Read one sequence from text: plain, pasted FASTA, or chains joined by ":".

    Spaces, digits as in GenBank listings, line breaks, lower case and a `*` at the end are forgiven; any
    other letter that is not in `letters` is refused with its position.

    Parameters
    ----------
    what
        A `Sequence`, a text, or the path (`pathlib.Path`) of a FASTA file with one record.
    name
        Name to give; a FASTA header's first word otherwise.
    unknown
        See `Sequence.check`.
    letters
        The allowed letters.

    Raises
    ------
    SequenceError
        Empty text, several records, or a residue that is not one of `letters`.
    """
    if isinstance(what, Sequence):
        return Sequence(what.chains, name or what.name).check(letters, unknown=unknown)
    if not isinstance(what, str | Path):
        raise SequenceError(
            f"A sequence is text, a path or a catjac Sequence, not {type(what).__name__}; "
            "give its one-letter residues."
        )
    records = list(read_fasta(what))
    if len(records) > 1:
        raise SequenceError(
            f"The FASTA text holds {len(records)} records; choose one, or join chains of a complex with ':'."
        )
    record = records[0]
    return Sequence(record.chains, name or record.name).check(letters, unknown=unknown)


def read_fasta(what: str | Path) -> Iterator[Sequence]:
    """Read FASTA records, or one bare sequence, from a text or a file; letters are not checked yet.

    Parameters
    ----------
    what
        A text, pasted as it is, or a `pathlib.Path`.

    Yields
    ------
    Sequence
        One a record, upper case, named by the first word of its header; chains A, B, … where ":" divides it.

    Raises
    ------
    SequenceError
        If there is no residue at all, a record is empty or the file cannot be read.
    """
    if isinstance(what, Path):
        try:
            text = what.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SequenceError(f"The FASTA file {what} cannot be read ({error}); check the path.") from error
        source = f"the FASTA file {what}"
    else:
        text, source = what, "the sequence"
    # Line ends of every system; ";" lines are comments in the old FASTA format.
    lines = [line for line in text.lstrip("\ufeff").splitlines() if not line.lstrip().startswith(";")]
    text = "\n".join(lines).strip()
    if not text:
        raise SequenceError(f"There is nothing in {source}; give at least two residues.")
    blocks = re.split(r"^\s*>", text, flags=re.MULTILINE)
    if blocks[0].strip():
        if len(blocks) > 1:
            raise SequenceError(f"There are residues before the first '>' header in {source}; remove them.")
        yield _record("", blocks[0].splitlines())
        return
    for block in blocks[1:]:
        header, _, body = block.partition("\n")
        yield _record(header.strip(), body.splitlines())


def _record(header: str, lines: Iterable[str]) -> Sequence:
    name = header.split()[0] if header else ""
    # Digits and blanks come with listings pasted from databases.
    body = "".join(lines)
    body = re.sub(r"[\s\d]", "", body).upper()
    parts = [part.removesuffix("*") for part in body.split(":")]
    if not any(parts):
        raise SequenceError(f"The record {name!r} has no residues." if name else "The sequence is empty.")
    if len(parts) > len(CHAIN_NAMES):
        raise SequenceError(f"{len(parts)} chains are more than the {len(CHAIN_NAMES)} that can be named.")
    return Sequence(tuple(Chain(CHAIN_NAMES[k], part) for k, part in enumerate(parts)), name)
