"""Models that know several alphabets, such as amino acids and nucleotides, of which each residue has one.

The letters of all alphabets differ, by case where need be: "ACGT" are amino acids and "acgt" nucleotides.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from catjac_widgets.errors import SequenceError
from catjac_widgets.input_files import shown
from catjac_widgets.proteins.alphabets import upper_case
from catjac_widgets.proteins.sequences import Sequence

#: Peptides of alanine, cysteine, glycine and threonine alone are not longer than that; nucleotides are.
_LONGEST_PEPTIDE = 3


def letters_of(residues: Iterable[str], letters: str, alphabets: tuple[str, ...]) -> str:
    """Give the letters of those alphabets of which a sequence has a residue, in the order of the alphabets.

    Parameters
    ----------
    residues
        Anything that is in no alphabet does not count.
    letters
        All of the model's, for one that has one alphabet only.
    alphabets
        See `LanguageModel.alphabets`.
    """
    if not alphabets:
        return letters
    there = set(residues)
    return "".join(each for each in alphabets if there & set(each)) or letters


def letters_at(residue: str, letters: str, alphabets: tuple[str, ...]) -> str:
    """Give the letters that may be put in place of a residue: its own alphabet; "" where it has none."""
    if not alphabets:
        return letters
    return next((each for each in alphabets if residue in each), "")


def check_elements(sequence: Sequence, alphabets: tuple[str, ...], model: str) -> None:
    """Refuse a chain of several alphabets, and nucleotides that are written as if they were amino acids.

    Raises
    ------
    SequenceError
        Saying which chain, and how it is written.
    """
    if len(alphabets) < 2:
        return
    for chain in sequence.chains:
        there = set(chain.residues)
        if sum(bool(there & set(each)) for each in alphabets) > 1:
            raise SequenceError(
                f"Chain {chain.name} has upper-case and lower-case letters; {model} takes amino acids in "
                "upper case and nucleotides in lower case, each element behind its strand: "
                "<+>MALTKVE<+>aatttaag."
            )
        for each in alphabets:
            if len(chain) > _LONGEST_PEPTIDE and each != upper_case(each) and there <= set(upper_case(each)):
                raise SequenceError(
                    f"Chain {chain.name} ({shown(chain.residues)}) has the letters {upper_case(each)} alone, "
                    f"and {model} would take them for amino acids; nucleotides are written in lower "
                    f"case, behind their strand: <+>{shown(chain.residues.lower())}."
                )


def names_strands(tokenizer: Any) -> bool:
    """Whether the vocabulary of a tokenizer of transformers names the strands of DNA, as gLM2's does."""
    told = getattr(tokenizer, "get_vocab", None)
    return told is not None and {"<+>", "<->"} <= set(told())
