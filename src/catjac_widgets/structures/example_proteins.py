"""Proteins that come with the package: sequence, native contacts and coordinates, no network needed."""

from __future__ import annotations

import gzip
import html
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable

import xarray as xr

from catjac_widgets.errors import UsageError
from catjac_widgets.proteins.sequences import Chain, Sequence
from catjac_widgets.structures.experimental import Structure
from catjac_widgets.structures.reading import parse_atoms
from catjac_widgets.structures.residues import resolved_chains


@dataclass(frozen=True)
class Example:
    """One protein domain with a known structure.

    Attributes
    ----------
    name
        What it is called here, for instance "bpti".
    title
        What it is.
    sequence
        Its residues, with the numbers that they bear in the PDB entry.
    pdb_id, chain
        Where the coordinates are from.
    pfam
        The Pfam family it belongs to.
    note
        What it is good for.
    source, licence
        Of the coordinates.
    """

    name: str
    title: str
    sequence: Sequence
    pdb_id: str
    chain: str
    pfam: str
    note: str
    source: str
    licence: str

    def __len__(self) -> int:
        return len(self.sequence)

    @cached_property
    def structure(self) -> Structure:
        """Heavy atoms of exactly these residues; distances and contacts run over `sequence`."""
        packed = (_folder() / f"{self.name}.pdb.gz").read_bytes()
        chains = resolved_chains(parse_atoms(gzip.decompress(packed), "pdb", self.name))
        return Structure(self.pdb_id, tuple(chains), self.sequence)

    @property
    def contacts(self) -> xr.DataArray:
        """Native contacts, observed Cβ below 8 Å: dims (pos_i, pos_j), 1 or 0."""
        return self.structure.contacts()

    def __str__(self) -> str:
        return f"{self.name}: {self.title}, {len(self)} residues, PDB {self.pdb_id} chain {self.chain}"


class Examples(Mapping[str, Example]):
    """All examples by name; shows itself as a table."""

    def __init__(self, examples: tuple[Example, ...]) -> None:
        self._by_name = {example.name: example for example in examples}

    def __getitem__(self, name: str) -> Example:
        try:
            return self._by_name[str(name).lower()]
        except KeyError:
            raise UnknownExampleError(
                f"There is no example {name!r}; there are {', '.join(self._by_name)}."
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    @property
    def rows(self) -> list[dict[str, str | int]]:
        """The table: name, residues, protein, PDB entry, Pfam family, note."""
        return [
            {
                "name": example.name,
                "residues": len(example),
                "protein": example.title,
                "structure": f"{example.pdb_id} chain {example.chain}",
                "family": example.pfam,
                "note": example.note,
            }
            for example in self._by_name.values()
        ]

    def __repr__(self) -> str:
        rows = self.rows
        widths: dict[str, int] = {
            key: max(len(key), *(len(str(row[key])) for row in rows)) for key in rows[0]
        }
        lines: list[dict[str, str | int]] = [{key: key for key in rows[0]}, *rows]
        return "\n".join(
            "  ".join(
                f"{line[key]!s:>{width}}" if key == "residues" else f"{line[key]!s:<{width}}"
                for key, width in widths.items()
            ).rstrip()
            for line in lines
        )

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='text-align:left'>{key}</th>" for key in self.rows[0])
        body = "".join(
            "<tr>"
            + "".join(f"<td style='text-align:left'>{html.escape(str(value))}</td>" for value in row.values())
            + "</tr>"
            for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


class UnknownExampleError(UsageError, KeyError):
    """An example's name that does not exist."""

    def __str__(self) -> str:
        # KeyError would show the sentence in quotation marks.
        return str(self.args[0])


@cache
def examples() -> Examples:
    """List the proteins that come with the package, by name.

    ``catjac.examples()["bpti"].sequence`` gives one of them; shown by itself, the result is a table. The
    names also work wherever a magic or a command asks for a sequence.
    """
    records = json.loads((_folder() / "examples.json").read_text(encoding="utf-8"))
    made = []
    for record in records:
        numbers = tuple(record.pop("numbers").split())
        chain = Chain(record["chain"], record.pop("residues"), numbers)
        made.append(Example(sequence=Sequence((chain,), record["name"]), **record))
    return Examples(tuple(made))


def _folder() -> Traversable:
    return files("catjac_widgets") / "data" / "examples"
