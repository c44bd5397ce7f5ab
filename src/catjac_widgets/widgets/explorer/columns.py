"""How panels lie side by side."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from catjac_widgets.widgets.base.panels import Panel

#: Of more panels than that, the further ones go to the lower column, one after the other.
_TRIED = 14


def in_columns(panels: Sequence[Panel]) -> tuple[list[Panel], list[Panel]]:
    """Deal panels out to two columns of heights as even as can be, the first two side by side."""
    dealt, rest = panels[:_TRIED], panels[_TRIED:]
    best: tuple[list[Panel], list[Panel]] = ([], [])
    least = float("inf")
    for places in itertools.product((0, 1), repeat=max(0, len(dealt) - 2)):
        columns: tuple[list[Panel], list[Panel]] = ([], [])
        for panel, place in zip(dealt, (*range(min(2, len(dealt))), *places), strict=True):
            columns[place].append(panel)
        highest = max(map(_height, columns))
        if highest < least:
            best, least = columns, highest
    for panel in rest:
        min(best, key=_height).append(panel)
    return best


def _height(column: list[Panel]) -> int:
    return sum(panel.height for panel in column)
