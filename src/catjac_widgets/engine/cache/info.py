"""What a person is told of the cache, and the sizes and durations that a person writes."""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

from catjac_widgets.errors import UsageError
from catjac_widgets.input_files import shown

_UNITS = {"": 1, "B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class CacheWarning(UserWarning):
    """Something about the cache that a person should know, while the result is right all the same."""


@dataclass(frozen=True)
class CacheInfo:
    """What the cache holds, and what this process did with it.

    Attributes
    ----------
    path
        Its folder; None where it is at a URL, everything stays in memory or nothing is kept.
    where
        Its folder or URL as text; "" where everything stays in memory or nothing is kept.
    size, limit
        Bytes; no limit (None) at a URL, where nothing is evicted.
    entries
        How many Jacobians, complete or not.
    rows_computed, rows_read, models_loaded
        Counted in this process: rows that a model was run for, rows that came from the cache, and checkpoints
        that were opened.
    in_memory
        Whether rows are kept in this process only.
    """

    path: Path | None
    where: str
    size: int
    limit: int | None
    entries: int
    rows_computed: int
    rows_read: int
    models_loaded: int
    in_memory: bool

    def _lines(self) -> list[tuple[str, str]]:
        nowhere = "in memory, this process only" if self.in_memory else "off"
        limit = None if self.limit is None else readable_size(self.limit)
        return [
            ("where", self.where or nowhere),
            ("size", f"{readable_size(self.size)} of {limit}" if limit else readable_size(self.size)),
            ("entries", str(self.entries)),
            ("rows computed", f"{self.rows_computed} in this process"),
            ("rows read", f"{self.rows_read} in this process"),
            ("models loaded", f"{self.models_loaded} in this process"),
        ]

    def __str__(self) -> str:
        return "\n".join(f"{name:14}{value}" for name, value in self._lines())

    def _repr_html_(self) -> str:
        rows = (f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in self._lines())
        return f"<table>{''.join(rows)}</table>"


def parse_size(text: str, *, name: str) -> int:
    """Read "20GB", "500 MB" or a number of bytes.

    Raises
    ------
    UsageError
        For anything else; `name` says what it is the value of.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)B?\s*", text.upper())
    size = float(match.group(1)) * _UNITS[match.group(2)] if match is not None else math.inf
    if not math.isfinite(size):
        raise UsageError(f"{name}={shown(text)!r} is not a size; write for instance 5GB.")
    return int(size)


def parse_duration(value: str | datetime.timedelta) -> float:
    """Read "30d", "12h" or a timedelta; seconds.

    Raises
    ------
    UsageError
        For anything else.
    """
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*", str(value))
    if match is None:
        raise UsageError(f"{value!r} is not a duration; write for instance 30d, 12h or 2w.")
    return float(match.group(1)) * _SECONDS[match.group(2)]


def readable_size(size: float) -> str:
    """Write a number of bytes as a person reads it."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit in ("B", "kB") else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
