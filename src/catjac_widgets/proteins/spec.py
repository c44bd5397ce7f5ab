"""What a text that names a protein means: residues, FASTA, a file, or a name in a collection.

A text is never guessed: if it can be read in two ways, the error names both and how to write each. Readers of
collections and files that need more than this layer (structures, a network) are registered from above.
"""

from __future__ import annotations

import difflib
import importlib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catjac_widgets.errors import SequenceError
from catjac_widgets.input_files import check_file, megabytes, shown, user_path
from catjac_widgets.proteins.alphabets import upper_case

#: File names by which FASTA and alignments are known.
_FASTA_FILE = re.compile(r"\.(fasta|fas|fa|faa|fna|ffn|frn|seq|a3m|a2m|afa|aln)(\.gz)?$", re.IGNORECASE)

#: Bytes of FASTA that are read at most, from a file (also unpacked) or pasted; 100,000 proteins have fewer.
LARGEST_FASTA = 64 * 2**20

#: What may stand before an element of a genome: on which strand it lies.
STRAND_TOKEN = re.compile(r"<([+-])>")

# Shorter lower-case words are more likely a mistyped name than residues.
_SHORTEST_LOWER_CASE = 10


@dataclass(frozen=True)
class Collection:
    """Proteins that are named by a word, and where the code that finds them lives.

    Parameters
    ----------
    prefix
        What says that this collection is meant: "pdb" in "pdb:1UBQ".
    written
        An example for error messages: "pdb:1UBQ".
    reader
        "module:function", imported when it is first called: (word, chain) → an object with `sequence` and
        `structure`.
    noun
        What one of its members is, with article: "an example".
    names
        "module:function" that lists the names which mean a member even without the prefix; "" if none do.
    pattern
        What members look like; for a bare word that does, the error asks for the prefix.
    """

    prefix: str
    written: str
    reader: str
    noun: str
    names: str = ""
    pattern: re.Pattern[str] | None = None

    def known_names(self) -> list[str]:
        """List the names that need no prefix."""
        return list(_attribute(self.names)()) if self.names else []


@dataclass(frozen=True)
class Spec:
    """What a text means.

    Attributes
    ----------
    kind
        "residues" (also several chains joined by ":"), "fasta" (pasted), "file", or the prefix of a
        collection.
    text
        The text without its prefix.
    """

    kind: str
    text: str


_collections: dict[str, Collection] = {}
_file_readers: list[tuple[re.Pattern[str], str]] = []


def register_collection(collection: Collection) -> None:
    """Make the words of a collection known to everything that takes a protein."""
    _collections[collection.prefix] = collection


def register_file_reader(pattern: re.Pattern[str], reader: str) -> None:
    """Have files whose name matches read by a function that is not of this layer.

    Parameters
    ----------
    pattern
        Searched in the file's name.
    reader
        "module:function", imported when it is first called: (path, chain) → an object with `sequence` and
        `structure`.
    """
    _file_readers.append((pattern, reader))


def is_like(prefix: str, word: str) -> bool:
    """Whether a word looks like a member of a collection that has a pattern."""
    pattern = _collections[prefix].pattern
    return pattern is not None and pattern.fullmatch(word) is not None


def collection_reader(prefix: str) -> Callable[[str, str | None], Any]:
    """Import the reader of a collection."""
    return _attribute(_collections[prefix].reader)


def file_reader(path: Path) -> Callable[[Path, str | None], Any] | None:
    """Import the reader registered for a file's name; None for FASTA."""
    found = next((reader for pattern, reader in _file_readers if pattern.search(path.name)), None)
    return None if found is None else _attribute(found)


def known_words() -> list[str]:
    """List the names that mean a protein by themselves, for completion."""
    return [name for collection in _collections.values() for name in collection.known_names()]


def prefixes() -> list[str]:
    """List the words that may stand before ":" to say which reading is meant."""
    return [*_collections, "file", "sequence"]


def parse(text: str, letters: str) -> Spec:
    """Find out what a text means; nothing is opened.

    Parameters
    ----------
    text
        Residues (chains joined by ":"), pasted FASTA, a file's path, or a word of a collection; with a prefix
        ("sequence:", "file:", "pdb:", …) where it could be two things.
    letters
        The letters that residues may have.

    Raises
    ------
    SequenceError
        If it means nothing, or more than one thing.
    """
    if len(text) > LARGEST_FASTA:
        raise SequenceError(
            f"The text has more than the {megabytes(LARGEST_FASTA)} that are read; give a part of it."
        )
    word = text.lstrip("\ufeff").strip()
    if not word:
        raise SequenceError(
            "There is nothing in the sequence; give residues, an example's name, pdb:1UBQ or a FASTA file."
        )
    if len(word.splitlines()) > 1 or word.startswith((">", ";")):
        return Spec("fasta", text)
    if STRAND_TOKEN.match(word):
        return Spec("residues", word)
    prefix, separator, rest = word.partition(":")
    # "FILE:ACDE" is two chains: a prefix is not itself made of residues.
    if separator and prefix.lower() in prefixes() and not set(prefix) <= set(letters):
        if not rest.strip():
            raise SequenceError(f"There is nothing after '{prefix}:'; write {_written(prefix.lower())}.")
        return Spec({"sequence": "residues"}.get(prefix.lower(), prefix.lower()), rest.strip())
    readings = [name for name in prefixes() if _could_be(name, word, letters)]
    if len(readings) > 1:
        options = " or ".join(f"{name}:{shown(word)}" for name in readings)
        raise SequenceError(f"{shown(word)!r} could be {_listed(map(_noun, readings))}; write {options}.")
    if readings:
        return Spec({"sequence": "residues"}.get(readings[0], readings[0]), word)
    return _otherwise(word)


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which of the known words a mistyped one may have meant: "; did you mean bpti?", or ""."""
    if len(word) > 100:  # nobody's slip, and slow to compare
        return ""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(by_lower[name] for name in near)}?" if near else ""


def _could_be(reading: str, word: str, letters: str) -> bool:
    """Whether a bare word can be read that way; databases are only asked when they are named."""
    if reading == "file":
        return _is_file(word) or _is_known_ending(word)
    if reading == "sequence":
        if word in known_words():  # lower case, while residues are written in upper case
            return False
        # Numbers come with listings pasted from databases.
        plain = re.sub(r"(?<!\S)\d+(?!\S)|[\s:*]", "", word)
        # Upper case is how sequences are written, so "WW" may be either while "ww" is the example.
        written = plain.isupper() or len(plain) >= _SHORTEST_LOWER_CASE
        return bool(plain) and written and set(upper_case(plain)) <= set(letters)
    return word.lower() in _collections[reading].known_names()


def _is_known_ending(word: str) -> bool:
    """Whether a word ends as the files do that can be read."""
    return any(pattern.search(word) for pattern in (_FASTA_FILE, *(each for each, _ in _file_readers)))


def _is_file(word: str) -> bool:
    """Whether a word is the path of a file that exists."""
    return os.path.isfile(user_path(word))


def _otherwise(word: str) -> Spec:
    """Take upper-case text for residues with one that is wrong, which is said later; refuse all else."""
    for collection in _collections.values():
        if is_like(collection.prefix, word):
            raise SequenceError(
                f"{word!r} looks like {collection.noun}; write {collection.prefix}:{word.upper()}."
            )
    if "/" in word or "\\" in word or (Path(word).suffix and not word.isupper()):
        check_file(user_path(word), error=SequenceError, noun="file")  # it says why it is none
        raise SequenceError(f"There is no file {shown(word)}; check the path.")
    if word.startswith("$"):
        raise SequenceError(f"There is no variable {shown(word)} here; give a name, a file or a sequence.")
    # No example, file or identifier has blanks or a stop: residues copied from elsewhere have.
    if word.isupper() or len(word.split()) > 1 or word.endswith("*"):
        return Spec("residues", word)
    names = known_words()
    hint = nearest(word, names) or (f" (examples: {', '.join(names)})" if names else "")
    raise SequenceError(
        f"{shown(word)!r} is no example, file or sequence{hint}; as residues: sequence:{shown(word)}."
    )


def _noun(reading: str) -> str:
    fixed = {"file": "a file here", "sequence": "a sequence"}
    return fixed[reading] if reading in fixed else _collections[reading].noun


def _written(prefix: str) -> str:
    fixed = {"file": "file:protein.fasta", "sequence": "sequence:MKTAYIAKQR"}
    return fixed[prefix] if prefix in fixed else _collections[prefix].written


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _attribute(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function
