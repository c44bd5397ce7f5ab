"""Which resolved residue each residue of a sequence is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from catjac_widgets.errors import SequenceError, StructureError
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Sequence
from catjac_widgets.structures.residues import UNKNOWN, ResolvedChain

#: Share of identical residues below which a chain is not taken for the sequence's own.
MINIMUM_IDENTITY = 0.7

#: Share of the shorter of sequence and chain that must be aligned.
MINIMUM_COVERAGE = 0.5


@dataclass(frozen=True, eq=False)
class Match:
    """How a sequence lies on a chain.

    Attributes
    ----------
    index
        Int array (L,): the resolved residue of each residue of the sequence, −1 where it has none.
    identical, aligned
        Residues that are the same, and that are laid on each other.
    shorter
        Length of the shorter of the two.
    """

    index: np.ndarray
    identical: int
    aligned: int
    shorter: int

    @property
    def identity(self) -> float:
        """Share of identical residues among those aligned."""
        return self.identical / self.aligned if self.aligned else 0.0

    @property
    def coverage(self) -> float:
        """Share of the shorter of sequence and chain that is aligned."""
        return self.aligned / self.shorter if self.shorter else 0.0


def match_chain(residues: str, chain: ResolvedChain) -> Match:
    """Lay a sequence on the resolved residues of a chain.

    An exact stretch is found at once. Otherwise residues that the numbering skips are put back as unknown, so
    that the sequence often fits without gaps; and what remains is aligned (BLOSUM62, affine gaps, ends free).
    """
    if chain.residues.count(residues) == 1:
        first = chain.residues.index(residues)
        return _made(residues, chain, np.arange(first, first + len(residues)))
    letters, origin = _with_missing(chain)
    index = _slide(residues, letters, origin)
    return _made(residues, chain, _align(residues, letters, origin) if index is None else index)


def _made(residues: str, chain: ResolvedChain, index: np.ndarray) -> Match:
    laid = index >= 0
    ours = np.array(list(residues))[laid]
    theirs = np.array(list(chain.residues))[index[laid]]
    # A residue that stands for no letter says nothing for or against the match.
    known = theirs != UNKNOWN
    return Match(
        index,
        identical=int((ours == theirs)[known].sum()),
        aligned=int(known.sum()),
        shorter=min(len(residues), len(chain) - chain.residues.count(UNKNOWN)),
    )


def _with_missing(chain: ResolvedChain) -> tuple[str, np.ndarray]:
    """Put an unknown letter for each missing residue; say where each letter comes from (−1: missing)."""
    letters: list[str] = []
    origin: list[int] = []
    for k, (letter, missing) in enumerate(zip(chain.residues, chain.missing_before, strict=True)):
        letters += [UNKNOWN] * missing + [letter]
        origin += [-1] * missing + [k]
    return "".join(letters), np.array(origin)


def _slide(residues: str, letters: str, origin: np.ndarray) -> np.ndarray | None:
    """Shift the sequence along the chain until all that overlaps is equal; None unless one shift does it."""
    ours, theirs = np.frombuffer(residues.encode(), np.uint8), np.frombuffer(letters.encode(), np.uint8)
    unknown = ord(UNKNOWN)
    wanted = min(len(ours), int((theirs != unknown).sum()))
    found = []
    for shift in range(1 - len(ours), len(theirs)):
        first, last = max(0, shift), min(len(theirs), shift + len(ours))
        part, own = theirs[first:last], ours[first - shift : last - shift]
        known = part != unknown
        same = int((part == own)[known].sum())
        # A short overlap at an end is equal by chance.
        if same == known.sum() and same >= 0.9 * wanted:
            found.append((first, last, shift))
    if len(found) != 1:
        return None
    first, last, shift = found[0]
    index = np.full(len(ours), -1)
    index[first - shift : last - shift] = origin[first:last]
    return index


def _align(residues: str, letters: str, origin: np.ndarray) -> np.ndarray:
    from biotite.sequence import ProteinSequence
    from biotite.sequence.align import SubstitutionMatrix, align_optimal

    def plain(text: str) -> ProteinSequence:
        alphabet = ProteinSequence.alphabet
        return ProteinSequence("".join(letter if letter in alphabet else UNKNOWN for letter in text))

    alignment = align_optimal(
        plain(residues),
        plain(letters),
        SubstitutionMatrix.std_protein_matrix(),
        gap_penalty=(-11, -1),
        terminal_penalty=False,
        max_number=1,
    )[0]
    index = np.full(len(residues), -1)
    for ours, theirs in alignment.trace:
        if ours >= 0 and theirs >= 0:
            index[ours] = origin[theirs]
    return index


def assign_chains(
    query: Sequence, chains: tuple[ResolvedChain, ...], name: str, minimum_identity: float
) -> list[tuple[int, Match]]:
    """Give each chain of the sequence the chain of the structure that it matches best, each used once."""
    free = list(range(len(chains)))
    known: dict[tuple[str, int], Match] = {}
    assigned = []
    for own in query.chains:
        best: tuple[tuple[int, bool], int, Match] | None = None
        for place in free:
            key = (own.residues, place)
            if key not in known:
                known[key] = match_chain(own.residues, chains[place])
            match = known[key]
            # Copies of one chain match equally well: the one of the same name, else the first, is meant.
            rank = (match.identical, chains[place].name == own.name)
            if best is None or rank > best[0]:
                best = rank, place, match
        if best is None:
            raise StructureError(
                f"The sequence has {len(query.chains)} chains, but {name} only {len(chains)} to choose from; "
                "name more with chain=…."
            )
        _, place, match = best
        if match.identity < minimum_identity or match.coverage < MINIMUM_COVERAGE:
            raise StructureError(
                f"The sequence does not fit chain {chains[place].name or '(blank)'} of {name}: "
                f"{match.identical} of {match.aligned} aligned residues are identical "
                f"({100 * match.identity:.0f} %), over {100 * match.coverage:.0f} % of the "
                "shorter of the two; give another structure or chain, or a lower minimum_identity."
            )
        free.remove(place)
        assigned.append((place, match))
    return assigned


def listed(chains: Iterable[ResolvedChain]) -> str:
    """Name chains with their lengths, for messages."""
    return ", ".join(f"{chain.name or '(blank)'} ({len(chain)} residues)" for chain in chains)


def as_query(sequence: Sequence | str) -> Sequence:
    """Read a sequence to map: unknown residues ("X") are allowed, since structures have them."""
    if isinstance(sequence, Sequence):
        return sequence
    try:
        return as_sequence(sequence, letters="ACDEFGHIKLMNPQRSTVWYUO" + UNKNOWN)
    except SequenceError as error:
        raise StructureError(f"The sequence to map cannot be read: {error}") from error
