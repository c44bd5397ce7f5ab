"""Traits of what views share: pairs, runs of residues, blocks and names of maps, checked as they are set."""

from __future__ import annotations

import operator
from typing import Any

import traitlets

#: Names of the maps that a view may have by itself; further ones bear the names that Python gave them.
LIVE, HEAD, UNMASKED, UNMASKED_HEAD, FORMER_MAP, NATIVE = MAP_NAMES = (
    "map",
    "head",
    "unmasked",
    "unmasked head",
    "former",
    "native",
)

Pair = tuple[int, int]

#: Runs of residues (first, last): those substituted (rows) and those read (columns).
Brush = tuple[Pair, Pair]


class PairTrait(traitlets.TraitType[Any, Any]):
    """Two 1-based positions, or None."""

    info_text = "a pair of 1-based positions (i, j), or None"
    default_value = None
    allow_none = True

    def validate(self, obj: Any, value: Any) -> Pair | None:
        """Make plain ints of whatever counts as two whole numbers."""
        try:
            i, j = (operator.index(position) for position in value)
        except (TypeError, ValueError):
            self.error(obj, value)
        return (i, j)


class ResiduesTrait(traitlets.TraitType[Any, Any]):
    """Runs (first, last) of 1-based positions, both ends included."""

    info_text = "a list of runs (first, last) of 1-based positions"
    default_value: tuple[Pair, ...] = ()

    def validate(self, obj: Any, value: Any) -> tuple[Pair, ...]:
        """Make tuples of plain ints of whatever counts as runs."""
        try:
            runs = tuple((operator.index(first), operator.index(last)) for first, last in value)
        except (TypeError, ValueError):
            self.error(obj, value)
        if any(first > last for first, last in runs):
            self.error(obj, value)
        return runs


class BrushTrait(traitlets.TraitType[Any, Any]):
    """A block of pairs: runs (first, last) of rows and of columns, 1-based, ends included; or None."""

    info_text = "a block ((first, last), (first, last)) of rows and columns, 1-based, or None"
    default_value = None
    allow_none = True

    def validate(self, obj: Any, value: Any) -> Brush | None:
        """Make tuples of plain ints of whatever counts as two runs."""
        try:
            rows, columns = value
            (i0, i1), (j0, j1) = (tuple(operator.index(end) for end in run) for run in (rows, columns))
        except (TypeError, ValueError):
            self.error(obj, value)
        if i0 > i1 or j0 > j1:
            self.error(obj, value)
        return (i0, i1), (j0, j1)


class MapsTrait(traitlets.TraitType[Any, Any]):
    """Names of the maps above and below the diagonal; one name means both."""

    info_text = "a map's name, or two: (above the diagonal, below it)"
    default_value = (LIVE, LIVE)

    def validate(self, obj: Any, value: Any) -> tuple[str, str]:
        """Make a tuple of one or two names."""
        names = (value, value) if isinstance(value, str) else value
        if (
            not isinstance(names, tuple | list)
            or len(names) != 2
            or not all(isinstance(n, str) for n in names)
        ):
            self.error(obj, value)
        upper, lower = names
        return upper, lower
