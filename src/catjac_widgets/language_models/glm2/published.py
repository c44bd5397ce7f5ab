"""gLM2's vocabulary, and what its authors published.

Cornman A. et al. (2024), The OMG dataset: an open metagenomic corpus for mixed-modality genomic language
modeling, bioRxiv 2024.08.14.607850.
"""

from __future__ import annotations

from dataclasses import dataclass

from catjac_widgets.proteins.alphabets import ESM_LETTERS

#: Nucleotides in the order of their tokens, which is not the alphabet's.
NUCLEOTIDES = "atcg"

#: Amino acids are written in upper case, nucleotides in lower case.
ALPHABETS = (ESM_LETTERS, NUCLEOTIDES)
LETTERS = "".join(ALPHABETS)

#: How strands are written, by the letter that stands for them among residues.
STRAND_TOKENS = {"+": "<+>", "-": "<->"}

#: Tokens of letters, strands and the mask in the published vocabulary of 37.
TOKENS = (*range(4, 24), *range(29, 33))
STRANDS = (33, 34)
MASK = 35

#: Before a model's name: its elements are read without strands.
WITHOUT = "no_strands:"

#: Tokens that it was trained on at most, those of strands included.
CONTEXT = 4096


@dataclass(frozen=True)
class Published:
    """One published model.

    Attributes
    ----------
    repository
        Where it is on the Hugging Face Hub.
    parameters
        About how many.
    """

    repository: str
    parameters: int

    @property
    def size(self) -> int:
        """Bytes of its weights in float32."""
        return 4 * self.parameters


PUBLISHED = {
    "glm2_150M": Published("tattabio/gLM2_150M", 150_000_000),
    "glm2_650M": Published("tattabio/gLM2_650M", 650_000_000),
}
