"""WHAT: the one word by which a magic or a command names a protein, and what it can mean.

A word is never guessed: if it can be read in two ways, the error names both and how to write each.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import CatjacError, SequenceError, UsageError
from catjac_widgets.proteins.alphabets import ESM_LETTERS
from catjac_widgets.proteins.sequences import Sequence, as_sequence, read_fasta

if TYPE_CHECKING:
    from catjac_widgets.structures.experimental import Structure

#: How to say which reading of a word is meant.
PREFIXES = ("example", "pdb", "uniprot", "file", "sequence")

_PDB_ID = re.compile(r"[1-9][A-Za-z0-9]{3}|pdb_[0-9]{8}")
_UNIPROT = re.compile(r"[OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2}", re.IGNORECASE)
_STRUCTURE_FILE = re.compile(r"\.(pdb|ent|cif|mmcif)(\.gz)?$", re.IGNORECASE)
# Lower-case letters are read as a sequence only from here on: below, they are more likely a mistyped name.
_SHORTEST_LOWER_CASE = 10


@dataclass(frozen=True)
class Protein:
    """What a word turned out to mean.

    Parameters
    ----------
    sequence
        The residues, with the structure's own numbering where there is a structure.
    origin
        What it is, for a person: "example bpti", "chain A of PDB 1UBQ", "ubiquitin.fasta", "a sequence".
    structure
        The experimental structure that came with it, if one did.
    """

    sequence: Sequence
    origin: str
    structure: Structure | None = None


def find_protein(
    what: str,
    *,
    variables: Mapping[str, Any] | None = None,
    chain: str | None = None,
    record: str | None = None,
) -> Protein:
    """Find the protein that a word means.

    Parameters
    ----------
    what
        An example's name, "pdb:1UBQ" (or "pdb:1UBQ:A"), "uniprot:P00974", a FASTA or structure file,
        "$variable" or a sequence; "example:", "file:" and "sequence:" say which is meant where a word could
        be two things.
    variables
        Where "$variable" is looked up; None where there are no variables (in a shell).
    chain
        The structure's chain, where there are several.
    record
        The name or number (1, 2, …) of the FASTA record, where there are several.

    Raises
    ------
    UsageError
        If the word means nothing, or more than one thing.
    SequenceError, StructureError
        If what it means cannot be used.
    """
    word = what.strip()
    if not word:
        raise UsageError("Say which protein: an example's name, pdb:1UBQ, a FASTA file or a sequence.")
    if word.startswith("$"):
        return _variable(word[1:], variables, chain, record)
    if "\n" in word or word.startswith(">"):
        return read_pasted(word, record)
    prefix, separator, rest = word.partition(":")
    # "FILE:ACDE" is two chains: a prefix is not itself made of residues.
    if separator and prefix.lower() in PREFIXES and not set(prefix) <= set(ESM_LETTERS):
        if not rest.strip():
            raise UsageError(f"There is nothing after '{prefix}:'; write {_EXAMPLES_OF[prefix.lower()]}.")
        return _READERS[prefix.lower()](rest.strip(), chain, record)
    readings = [reader for reader in _READERS if _could_be(reader, word)]
    if len(readings) == 1:
        return _READERS[readings[0]](word, chain, record)
    if readings:
        options = " or ".join(f"{reader}:{word}" for reader in readings)
        nouns = _listed(_NOUNS[reader] for reader in readings)
        raise UsageError(f"{word!r} could be {nouns}; write {options}.")
    raise _unknown(word, variables)


def read_pasted(text: str, record: str | None = None) -> Protein:
    """Read pasted FASTA, or a bare sequence over several lines.

    Raises
    ------
    UsageError
        If there are several records and none was named.
    SequenceError
        If there is nothing in it, or a residue is not one of the 20.
    """
    return Protein(_choose(list(read_fasta(text)), record, "the pasted FASTA"), "pasted FASTA")


def _could_be(reader: str, word: str) -> bool:
    """Whether a bare word can be read that way; databases are only asked when they are named."""
    if reader == "example":
        # Upper case is how sequences are written, so "WW" may be either while "ww" is the example.
        return word.lower() in example_names()
    if reader == "file":
        return _is_file(word)
    if reader == "sequence":
        if word in example_names():
            return False
        letters = re.sub(r"[\s:*]", "", word)
        written = letters.isupper() or len(letters) >= _SHORTEST_LOWER_CASE
        return len(letters) >= 2 and written and set(letters.upper()) <= set(ESM_LETTERS)
    return False


def example_names() -> list[str]:
    """Name the proteins that come with the package."""
    from catjac_widgets.structures.example_proteins import examples

    return list(examples())


def _example(word: str, chain: str | None, record: str | None) -> Protein:
    from catjac_widgets.structures.example_proteins import examples

    example = examples()[word]
    return Protein(example.sequence, f"example {example.name}", example.structure)


def _pdb(word: str, chain: str | None, record: str | None) -> Protein:
    identifier, _, named = word.replace("_", ":", 0 if word.lower().startswith("pdb_") else 1).partition(":")
    if not _PDB_ID.fullmatch(identifier):
        raise UsageError(f"{identifier!r} is no PDB id; they look like pdb:1UBQ.")
    return _from_structure(f"pdb:{identifier.upper()}", f"PDB {identifier.upper()}", named or chain)


def _uniprot(word: str, chain: str | None, record: str | None) -> Protein:
    if not _UNIPROT.fullmatch(word):
        raise UsageError(f"{word!r} is no UniProt accession; they look like uniprot:P00974.")
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
    return Protein(as_sequence(text, name=accession), f"UniProt {accession}")


def _file(word: str, chain: str | None, record: str | None) -> Protein:
    path = Path(os.path.expanduser(word))
    if not path.is_file():
        raise UsageError(f"There is no file {word}; check the path.")
    if _STRUCTURE_FILE.search(path.name):
        return _from_structure(str(path), path.name, chain)
    return Protein(_choose(list(read_fasta(path)), record, path.name), path.name)


def _sequence(word: str, chain: str | None, record: str | None) -> Protein:
    return Protein(as_sequence(word), "a sequence")


def _from_structure(what: str, title: str, chain: str | None) -> Protein:
    from catjac_widgets.structures.experimental import structure

    found = structure(what, chain=chain)
    return Protein(found.sequence.check(), title, found)


def _choose(records: list[Sequence], record: str | None, source: str) -> Sequence:
    names = [sequence.name for sequence in records]
    if record is None:
        if len(records) > 1:
            shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            raise UsageError(f"{source} holds {len(records)} records ({shown}); choose with --record NAME.")
        return records[0].check()
    if record in names:
        return records[names.index(record)].check()
    if record.isdigit() and 1 <= int(record) <= len(records):
        return records[int(record) - 1].check()
    raise UsageError(
        f"{source} has no record {record!r}{_nearest(record, names)} (there are {len(records)})."
    )


def _variable(
    name: str, variables: Mapping[str, Any] | None, chain: str | None, record: str | None
) -> Protein:
    name = name.removeprefix("{").removesuffix("}")
    if variables is None:
        raise UsageError("There are no $variables here; give a name, a file or a sequence.")
    if name not in variables:
        public = [key for key in variables if not key.startswith("_")]
        raise UsageError(f"There is no variable {name!r}{_nearest(name, public)}.")
    value = variables[name]
    origin = f"variable {name}"
    if isinstance(value, str):
        if "\n" in value or value.startswith(">"):
            return read_pasted(value, record)
        if not value.strip().startswith("$"):
            found = find_protein(value, chain=chain, record=record)
            # A bare sequence has no name of its own.
            named = found.sequence if found.sequence.name else replace(found.sequence, name=name)
            return replace(found, sequence=named)
    if isinstance(value, Path):
        return _file(str(value), chain, record)
    if isinstance(value, Sequence):
        return Protein(value.check(), origin)
    attributes = getattr(value, "attrs", None)
    if isinstance(attributes, Mapping) and "sequence" in attributes:  # a Jacobian, or a map made from one
        return Protein(as_sequence(str(attributes["sequence"])), origin)
    sequence = getattr(value, "sequence", None)
    if isinstance(sequence, Sequence):  # a structure, an example, an explorer
        from catjac_widgets.structures.experimental import Structure

        own = value if isinstance(value, Structure) else getattr(value, "structure", None)
        return Protein(sequence.check(), origin, own if isinstance(own, Structure) else None)
    raise UsageError(
        f"The variable {name!r} is a {type(value).__name__}; it may hold a sequence, FASTA text, a path or a "
        "structure."
    )


def _unknown(word: str, variables: Mapping[str, Any] | None) -> CatjacError:
    """Make the error for a word that means nothing, with the likeliest meanings."""
    names = example_names()
    if _PDB_ID.fullmatch(word):
        return UsageError(f"{word!r} looks like a PDB id; write pdb:{word.upper()}.")
    if _UNIPROT.fullmatch(word):
        return UsageError(f"{word!r} looks like a UniProt accession; write uniprot:{word.upper()}.")
    if variables is not None and word in variables:
        return UsageError(f"{word!r} is a variable; write ${word}.")
    if "/" in word or "\\" in word or Path(word).suffix:
        return UsageError(f"There is no file {word}; check the path.")
    if word.isupper() and len(word) >= _SHORTEST_LOWER_CASE and word.isalpha():
        # Long upper-case words are sequences with a letter that is not allowed: say which.
        try:
            as_sequence(word)
        except SequenceError as error:
            return error
    near = _nearest(word, names) or f" (examples: {', '.join(names)})"
    return UsageError(f"{word!r} is no example, file or sequence{near}.")


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word.lower(), [name.lower() for name in known], n=3, cutoff=0.6)
    names = [next(name for name in known if name.lower() == match) for match in near]
    return f"; did you mean {' or '.join(names)}?" if names else ""


def _is_file(word: str) -> bool:
    try:
        return Path(os.path.expanduser(word)).is_file()
    except OSError:  # longer than a file name may be
        return False


def _listed(words: Any) -> str:
    *first, last = list(words)
    return f"{', '.join(first)} or {last}" if first else last


_READERS: dict[str, Callable[[str, str | None, str | None], Protein]] = {
    "example": _example,
    "pdb": _pdb,
    "uniprot": _uniprot,
    "file": _file,
    "sequence": _sequence,
}
_NOUNS = {"example": "an example", "file": "a file here", "sequence": "a sequence"}
_EXAMPLES_OF = {
    "example": "example:bpti",
    "pdb": "pdb:1UBQ",
    "uniprot": "uniprot:P00974",
    "file": "file:protein.fasta",
    "sequence": "sequence:MKTAYIAKQR",
}
