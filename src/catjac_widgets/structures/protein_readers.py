"""Readers of proteins that are named: examples, PDB and UniProt entries, structure files."""

from __future__ import annotations

import json
import os
from functools import cache
from importlib.resources import files
from pathlib import Path

from catjac_widgets.errors import SequenceError
from catjac_widgets.input_files import shown
from catjac_widgets.proteins.reading import Protein, as_sequence
from catjac_widgets.proteins.spec import is_like


@cache
def example_names() -> tuple[str, ...]:
    """Name the proteins that come with the package, without opening their structures."""
    listed = files("catjac_widgets") / "data" / "examples" / "examples.json"
    return tuple(record["name"] for record in json.loads(listed.read_text(encoding="utf-8")))


def read_example(name: str, chain: str | None = None) -> Protein:
    """Read an example with its structure.

    Raises
    ------
    UnknownExampleError
        If there is none of that name.
    """
    from catjac_widgets.structures.example_proteins import examples

    example = examples()[name]
    return Protein(example.sequence, example.structure)


def read_pdb_entry(word: str, chain: str | None = None) -> Protein:
    """Read an entry of the Protein Data Bank, "1UBQ" or "1UBQ:A", with its structure.

    Raises
    ------
    SequenceError
        If it is no PDB id.
    StructureError
        If it cannot be found, or has several chains and none was named.
    """
    identifier, _, named = word.replace("_", ":", 0 if word.lower().startswith("pdb_") else 1).partition(":")
    if not is_like("pdb", identifier):
        raise SequenceError(f"{shown(identifier)!r} is no PDB id; they look like pdb:1UBQ.")
    return _with_structure(f"pdb:{identifier.upper()}", named or chain)


def read_structure_file(path: Path, chain: str | None = None) -> Protein:
    """Read the residues of a structure file, with the structure.

    Raises
    ------
    StructureError
        If it cannot be read, or has several chains and none was named.
    """
    return _with_structure(os.fspath(path), chain)


def read_uniprot_entry(word: str, chain: str | None = None) -> Protein:
    """Download the sequence of a UniProt entry.

    Raises
    ------
    SequenceError
        If it is no accession, there is no such entry, or there is no network.
    """
    if not is_like("uniprot", word):
        raise SequenceError(f"{word!r} is no UniProt accession; they look like uniprot:P00974.")
    from biotite.database import RequestError, uniprot

    accession = word.upper()
    try:
        text = uniprot.fetch(accession, "fasta").getvalue()
    except RequestError as error:
        raise SequenceError(f"UniProt has no entry {accession} ({error}); check the accession.") from error
    except OSError as error:  # requests' errors are OSErrors
        raise SequenceError(
            f"UniProt could not be reached ({type(error).__name__}); give a FASTA file or a sequence instead."
        ) from error
    return Protein(as_sequence(text, name=accession))


def _with_structure(what: str, chain: str | None) -> Protein:
    from catjac_widgets.structures.experimental import structure

    found = structure(what, chain=chain)
    return Protein(found.sequence, found)
