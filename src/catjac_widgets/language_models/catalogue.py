"""The table of the models that are known by name, and how sizes are written in it."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

from catjac_widgets.proteins.alphabets import ALIGNMENT_LETTERS


class ModelTable:
    """The models known by name; one row (a dict) each in `rows`, printed as a table.

    A row has ``name``, ``family``, ``status`` (embedded, in cache, or what it needs) and, as far as they are
    known without loading the model, ``parameters``, ``layers``, ``bytes``, ``letters`` (of its logits, in its
    own order), ``context`` (the longest sequence, None also where there is no limit), ``licence``,
    ``weights`` (where they come from), ``runs_here`` (whether this machine's memory holds its weights) and
    ``note`` (what to know before using it) and ``alignment_rows`` (how many rows of an alignment it reads by
    default); None where they are not. With a sequence there are also ``seconds`` and ``memory``: about how
    long its Jacobian takes here, and how many bytes the weights.
    """

    _COLUMNS = (
        *("name", "family", "parameters", "layers", "alphabet", "longest", "licence", "status"),
        *("this machine", "note"),
    )
    _UNKNOWN = (
        *("parameters", "layers", "bytes", "letters", "context", "licence", "weights", "runs_here", "note"),
        *("alignment_rows", "seconds", "memory"),
    )

    def __init__(self, rows: list[dict[str, Any]], *, length: int | None = None) -> None:
        unknown = dict.fromkeys(self._UNKNOWN)
        self.rows: list[dict[str, Any]] = [{**unknown, **row} for row in rows]
        self._length = length

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> dict[str, Any]:
        for row in self.rows:
            if row["name"] == name:
                return row
        raise KeyError(name)

    def _cells(self) -> list[list[str]]:
        return [
            [
                row["name"],
                row["family"],
                "" if row["parameters"] is None else in_millions(row["parameters"]),
                "" if row["layers"] is None else str(row["layers"]),
                _alphabet(row["letters"]),
                "" if row["context"] is None else f"{row['context']:,}",
                row["licence"] or "",
                row["status"],
                self._here(row),
                row["note"] or "",
            ]
            for row in self.rows
        ]

    def _here(self, row: dict[str, Any]) -> str:
        """Say whether this machine can run it, and how long it would take for the sequence asked about."""
        if row["runs_here"] is False:
            return "has too little memory"
        if self._length is not None and row["context"] is not None and self._length > row["context"]:
            return "the sequence is too long"
        if row["seconds"] is None:
            return "can run it" if row["runs_here"] else ""
        return f"{duration(row['seconds'])}, {in_bytes(row['memory'])}"

    def __str__(self) -> str:
        cells = [list(self._COLUMNS), *self._cells()]
        widths = [max(len(line[column]) for line in cells) for column in range(len(self._COLUMNS))]
        return "\n".join(
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
            for line in cells
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='text-align:left'>{name}</th>" for name in self._COLUMNS)
        body = "".join(
            "<tr>"
            + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in line)
            + "</tr>"
            for line in self._cells()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _alphabet(letters: str | None) -> str:
    if letters is None:
        return ""
    return "amino acids" if set(letters) == set(ALIGNMENT_LETTERS) else letters


def in_millions(count: int) -> str:
    """Write a number of parameters as people say it: "8 M", "15 B"."""
    return f"{count / 1e9:.3g} B" if count >= 1e9 else f"{count / 1e6:.3g} M"


def in_bytes(size: int) -> str:
    """Write a size as people say it: "30 MB", "2.6 GB"."""
    return f"{size / 1e9:.2g} GB" if size >= 1e9 else f"{max(size / 1e6, 0.1):.3g} MB"


def duration(seconds: float) -> str:
    """Write about how long something takes: "about 20 s", "about 3 min"."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.0f} h"
