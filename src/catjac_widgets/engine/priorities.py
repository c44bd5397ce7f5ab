"""How urgent requests are, among those for the same device."""

from __future__ import annotations

from enum import IntEnum


class Priority(IntEnum):
    """How urgent a request is; the lower number goes first."""

    DRAG = 0
    SCREEN = 1
    BACKGROUND = 2
