"""The other strand: complements of letters, and arrays turned round."""

from __future__ import annotations

import numpy as np

from catjac_widgets.errors import ModelError

_PARTNERS = {"A": "TU", "C": "G", "G": "C", "T": "A", "U": "A"}


class Strands:
    """What the other strand of nucleotides is.

    Parameters
    ----------
    letters
        The four of a model, in its own order.
    model
        Its name, for messages.

    Raises
    ------
    ModelError
        If they are not the four nucleotides of DNA or RNA.
    """

    def __init__(self, letters: str, model: str) -> None:
        partner = {
            letter: next((each for each in _PARTNERS.get(letter, "") if each in letters), "")
            for letter in letters
        }
        if sorted(letters.replace("U", "T")) != list("ACGT"):
            raise ModelError(
                f"{model} has the letters {letters}, and only nucleotides (A, C, G and T or U) have another "
                "strand."
            )
        self.complement = partner
        #: Which letter, by number, stands in the place of each.
        self.order = [letters.index(partner[letter]) for letter in letters]

    def of(self, residues: str) -> str:
        """Give the reverse complement."""
        return "".join(self.complement[letter] for letter in reversed(residues))

    def turned(self, logits: np.ndarray) -> np.ndarray:
        """Turn logits (…, L, A) of the other strand into those of the residues and letters of this one."""
        return logits[..., ::-1, self.order]
