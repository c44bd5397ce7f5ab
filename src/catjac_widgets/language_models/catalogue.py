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
    own order), ``context`` (the longest sequence), ``licence`` (of its weights, as their publisher says),
    ``runs_here`` (whether this machine's memory holds its weights) and ``note`` (what to know before using
    it); None where they are not.
    """

    _COLUMNS = (
        *("name", "family", "parameters", "layers", "alphabet", "context", "licence"),
        *("status", "this machine", "note"),
    )

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        unknown = dict.fromkeys(
            ("parameters", "layers", "bytes", "letters", "context", "licence", "runs_here", "note")
        )
        self.rows: list[dict[str, Any]] = [{**unknown, **row} for row in rows]

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
                {True: "can run it", False: "has too little memory", None: ""}[row["runs_here"]],
                row["note"] or "",
            ]
            for row in self.rows
        ]

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
