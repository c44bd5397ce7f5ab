"""From whatever names a protein to its sequence, and to the structure that came with it."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from catjac_widgets.errors import SequenceError
from catjac_widgets.proteins.alphabets import ESM_LETTERS, RNA_LETTERS
from catjac_widgets.proteins.sequences import CHAIN_NAMES, Chain, Sequence
from catjac_widgets.proteins.spec import collection_reader, file_reader, nearest, parse


@dataclass(frozen=True)
class Protein:
    """What somebody named: a sequence, and the experimental structure that came with it.

    Parameters
    ----------
    sequence
        The residues, with the structure's own numbering where there is a structure.
    structure
        A `catjac_widgets.structures.experimental.Structure`, or None.
    """

    sequence: Sequence
    structure: Any = None


def as_sequence(
    what: Any,
    *,
    name: str = "",
    unknown: Mapping[str, str] | None = None,
    letters: str | None = None,
    chain: str | None = None,
    record: str | None = None,
) -> Sequence:
    """Read one sequence from whatever names a protein.

    Spaces, digits as in GenBank listings, line breaks, lower case and a `*` at the end are forgiven; any
    other letter that is not in `letters` is refused with its position.

    Parameters
    ----------
    what
        Residues, with ":" between chains; FASTA text; the path of a FASTA or structure file (`pathlib.Path`,
        or text that can only be a path); the name of an example; "pdb:1UBQ", "uniprot:P00974"; a `Sequence`,
        an example, a `Structure`, or an array that was computed from a sequence. A text that could be two
        things is refused with what to write: "sequence:WW", "example:ww", "file:ww".
    name
        Name to give; a FASTA header's first word otherwise.
    unknown
        See `Sequence.check`.
    letters
        The allowed letters. By default the 20 amino acids or, for text of A, C, G and U only, those of RNA;
        a `Sequence` is then taken as it is.
    chain
        The structure's chain, where there are several.
    record
        The name or number (1, 2, …) of the FASTA record, where there are several.

    Raises
    ------
    SequenceError
        If it means nothing or more than one thing, for several records, or for a residue that is not one of
        `letters`.
    StructureError
        If it is a structure that cannot be found or read.
    """
    return read_protein(
        what, name=name, unknown=unknown, letters=letters, chain=chain, record=record
    ).sequence


def read_protein(
    what: Any,
    *,
    name: str = "",
    unknown: Mapping[str, str] | None = None,
    letters: str | None = None,
    chain: str | None = None,
    record: str | None = None,
    check: bool = True,
) -> Protein:
    """Read what `as_sequence` reads, and keep the structure that came with it.

    Parameters
    ----------
    what, name, unknown, letters, chain, record
        See `as_sequence`.
    check
        Whether residues are checked; False leaves that to whoever knows the model and so its letters.

    Raises
    ------
    SequenceError, StructureError
        See `as_sequence`.
    """
    found, is_made = _find(what, letters, unknown, chain, record)
    sequence = Sequence(found.sequence.chains, name or found.sequence.name)
    if not check or (letters is None and is_made and not unknown):
        return Protein(sequence, found.structure)
    allowed = letters or (RNA_LETTERS if _is_rna(sequence.residues) else ESM_LETTERS)
    return Protein(sequence.check(allowed, unknown=unknown), found.structure)


def read_residues(text: str, *, name: str = "", letters: str | None = None) -> Sequence:
    """Read text that is residues or FASTA and nothing else, for instance an array's attribute.

    Parameters
    ----------
    text, name, letters
        See `as_sequence`.

    Raises
    ------
    SequenceError
        Empty text, several records, or a residue that is not one of `letters`.
    """
    found = _one_of(list(read_fasta(text)), None, "The FASTA text")
    allowed = letters or (RNA_LETTERS if _is_rna(found.residues) else ESM_LETTERS)
    return Sequence(found.chains, name or found.name).check(allowed)


def read_records(what: str | Path) -> list[Sequence]:
    """Read all records of FASTA text or of a FASTA file; anything else that names a protein is one.

    Letters are not checked yet.

    Raises
    ------
    SequenceError, StructureError
        See `as_sequence`.
    """
    if isinstance(what, str):
        spec = parse(what, _every_letter(None, None))
        if spec.kind == "fasta":
            return list(read_fasta(spec.text))
        if spec.kind == "file":
            return read_records(Path(os.path.expanduser(spec.text)))
    elif file_reader(what) is None:
        return list(read_fasta(what))
    return [_find(what, None, None, None, None)[0].sequence]


def _find(
    what: Any,
    letters: str | None,
    unknown: Mapping[str, str] | None,
    chain: str | None,
    record: str | None,
) -> tuple[Protein, bool]:
    """Find what is meant, letters not checked; and whether it was a sequence already."""
    if isinstance(what, Sequence):
        return Protein(what), True
    if isinstance(what, Path):
        return _read_file(what, chain, record), False
    if isinstance(what, str):
        spec = parse(what, _every_letter(letters, unknown))
        if spec.kind == "file":
            return _read_file(Path(os.path.expanduser(spec.text)), chain, record), False
        if spec.kind in ("residues", "fasta"):
            return Protein(_one_of(list(read_fasta(spec.text)), record, "The FASTA text")), False
        found = collection_reader(spec.kind)(spec.text, chain)
        return Protein(found.sequence, found.structure), False
    own = getattr(what, "sequence", None)
    if isinstance(own, Sequence):  # an example, a structure, an explorer
        measurable = (each for each in (what, getattr(what, "structure", None)) if hasattr(each, "distances"))
        return Protein(own, next(measurable, None)), True
    attributes = getattr(what, "attrs", None)
    if isinstance(attributes, Mapping) and "sequence" in attributes:  # a Jacobian, or a map made from one
        text, title = str(attributes["sequence"]), str(attributes.get("sequence_name", ""))
        return Protein(replace(_one_of(list(read_fasta(text)), None, "The attribute"), name=title)), True
    raise SequenceError(
        "A protein is residues, FASTA text, a path, a name such as pdb:1UBQ, a catjac Sequence, an example "
        f"or a structure, not {type(what).__name__}; give one of these."
    )


def _read_file(path: Path, chain: str | None, record: str | None) -> Protein:
    reader = file_reader(path)
    if reader is not None:
        found = reader(path, chain)
        return Protein(found.sequence, found.structure)
    return Protein(_one_of(list(read_fasta(path)), record, path.name))


def _one_of(records: list[Sequence], record: str | None, source: str) -> Sequence:
    """Choose one record by its name or number."""
    names = [sequence.name for sequence in records]
    if record is None:
        if len(records) > 1:
            shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            raise SequenceError(
                f"{source} holds {len(records)} records ({shown}); choose one with --record NAME (record= in "
                "Python), or join chains of a complex with ':'."
            )
        return records[0]
    if record in names:
        return records[names.index(record)]
    if record.isdigit() and 1 <= int(record) <= len(records):
        return records[int(record) - 1]
    raise SequenceError(
        f"{source} has no record {record!r}{nearest(record, names)} (there are {len(records)})."
    )


def _every_letter(letters: str | None, unknown: Mapping[str, str] | None) -> str:
    """Join all letters that may stand in a text."""
    return (letters or ESM_LETTERS + RNA_LETTERS) + "".join(unknown or ()).upper()


def _is_rna(residues: str) -> bool:
    return "U" in residues and set(residues) <= set(RNA_LETTERS)


def read_fasta(what: str | Path) -> Iterator[Sequence]:
    """Read FASTA records, or one bare sequence, from a text or a file; letters are not checked yet.

    Parameters
    ----------
    what
        A text, pasted as it is, or the `pathlib.Path` of a file (also ``.gz``).

    Yields
    ------
    Sequence
        One a record, upper case, named by the first word of its header; chains A, B, … where ":" divides it.

    Raises
    ------
    SequenceError
        If there is no residue at all, a record is empty or the file cannot be read.
    """
    if isinstance(what, Path):
        text = _text_of(what)
        source = f"the FASTA file {what}"
    else:
        text, source = what, "the sequence"
    # Line ends of every system; ";" lines are comments in the old FASTA format.
    lines = [line for line in text.lstrip("\ufeff").splitlines() if not line.lstrip().startswith(";")]
    text = "\n".join(lines).strip()
    if not text:
        raise SequenceError(f"There is nothing in {source}; give at least two residues.")
    blocks = re.split(r"^\s*>", text, flags=re.MULTILINE)
    if blocks[0].strip():
        if len(blocks) > 1:
            raise SequenceError(f"There are residues before the first '>' header in {source}; remove them.")
        yield _record("", blocks[0].splitlines())
        return
    for block in blocks[1:]:
        header, _, body = block.partition("\n")
        yield _record(header.strip(), body.splitlines())


def _text_of(path: Path) -> str:
    if not path.exists():
        raise SequenceError(f"There is no file {path}; it cannot be read, check the path.")
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise SequenceError(f"The FASTA file {path} cannot be read ({error}); check the path.") from error


def _record(header: str, lines: Iterable[str]) -> Sequence:
    name = header.split()[0] if header else ""
    # Digits and blanks come with listings pasted from databases.
    body = "".join(lines)
    body = re.sub(r"[\s\d]", "", body).upper()
    parts = [part.removesuffix("*") for part in body.split(":")]
    if not any(parts):
        raise SequenceError(f"The record {name!r} has no residues." if name else "The sequence is empty.")
    if len(parts) > len(CHAIN_NAMES):
        raise SequenceError(f"{len(parts)} chains are more than the {len(CHAIN_NAMES)} that can be named.")
    return Sequence(tuple(Chain(CHAIN_NAMES[k], part) for k, part in enumerate(parts)), name)
