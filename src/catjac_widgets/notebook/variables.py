"""What "$name" means in a magic: a variable of the notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from catjac_widgets.errors import SequenceError, UsageError
from catjac_widgets.proteins.reading import Protein, read_protein
from catjac_widgets.proteins.spec import nearest


def value_of(word: str, variables: Mapping[str, Any]) -> Any:
    """Look up the object that "$name" or "${name}" stands for.

    Raises
    ------
    UsageError
        If there is no such variable.
    """
    name = _name(word)
    if name not in variables:
        public = [key for key in variables if not key.startswith("_")]
        raise UsageError(f"There is no variable {name!r}{nearest(name, public)}.")
    return variables[name]


def protein_of(word: str, variables: Mapping[str, Any], **options: Any) -> Protein:
    """Find the protein that the words of a magic mean.

    Parameters
    ----------
    word
        What `as_sequence` reads, or "$name".
    variables
        The notebook's variables.
    **options
        As of `read_protein`.

    Raises
    ------
    UsageError
        If a variable does not exist or holds no protein.
    SequenceError, StructureError
        See `read_protein`.
    """
    if not word.strip():
        raise UsageError("Say which protein: an example's name, pdb:1UBQ, a FASTA file or a sequence.")
    if not word.startswith("$"):
        try:
            return read_protein(word, **options)
        except SequenceError:
            if word in variables:
                raise UsageError(f"{word!r} is a variable; write ${word}.") from None
            raise
    value = value_of(word, variables)
    try:
        found = read_protein(value, **options)
    except SequenceError as error:
        raise UsageError(f"The variable {_name(word)!r} cannot be used: {error}") from error
    # A bare sequence has no name of its own.
    return (
        found if found.sequence.name else replace(found, sequence=replace(found.sequence, name=_name(word)))
    )


def _name(word: str) -> str:
    return word[1:].removeprefix("{").removesuffix("}")
