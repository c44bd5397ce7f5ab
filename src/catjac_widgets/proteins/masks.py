"""Masks and fragments: which residues the model may see."""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from catjac_widgets.errors import MaskError
from catjac_widgets.input_files import shown
from catjac_widgets.proteins.sequences import MOST_RESIDUES, Sequence

Fragment = tuple[int, int]

_FLAT = "A mask is a flat list of True (masked) and False, one a residue"


@dataclass(frozen=True)
class Mask:
    """Which positions of a sequence of L residues are hidden from the model.

    Parameters
    ----------
    masked
        One bool a residue, True = masked (hidden).
    """

    masked: tuple[bool, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.masked, tuple) or not set(map(type, self.masked)) <= {bool}:
            raise MaskError(f"{_FLAT}, not {shown(repr(self.masked)[:1000])}.")

    @classmethod
    def none(cls, sequence: Sequence | str | int) -> Mask:
        """Everything visible."""
        return cls((False,) * _length(sequence))

    @classmethod
    def everything(cls, sequence: Sequence | str | int) -> Mask:
        """Everything masked."""
        return cls((True,) * _length(sequence))

    @classmethod
    def showing(cls, sequence: Sequence | str | int, fragments: Iterable[Fragment]) -> Mask:
        """Mask all but the fragments, each (first, last) 1-based with both ends included.

        Raises
        ------
        MaskError
            If a fragment is empty, reversed or outside 1 … L.
        """
        return cls.everything(sequence)._set(fragments, False)

    @classmethod
    def hiding(cls, sequence: Sequence | str | int, fragments: Iterable[Fragment]) -> Mask:
        """Mask the fragments only, each (first, last) 1-based with both ends included.

        Raises
        ------
        MaskError
            If a fragment is empty, reversed or outside 1 … L.
        """
        return cls.none(sequence)._set(fragments, True)

    @classmethod
    def from_array(cls, masked: Iterable[bool] | np.ndarray) -> Mask:
        """One bool a residue, True = masked."""
        if isinstance(masked, np.ndarray):
            flat = masked.tolist()
        else:
            try:
                # An iterator may have no end.
                flat = list(itertools.islice(iter(masked), MOST_RESIDUES + 1))
            except TypeError:
                flat = masked
        if not isinstance(flat, list) or not flat:
            raise MaskError(f"{_FLAT}, not {shown(repr(flat))}.")
        return cls(tuple(bool(each) if isinstance(each, np.bool_) else each for each in flat))

    def _set(self, fragments: Iterable[Fragment], value: bool) -> Mask:
        masked = list(self.masked)
        for fragment in fragments:
            try:
                first, last = (operator.index(end) for end in fragment)
            except (TypeError, ValueError) as error:
                raise MaskError(
                    f"A fragment is a pair (first, last) of whole positions, not {shown(repr(fragment))}."
                ) from error
            if not 1 <= first <= last <= len(masked):
                raise MaskError(
                    f"Fragment {first}–{last} does not lie within the positions 1–{len(masked)}; "
                    "give (first, last), both included."
                )
            masked[first - 1 : last] = [value] * (last - first + 1)
        return Mask(tuple(masked))

    def __len__(self) -> int:
        return len(self.masked)

    def __invert__(self) -> Mask:
        return Mask(tuple(not value for value in self.masked))

    def __or__(self, other: Mask) -> Mask:
        return self._with(other, operator.or_)

    def __and__(self, other: Mask) -> Mask:
        return self._with(other, operator.and_)

    def _with(self, other: Mask, combine: Callable[[bool, bool], bool]) -> Mask:
        if len(self) != len(other):
            raise MaskError(
                f"Masks of {len(self)} and of {len(other)} residues cannot be combined; make both anew."
            )
        return Mask(tuple(map(combine, self.masked, other.masked)))

    @property
    def array(self) -> np.ndarray:
        """Bool array of length L, True = masked."""
        return np.array(self.masked, dtype=bool)

    @property
    def visible(self) -> np.ndarray:
        """1-based positions that the model sees."""
        return np.flatnonzero(~self.array) + 1

    @property
    def fragments(self) -> tuple[Fragment, ...]:
        """The visible runs as (first, last), 1-based, both ends included, in order."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], ~self.array, [False]]).astype(np.int8)))
        return tuple((int(first) + 1, int(last)) for first, last in edges.reshape(-1, 2))

    def __bool__(self) -> bool:
        """Whether anything is masked."""
        return any(self.masked)

    def __str__(self) -> str:
        """Write the visible fragments, for instance "12-22,80-90" ("" where nothing is visible)."""
        return ",".join(f"{first}-{last}" if first < last else f"{first}" for first, last in self.fragments)

    @classmethod
    def parse(cls, sequence: Sequence | str | int, text: str) -> Mask:
        """Mask all but the fragments written as "12-22,80-90"; the inverse of `str`.

        Raises
        ------
        MaskError
            If the text is not a list of ranges within 1 … L.
        """
        fragments = []
        for part in filter(None, (piece.strip() for piece in text.replace("–", "-").split(","))):
            first, dash, last = (end.strip() for end in part.partition("-"))
            # The longest number that any position has; Python refuses to read very long ones.
            if not re.fullmatch(r"[0-9]{1,9}", first) or (dash and not re.fullmatch(r"[0-9]{1,9}", last)):
                raise MaskError(f"{shown(part)!r} is not a fragment; write ranges such as 12-22,80-90.")
            fragments.append((int(first), int(last or first)))
        return cls.showing(sequence, fragments)


def as_mask(mask: Mask | np.ndarray | Iterable[bool] | None, sequence: Sequence) -> Mask:
    """Make a mask of what a caller passed (None = nothing masked) and check that it fits the sequence.

    Raises
    ------
    MaskError
        If its length is not the sequence's.
    """
    if mask is None:
        return Mask.none(sequence)
    made = mask if isinstance(mask, Mask) else Mask.from_array(mask)
    if len(made) != len(sequence):
        raise MaskError(
            f"The mask covers {len(made)} residues but the sequence has {len(sequence)}; make it anew."
        )
    return made


def _length(sequence: Sequence | str | int) -> int:
    return sequence if isinstance(sequence, int) else len(sequence)
