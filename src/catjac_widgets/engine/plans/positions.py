"""Positions that a person asks for: whole 1-based numbers of residues."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from catjac_widgets.errors import UsageError
from catjac_widgets.input_files import shown


def check_positions(positions: Iterable[int] | int | None, length: int) -> tuple[int, ...]:
    """Return 1-based positions as a tuple; None means all.

    Raises
    ------
    UsageError
        If it is no list of them or empty, one is no whole number, lies outside 1 … L, or comes twice.
    """
    if positions is None:
        return tuple(range(1, length + 1))
    if isinstance(positions, int | np.integer):
        listed: list[Any] = [positions]
    else:
        try:
            # An iterator may have no end.
            listed = list(itertools.islice(iter(positions), length + 1))
        except TypeError as error:
            raise UsageError(
                f"positions={shown(repr(positions))} is no list of positions; give whole 1-based ones such "
                "as range(1, 21)."
            ) from error
    if not listed:
        raise UsageError("positions is empty; give 1-based positions, or leave it out for all of them.")
    made = []
    for position in listed:
        if isinstance(position, bool | np.bool_) or not isinstance(position, int | np.integer):
            raise UsageError(
                f"positions holds {shown(repr(position))}; give whole 1-based positions such as range(1, 21)."
            )
        if not 1 <= position <= length:
            raise UsageError(
                f"Position {position} is outside the sequence's 1–{length}; positions count from 1."
            )
        made.append(int(position))
    if len(set(made)) < len(made):
        twice = next(position for position, times in Counter(made).items() if times > 1)
        raise UsageError(f"Position {twice} was asked for twice; give each position once.")
    return tuple(made)
