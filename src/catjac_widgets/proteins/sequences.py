"""Sequences: residues, chains and residue numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np

from catjac_widgets.errors import SequenceError
from catjac_widgets.proteins.alphabets import ESM_LETTERS, upper_case

#: Strands of DNA on which an element may lie, as written before it: <+> and <->.
STRANDS = "+-"

CHAIN_NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


#: Residues of a protein or complex at most: the largest known protein has 45,000, a virus's shell 200,000.
MOST_RESIDUES = 10**6


@lru_cache(maxsize=1024)
def _counted(length: int) -> tuple[str, ...]:
    """Give the numbers 1 … L as text; proteins of a length share them, of which a FASTA file has many."""
    return tuple(str(k + 1) for k in range(length))


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
    strand
        "+" or "-" where it is known on which strand of DNA the chain is encoded, "" otherwise. Genomic models
        are told.
    """

    name: str
    residues: str
    numbers: tuple[str, ...] = ()
    strand: str = ""

    def __post_init__(self) -> None:
        if self.strand and self.strand not in STRANDS:
            raise SequenceError(f"Chain {self.name} is on the strand {self.strand!r}; give '+' or '-'.")
        if not self.numbers:
            object.__setattr__(self, "numbers", _counted(len(self.residues)))
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
    def strands(self) -> str:
        """One of "+" and "-" a chain, "+" where it was given for others only; "" where none was given."""
        if not any(chain.strand for chain in self.chains):
            return ""
        return "".join(chain.strand or STRANDS[0] for chain in self.chains)

    def on_strands(self, strands: str) -> Sequence:
        """Return the sequence with one of "+" and "-" a chain; with "", no strand is said.

        Raises
        ------
        SequenceError
            If they are not one a chain.
        """
        if strands and len(strands) != len(self.chains):
            raise SequenceError(
                f"{len(self.chains)} chains have no {len(strands)} strands; give one a chain."
            )
        given = strands or [""] * len(self.chains)
        if [chain.strand for chain in self.chains] == list(given):
            return self
        chains = (replace(chain, strand=each) for chain, each in zip(self.chains, given, strict=True))
        return Sequence(tuple(chains), self.name)

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
        # Where case tells letters apart it counts here, too.
        written = upper_case if letters == upper_case(letters) else str
        table = {written(key): written(value) for key, value in (unknown or {}).items()}
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
            checked.append(replace(chain, residues=residues))
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
