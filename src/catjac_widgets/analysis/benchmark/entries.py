"""What there is to evaluate: proteins with a known structure, by file name, by index or as objects."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from catjac_widgets.errors import SequenceError, StructureError, UsageError
from catjac_widgets.input_files import read_file, reason, shown, user_path
from catjac_widgets.proteins.alignments import GAP, LARGEST_ALIGNMENT, Alignment, read_alignment
from catjac_widgets.proteins.reading import as_sequence, read_records
from catjac_widgets.proteins.sequences import Chain, Sequence
from catjac_widgets.structures.experimental import Structure, structure
from catjac_widgets.structures.reading import LARGEST_STRUCTURE

#: File names that list the proteins of a folder.
INDICES = ("families.json", "index.json")

#: Bytes of an index that are read at most.
_LARGEST_INDEX = 64 * 2**20

_ENDING = re.compile(
    r"\.(?:(?P<alignment>a3m|a2m|aln|afa)|(?P<sequence>fasta|fa|faa|fas)|"
    r"(?P<structure>pdb|ent|cif|mmcif|bcif))(?:\.gz)?$",
    re.IGNORECASE,
)


@dataclass(frozen=True, eq=False)
class Entry:
    """One protein to evaluate; nothing is read before it is asked for.

    Attributes
    ----------
    name
        What it is called in the table.
    sequence
        A path of FASTA, a `Sequence` or text; None where the alignment's query is the sequence.
    alignment
        A path of A3M or aligned FASTA, or an `Alignment`; None where there is none.
    structure
        A path or a `Structure`.
    chain
        The structure's chain; the one that fits best by default.
    """

    name: str
    sequence: Any
    alignment: Any
    structure: Any
    chain: str | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that is given, files by their content."""
        made = hashlib.sha256()
        for part in (self.sequence, self.alignment, self.structure, self.chain):
            made.update(hashlib.sha256(_content(part)).digest())
        return made.hexdigest()

    @cached_property
    def aligned(self) -> Alignment | None:
        """The alignment over the query's residues (columns where the query has a gap are left out)."""
        if self.alignment is None:
            return None
        found = (
            self.alignment if isinstance(self.alignment, Alignment) else read_alignment(Path(self.alignment))
        )
        kept = np.array([k for k, letter in enumerate(found.query) if letter not in GAP + "."], dtype=int)
        return found if len(kept) == found.length else found.with_columns(kept)

    @cached_property
    def query(self) -> Sequence:
        """The residues that maps run over.

        Raises
        ------
        SequenceError
            If there is none that can be read.
        """
        if self.sequence is not None:
            return _read_sequence(self.sequence, self.name)
        if self.aligned is None:
            raise SequenceError(
                f"{shown(self.name)} has neither a sequence (.fasta) nor an alignment (.a3m); add one."
            )
        return Sequence((Chain("A", self.aligned.query),), self.name)

    @cached_property
    def truth(self) -> Structure:
        """The structure, mapped to the query.

        Raises
        ------
        StructureError
            If it cannot be read or does not fit.
        """
        return structure(self.structure, chain=self.chain, sequence=self.query)


def find_entries(what: Any) -> tuple[list[Entry], list[str]]:
    """List the proteins of a folder, or of a mapping of names to what belongs to them.

    Parameters
    ----------
    what
        A folder: files are matched by the part of their name before the ending, ``P1.fasta`` or ``P1.a3m``
        (or both) with ``P1.pdb`` or ``P1.cif``, all also ``.gz``; an index (`INDICES`), a list of objects
        with ``id``, ``chain`` and perhaps ``files``, names them and their chains. Or a mapping: name →
        an example of the package, or (sequence or alignment file, structure), or (sequence, structure,
        alignment). Or a list of examples.

    Returns
    -------
    entries : list of Entry
    left_out : list of str
        Names of sequence and structure files that lack their other half.

    Raises
    ------
    UsageError
        If there is no folder, no pair in it, or an entry is nothing of the above.
    """
    if isinstance(what, str | Path):
        return _in_folder(user_path(what))
    if isinstance(what, Mapping):
        named = list(what.items())
    elif isinstance(what, Iterable):
        named = [(str(getattr(each, "name", "") or ""), each) for each in what]
    else:
        raise UsageError(
            f"Give a folder, or a mapping of names to (sequence, structure), not {type(what).__name__}."
        )
    entries = [_given(str(name) or f"protein {place}", each) for place, (name, each) in enumerate(named, 1)]
    if not entries:
        raise UsageError("There is no protein to evaluate; give at least one with its structure.")
    return entries, []


def _given(name: str, value: Any) -> Entry:
    if isinstance(value, Entry):
        return value
    if hasattr(value, "sequence") and hasattr(value, "structure"):
        return Entry(name, value.sequence, None, value.structure)
    if isinstance(value, tuple) and len(value) in (2, 3):
        first, truth, aligned = (*value, None) if len(value) == 2 else value
        if aligned is None and (isinstance(first, Alignment) or _kind(first) == "alignment"):
            return Entry(name, None, first, truth)
        return Entry(name, first, aligned, truth)
    raise UsageError(
        f"{name}: give (sequence, structure) or (sequence, structure, alignment), not {type(value).__name__}."
    )


def _in_folder(folder: Path) -> tuple[list[Entry], list[str]]:
    if not os.path.isdir(folder):
        raise UsageError(f"There is no folder {folder}; check the path.")
    files: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        kind = _kind(path)
        if kind and path.is_file():
            # An alignment under a FASTA name is still aligned sequences of that name.
            files.setdefault(_ENDING.sub("", path.name), {}).setdefault(kind, path)
    index = next((folder / name for name in INDICES if (folder / name).is_file()), None)
    if index is not None:
        entries = _indexed(index, files)
        return entries, []
    complete = {name: found for name, found in files.items() if len(found) > 1 and "structure" in found}
    if not complete:
        raise UsageError(
            f"There is no pair in {folder}: a sequence (P1.fasta or P1.a3m) and a structure (P1.pdb or "
            "P1.cif) of the same name."
        )
    left_out = [path.name for name, found in files.items() if name not in complete for path in found.values()]
    return [
        Entry(name, found.get("sequence"), found.get("alignment"), found["structure"])
        for name, found in complete.items()
    ], left_out


def _indexed(index: Path, files: dict[str, dict[str, Path]]) -> list[Entry]:
    try:
        content = read_file(index, limit=_LARGEST_INDEX, error=UsageError, noun="index")
        records = json.loads(content)
        made = []
        for record in records:
            found = dict(files.get(record["id"], {}))
            for listed in (record.get("files") or {}).values():
                path = _beside(index, listed["path"] if isinstance(listed, Mapping) else listed)
                kind = _kind(path)
                if kind:
                    found[kind] = path
            made.append(
                Entry(
                    str(record["id"]),
                    found.get("sequence"),
                    found.get("alignment"),
                    found.get("structure") or _beside(index, f"{record['id']}.pdb"),
                    _text_or_none(record.get("chain")),
                )
            )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"The index {index.name} cannot be read ({reason(error)}); it is a list of objects with an 'id'."
        ) from error
    if not made:
        raise UsageError(f"The index {index.name} lists no protein.")
    return made


def _beside(index: Path, name: str) -> Path:
    """Find a file that an index names: one of its own folder, since it may be somebody else's index."""
    path = index.parent / name
    if "\0" in name or not path.resolve().is_relative_to(index.parent.resolve()):
        raise ValueError(f"{name!r} is not in its folder")
    return path


def _text_or_none(what: Any) -> str | None:
    if what is not None and not isinstance(what, str):
        raise TypeError(f"{what!r} is no name")
    return what


def _kind(what: Any) -> str | None:
    if not isinstance(what, str | Path):
        return None
    found = _ENDING.search(Path(what).name) if "\n" not in str(what) else None
    return None if found is None else found.lastgroup


def _read_sequence(what: Any, name: str) -> Sequence:
    if isinstance(what, Path) or _kind(what) == "sequence":
        records = read_records(Path(what))
        if len(records) > 1:
            raise SequenceError(
                f"{Path(what).name} holds {len(records)} records; give one a file (.a3m for alignments)."
            )
        return Sequence(records[0].chains, name)
    made: Sequence = as_sequence(what) if isinstance(what, str) else what
    if not isinstance(made, Sequence):
        raise SequenceError(f"{name}: a sequence is text, a path or a catjac Sequence.")
    return Sequence(made.chains, made.name or name)


def _content(part: Any) -> bytes:
    if part is None:
        return b"none"
    if isinstance(part, Alignment):
        return part.states.tobytes() + part.letters.encode()
    if isinstance(part, Structure):
        return f"{part.name} {part.sequence}".encode() + part.coordinates.values.tobytes()
    if isinstance(part, Sequence):
        return f"{part} {part.numbers}".encode()
    path = Path(part) if isinstance(part, Path) or _kind(part) else None
    if path is None:
        return str(part).encode()
    # As it lies there, packed or not, so that rows of former tables are known again.
    if _kind(path) == "structure":
        noun = "structure file"
        return read_file(path, limit=LARGEST_STRUCTURE, error=StructureError, noun=noun, unpack=False)
    noun = "FASTA file or alignment"
    return read_file(path, limit=LARGEST_ALIGNMENT, error=SequenceError, noun=noun, unpack=False)
