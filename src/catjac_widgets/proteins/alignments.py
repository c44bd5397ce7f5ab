"""Alignments of a protein family: reading them, weights of the rows, columns worth using."""

from __future__ import annotations

import re
from collections.abc import Sequence as Listed
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from catjac_widgets.errors import SequenceError, UsageError
from catjac_widgets.input_files import megabytes, read_file, shown, user_path
from catjac_widgets.progress import progress_bar
from catjac_widgets.proteins.alphabets import ALIGNMENT_LETTERS, DNA_LETTERS, GAP, RNA_LETTERS

#: Rows at least this alike count as one sequence together.
IDENTITY = 0.8

#: Pairs of rows compared at a time, few enough for a processor's cache.
_BLOCK = 2**16

#: Bytes of an alignment that are read at most, unpacked.
LARGEST_ALIGNMENT = 256 * 2**20

#: Lines of an alignment that are read at most: a row is some hundred bytes of memory, however short.
_MOST_LINES = 4 * 10**6

#: What else stands in an alignment of nucleotides: unknown ones and gaps.
_NUCLEOTIDES = frozenset(DNA_LETTERS + RNA_LETTERS + "N" + GAP)


@dataclass(frozen=True, eq=False)
class Alignment:
    """Aligned sequences as numbers.

    Attributes
    ----------
    states
        int8 (N, L): the place of each letter in `letters`; unknown letters are gaps.
    letters
        The alphabet; its last letter is the gap.
    query
        The first row's residues (L letters, gaps included).
    name
        The first row's name.
    """

    states: np.ndarray
    letters: str = ALIGNMENT_LETTERS + GAP
    query: str = ""
    name: str = ""

    def __len__(self) -> int:
        return len(self.states)

    @property
    def length(self) -> int:
        """L, the number of columns."""
        return int(self.states.shape[1])

    @property
    def gap(self) -> int:
        """The state of a gap."""
        return len(self.letters) - 1

    @cached_property
    def gap_fractions(self) -> np.ndarray:
        """Share of gaps in each column (unweighted), float64 (L,)."""
        return (self.states == self.gap).mean(axis=0)

    def columns_below(self, gap_fraction: float = 0.5) -> np.ndarray:
        """List the columns (0-based) with a smaller share of gaps than that.

        Raises
        ------
        SequenceError
            If fewer than two are left.
        """
        found = np.flatnonzero(self.gap_fractions < gap_fraction)
        if len(found) < 2:
            raise SequenceError(
                f"Only {len(found)} of {self.length} columns have fewer than {gap_fraction:.0%} gaps; "
                "couplings need two."
            )
        return found

    def with_columns(self, columns: np.ndarray | Listed[int]) -> Alignment:
        """Return the alignment of these columns (0-based) only."""
        chosen = np.asarray(columns, dtype=int)
        return replace(
            self,
            states=self.states[:, chosen],
            query="".join(self.query[k] for k in chosen) if self.query else "",
        )

    def save(self, path: str | Path) -> None:
        """Write it as A3M: the first row under its name, the others numbered."""
        letters = np.array(list(self.letters))
        rows = ("".join(letters[row]) for row in self.states)
        names = [self.name or "1", *map(str, range(2, len(self) + 1))]
        text = "".join(f">{name}\n{row}\n" for name, row in zip(names, rows, strict=True))
        Path(path).write_text(text, encoding="utf-8")

    def weights(self, identity: float = IDENTITY) -> np.ndarray:
        """Give each row 1 / (number of rows at least so identical, itself included), float64 (N,).

        A gap counts as a letter. Their sum is the effective number of sequences.
        """
        N, L = self.states.shape
        # A count of equal letters is a whole number, so that the limit is met exactly.
        most = L - int(np.ceil(identity * L - 1e-9))
        planes = self._bit_planes()
        neighbours = np.ones(N)
        step = max(1, _BLOCK // N)
        for first in range(0, N, step):
            rows = slice(first, min(first + step, N))
            alike = _differences(planes[..., rows, None], planes[..., None, first:]) <= most
            # Each pair is compared once, and counts for both.
            upper = np.arange(N - first)[None] > np.arange(rows.stop - first)[:, None]
            alike &= upper
            neighbours[rows] += alike.sum(axis=1)
            neighbours[first:] += alike.sum(axis=0)
        return 1.0 / neighbours

    def _bit_planes(self) -> np.ndarray:
        """Write bit p of the states of 64 columns as one number: uint64 (p, columns / 64, N)."""
        N, L = self.states.shape
        bits = max(1, (len(self.letters) - 1).bit_length())
        planes = np.zeros((bits, -(-L // 64), N), dtype=np.uint64)
        for column in range(L):
            states = self.states[:, column].astype(np.uint64)
            for p in range(bits):
                planes[p, column // 64] |= (states >> np.uint64(p) & np.uint64(1)) << np.uint64(column % 64)
        return planes

    def most_diverse(self, count: int, *, progress: bool = False) -> np.ndarray:
        """Choose rows that differ most: the first, then each time the one farthest from all chosen before.

        Parameters
        ----------
        count
            How many; all where there are no more.
        progress
            Whether to show a bar if it takes a while.

        Returns
        -------
        np.ndarray
            Their places (0-based), ascending.

        Notes
        -----
        The distance of two rows is the number of columns in which they differ, a gap counting as a letter;
        the farthest row has the largest mean of it (the first of several). So Rao et al. (2021), MSA
        Transformer, ICML, choose the rows that their model is given.
        """
        N = len(self)
        if count >= N:
            return np.arange(N)
        planes = self._bit_planes()
        chosen, total = [0], np.zeros(N, dtype=np.int64)
        with progress_bar("Choosing rows of the alignment", count, unit="row", shown=progress) as bar:
            while len(chosen) < count:
                total += _differences(planes[..., chosen[-1], None], planes)
                total[chosen] = -1
                chosen.append(int(total.argmax()))
                bar.advance()
        return np.sort(chosen)

    def effective_number(self, identity: float = IDENTITY) -> float:
        """Neff, the sum of the weights."""
        return float(self.weights(identity).sum())


def _differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Count columns in which rows differ, from their bit planes (p, words, …), which broadcast."""
    count: np.ndarray = np.zeros((), dtype=np.int64)
    for word in range(a.shape[1]):
        differ = a[0, word] ^ b[0, word]
        for p in range(1, len(a)):
            differ |= a[p, word] ^ b[p, word]
        count = count + np.bitwise_count(differ)
    return count


def read_alignment(what: str | Path, *, letters: str | None = None) -> Alignment:
    """Read aligned FASTA or A3M.

    Lower-case letters and dots (insertions relative to the query) are left out; letters that are none of
    `letters` (X, B, …) become gaps. A file without headers holds one sequence a line, as for CCMpred.

    Parameters
    ----------
    what
        The path of a file (also ``.gz``), or the text itself (it holds a ">").
    letters
        The alphabet, its last letter the gap. By default that of proteins; of RNA (ACGU-) or DNA (ACGT-) if
        there is no other letter than nucleotides, N and gaps.

    Raises
    ------
    SequenceError
        If it cannot be read, holds no sequence, or rows differ in length.
    UsageError
        If `letters` is no alphabet.
    """
    if letters is not None and (len(set(letters)) != len(letters) or len(letters) < 2 or GAP in letters[:-1]):
        raise UsageError(
            f"letters={letters!r} is no alphabet of an alignment; give each letter once, the gap last."
        )
    text = _text(what)
    names: list[str] = []
    rows: list[list[str]] = []
    if len(text) > LARGEST_ALIGNMENT or text.count("\n") + text.count("\r") > _MOST_LINES:
        raise SequenceError(
            f"The alignment has more than the {megabytes(LARGEST_ALIGNMENT)} or {_MOST_LINES:,} lines that "
            "are read; cluster its sequences, or take a part of them."
        )
    without_headers = ">" not in text
    for found in re.finditer(r"[^\r\n]+", text):  # never all lines at once
        line = found[0]
        if line.startswith(">"):
            words = line[1:].split(maxsplit=1)
            names.append(words[0] if words else "")
            rows.append([])
        elif (plain := line.strip()) and not line.startswith(("#", ";")):
            if without_headers:
                names.append("")
                rows.append([])
            elif not rows:
                raise SequenceError("The alignment does not begin with a '>' header; give FASTA or A3M.")
            rows[-1].append(plain)
    if not rows:
        raise SequenceError("The alignment holds no sequence; give FASTA or A3M.")
    insertions = str.maketrans("", "", "abcdefghijklmnopqrstuvwxyz.*")
    joined = ["".join(parts).translate(insertions) for parts in rows]
    length = len(joined[0])
    for number, row in enumerate(joined, start=1):
        if len(row) != length or not length:
            raise SequenceError(
                f"Row {number} of the alignment ({shown(names[number - 1]) or 'no name'}) has {len(row)} "
                f"columns, the first {length}; give all rows aligned."
            )
    if letters is None:
        letters = _alphabet_of(set().union(*joined))
    table = np.full(256, len(letters) - 1, dtype=np.int8)
    table[[ord(letter) for letter in letters]] = np.arange(len(letters), dtype=np.int8)
    content = "".join(joined).encode("ascii", "replace")
    states = table[np.frombuffer(content, np.uint8)].reshape(len(joined), length)
    return Alignment(states, letters, joined[0], names[0])


def _alphabet_of(found: set[str]) -> str:
    if not found <= _NUCLEOTIDES or not found & set(DNA_LETTERS + RNA_LETTERS):
        return ALIGNMENT_LETTERS + GAP
    return (RNA_LETTERS if "U" in found else DNA_LETTERS) + GAP


def as_alignment(what: Alignment | str | Path) -> Alignment:
    """Take an alignment as it is, or read it; see `read_alignment`."""
    return what if isinstance(what, Alignment) else read_alignment(what)


def _text(what: str | Path) -> str:
    if isinstance(what, str) and ">" in what:
        return what
    content = read_file(user_path(what), limit=LARGEST_ALIGNMENT, error=SequenceError, noun="alignment")
    return content.decode("utf-8", "replace")
