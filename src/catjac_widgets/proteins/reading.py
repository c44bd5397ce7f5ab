"""From whatever names a protein to its sequence, and to the structure that came with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from catjac_widgets.errors import SequenceError
from catjac_widgets.input_files import megabytes, read_file, shown, user_path
from catjac_widgets.proteins.alphabets import ESM_LETTERS, RNA_LETTERS, upper_case
from catjac_widgets.proteins.sequences import CHAIN_NAMES, MOST_RESIDUES, STRANDS, Chain, Sequence
from catjac_widgets.proteins.spec import (
    LARGEST_FASTA,
    STRAND_TOKEN,
    collection_reader,
    file_reader,
    nearest,
    parse,
)

#: The attribute of an array that says on which strand each chain is, where that was given.
STRANDS_ATTRIBUTE = "element_strands"

#: Lines of FASTA that are read at most: every record is some hundred bytes of memory, however short.
_MOST_LINES = 2 * 10**6


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
    other letter that is not in `letters` is refused with its position. Elements of a genome may stand behind
    their strands, "<+>MALT<->aattt": each is a chain, and case is kept, since nucleotides are written in
    lower case there. It is kept, too, where lower-case letters are among `letters`.

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
    found = _one_of(list(read_fasta(text, keep_case=_has_lower(letters))), None, "The FASTA text")
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
            return read_records(user_path(spec.text))
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
    keep_case = _has_lower(letters)
    if isinstance(what, Path):
        return _read_file(what, chain, record, keep_case), False
    if isinstance(what, str):
        spec = parse(what, _every_letter(letters, unknown))
        if spec.kind == "file":
            return _read_file(user_path(spec.text), chain, record, keep_case), False
        if spec.kind in ("residues", "fasta"):
            records = list(read_fasta(spec.text, keep_case=keep_case))
            return Protein(_one_of(records, record, "The FASTA text")), False
        found = collection_reader(spec.kind)(spec.text, chain)
        return Protein(found.sequence, found.structure), False
    own = getattr(what, "sequence", None)
    if isinstance(own, Sequence):  # an example, a structure, an explorer
        measurable = (each for each in (what, getattr(what, "structure", None)) if hasattr(each, "distances"))
        return Protein(own, next(measurable, None)), True
    attributes = getattr(what, "attrs", None)
    if isinstance(attributes, Mapping) and "sequence" in attributes:  # a Jacobian, or a map made from one
        text, title = str(attributes["sequence"]), str(attributes.get("sequence_name", ""))
        # As we wrote it: where case counts, it is there.
        made = _one_of(list(read_fasta(text, keep_case=True)), None, "The attribute")
        return Protein(replace(made.on_strands(str(attributes.get(STRANDS_ATTRIBUTE, ""))), name=title)), True
    raise SequenceError(
        "A protein is residues, FASTA text, a path, a name such as pdb:1UBQ, a catjac Sequence, an example "
        f"or a structure, not {type(what).__name__}; give one of these."
    )


def _read_file(path: Path, chain: str | None, record: str | None, keep_case: bool) -> Protein:
    reader = file_reader(path)
    if reader is not None:
        found = reader(path, chain)
        return Protein(found.sequence, found.structure)
    return Protein(_one_of(list(read_fasta(path, keep_case=keep_case)), record, path.name))


def _one_of(records: list[Sequence], record: str | None, source: str) -> Sequence:
    """Choose one record by its name or number."""
    names = [sequence.name for sequence in records]
    if record is None:
        if len(records) > 1:
            listed = ", ".join(map(shown, names[:5])) + (", …" if len(names) > 5 else "")
            raise SequenceError(
                f"{source} holds {len(records)} records ({listed}); choose one with --record NAME (record= "
                "in Python), or join chains of a complex with ':'."
            )
        return records[0]
    if record in names:
        return records[names.index(record)]
    if record.isdigit() and 1 <= int(record) <= len(records):
        return records[int(record) - 1]
    raise SequenceError(
        f"{source} has no record {shown(record)!r}{nearest(record, names)} (there are {len(records)})."
    )


def _every_letter(letters: str | None, unknown: Mapping[str, str] | None) -> str:
    """Join all letters that may stand in a text."""
    return (letters or ESM_LETTERS + RNA_LETTERS) + upper_case("".join(unknown or ()))


def _has_lower(letters: str | None) -> bool:
    """Whether lower case tells letters apart."""
    return letters is not None and letters != upper_case(letters)


def _is_rna(residues: str) -> bool:
    return "U" in residues and set(residues) <= set(RNA_LETTERS)


def read_fasta(what: str | Path, *, keep_case: bool = False) -> Iterator[Sequence]:
    """Read FASTA records, or one bare sequence, from a text or a file; letters are not checked yet.

    Parameters
    ----------
    what
        A text, pasted as it is, or the `pathlib.Path` of a file (also ``.gz``).
    keep_case
        Whether lower case stays as it is. It does in any case where strands are given.

    Yields
    ------
    Sequence
        One a record, upper case, named by the first word of its header; chains A, B, … where ":" or a strand
        (<+>, <->) divides it.

    Raises
    ------
    SequenceError
        If there is no residue at all, a record is empty or the file cannot be read.
    """
    if isinstance(what, Path):
        text = _text_of(what)
        source = f"the FASTA file {shown(what)}"
    else:
        text, source = what, "the sequence"
        if len(text) > LARGEST_FASTA:
            raise SequenceError(
                f"The text has more than the {megabytes(LARGEST_FASTA)} that are read; give a part of it."
            )
    lines = text.lstrip("\ufeff").splitlines()  # line ends of every system
    if len(lines) > _MOST_LINES:
        raise SequenceError(f"There are more than {_MOST_LINES:,} lines in {source}; give a part of it.")
    header: str | None = None
    body: list[str] = []
    for line in map(str.strip, lines):
        if line.startswith(">"):
            if header is not None:
                yield _record(header, body, keep_case)
            elif body:
                raise SequenceError(
                    f"There are residues before the first '>' header in {source}; remove them."
                )
            header, body = line[1:].strip(), []
        elif line and not line.startswith(";"):  # a comment in the old FASTA format
            body.append(line)
    if header is None and not body:
        raise SequenceError(f"There is nothing in {source}; give at least two residues.")
    yield _record(header or "", body, keep_case)


def _text_of(path: Path) -> str:
    content = read_file(path, limit=LARGEST_FASTA, error=SequenceError, noun="FASTA file")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SequenceError(
            f"The FASTA file {shown(path)} cannot be read (byte {error.start + 1} is no text); "
            "give a text file, also .gz."
        ) from error


def _record(header: str, lines: Iterable[str], keep_case: bool) -> Sequence:
    name = header.split()[0] if header else ""
    # Digits and blanks come with listings pasted from databases.
    body = "".join(lines)
    body = re.sub(r"[\s0-9]", "", body)
    marked = STRAND_TOKEN.search(body) is not None
    if marked:
        # A strand divides elements as ":" does, which may stand there as well.
        body = re.sub(r"^:|:(?=:)", "", STRAND_TOKEN.sub(r":\1", body))
    elif not keep_case:
        body = upper_case(body)
    if len(body) > MOST_RESIDUES:
        raise SequenceError(
            f"The record {shown(name)!r} has {len(body):,} letters, more than the {MOST_RESIDUES:,} residues "
            "that are read; give the domain that you mean."
        )
    parts = [part.removesuffix("*") for part in body.split(":")]
    strands = [part[:1] if marked and part[:1] in STRANDS else "" for part in parts]
    parts = [part[len(strand) :] for part, strand in zip(parts, strands, strict=True)]
    if not any(parts):
        raise SequenceError(
            f"The record {shown(name)!r} has no residues." if name else "The sequence is empty."
        )
    if len(parts) > len(CHAIN_NAMES):
        raise SequenceError(f"{len(parts)} chains are more than the {len(CHAIN_NAMES)} that can be named.")
    chains = (Chain(CHAIN_NAMES[k], part, strand=strands[k]) for k, part in enumerate(parts))
    return Sequence(tuple(chains), name)
