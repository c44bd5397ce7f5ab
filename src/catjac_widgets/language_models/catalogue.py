"""The models that are known by name, where their files lie, and the table that lists them."""

from __future__ import annotations

import html
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

#: Where fair-esm's checkpoints are published.
HUB_URL = "https://dl.fbaipublicfiles.com/fair-esm"


@dataclass(frozen=True)
class CatalogueEntry:
    """One published model of fair-esm.

    Attributes
    ----------
    name, family
        fair-esm's own name, and "ESM-2", "ESM-1b", "ESM-1v" or "ESM-1".
    layers, width
        Its size, from which the number of parameters follows.
    bytes
        About how large its file is.
    contact_head
        Whether a contact regression is published for it.
    """

    name: str
    family: str
    layers: int
    width: int
    bytes: int
    contact_head: bool = True
    positions: int = 0

    @cached_property
    def parameters(self) -> int:
        """Number of parameters without the contact head, tied ones counted once."""
        width = self.width
        block = 12 * width**2 + 13 * width
        head = width**2 + 3 * width
        if self.family == "ESM-1":
            # One more key and value a layer; an output matrix in place of a language-model head.
            return 2 * 35 * width + self.layers * (block + 2 * width)
        norms = 4 * width if self.positions else 2 * width
        return 33 * width + 33 + self.positions * width + self.layers * block + head + norms

    @property
    def urls(self) -> dict[str, str]:
        """File name to address of everything that belongs to it."""
        found = {f"{self.name}.pt": f"{HUB_URL}/models/{self.name}.pt"}
        if self.contact_head:
            regression = f"{self.name}-contact-regression.pt"
            found[regression] = f"{HUB_URL}/regression/{regression}"
        return found


def _entries() -> dict[str, CatalogueEntry]:
    mega, giga = 10**6, 10**9
    found = [
        CatalogueEntry("esm2_t6_8M_UR50D", "ESM-2", 6, 320, 30 * mega),
        CatalogueEntry("esm2_t12_35M_UR50D", "ESM-2", 12, 480, 134 * mega),
        CatalogueEntry("esm2_t30_150M_UR50D", "ESM-2", 30, 640, 595 * mega),
        CatalogueEntry("esm2_t33_650M_UR50D", "ESM-2", 33, 1280, int(2.6 * giga)),
        CatalogueEntry("esm2_t36_3B_UR50D", "ESM-2", 36, 2560, int(5.7 * giga)),
        CatalogueEntry("esm2_t48_15B_UR50D", "ESM-2", 48, 5120, int(30.3 * giga)),
        CatalogueEntry("esm1b_t33_650M_UR50S", "ESM-1b", 33, 1280, int(7.8 * giga), positions=1026),
    ]
    found += [
        CatalogueEntry(f"esm1v_t33_650M_UR90S_{k}", "ESM-1v", 33, 1280, int(7.8 * giga), False, 1026)
        for k in range(1, 6)
    ]
    found += [
        CatalogueEntry(f"esm1_t34_670M_{data}", "ESM-1", 34, 1280, int(2.7 * giga))
        for data in ("UR50S", "UR50D", "UR100")
    ]
    found += [
        CatalogueEntry("esm1_t12_85M_UR50S", "ESM-1", 12, 768, 341 * mega),
        CatalogueEntry("esm1_t6_43M_UR50S", "ESM-1", 6, 768, 171 * mega),
    ]
    return {entry.name: entry for entry in found}


CATALOGUE = _entries()


def hub_folder() -> Path:
    """Where torch hub keeps checkpoints; TORCH_HOME, XDG_CACHE_HOME and `torch.hub.set_dir` move it."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return Path(torch.hub.get_dir()) / "checkpoints"
    # The same rule without importing torch, which takes seconds.
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"


class ModelTable:
    """The models known by name; one row (a dict) each in `rows`, printed as a table."""

    _COLUMNS = ("name", "family", "parameters", "layers", "status")

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __getitem__(self, name: str) -> dict[str, Any]:
        for row in self.rows:
            if row["name"] == name:
                return row
        raise KeyError(name)

    def _cells(self) -> list[list[str]]:
        return [
            [row["name"], row["family"], in_millions(row["parameters"]), str(row["layers"]), row["status"]]
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


def in_millions(count: int) -> str:
    """Write a number of parameters as people say it: "8 M", "15 B"."""
    return f"{count / 1e9:.3g} B" if count >= 1e9 else f"{count / 1e6:.3g} M"


def in_bytes(size: int) -> str:
    """Write a size as people say it: "30 MB", "2.6 GB"."""
    return f"{size / 1e9:.2g} GB" if size >= 1e9 else f"{max(size / 1e6, 0.1):.3g} MB"
