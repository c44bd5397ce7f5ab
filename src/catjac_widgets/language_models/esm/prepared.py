"""One sequence under one mask as the tokens of a model: what a runner needs to know, and no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import ModelError
from catjac_widgets.proteins.alphabets import MASK_LETTER

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from catjac_widgets.language_models.base import Substitution


@dataclass(frozen=True, eq=False)
class PreparedInput:
    """A model with one sequence, masks included, as its tokens.

    Attributes
    ----------
    model
        fair-esm's.
    name
        What a person calls the model.
    tokens
        Of the unchanged input, int64, (T,), on the CPU.
    residues
        Where the L residues lie among the tokens.
    letters
        The vocabulary's row of each letter, in the order of the logits.
    mask_token
        The vocabulary's row of the mask token.
    """

    model: Any
    name: str
    tokens: torch.Tensor
    residues: slice
    letters: Mapping[str, int]
    mask_token: int

    @property
    def length(self) -> int:
        """L, the number of residues."""
        return int(self.residues.stop - self.residues.start)

    @property
    def columns(self) -> list[int]:
        """Rows of the vocabulary whose logits are wanted."""
        return list(self.letters.values())

    def changes(self, substitutions: list[Substitution]) -> torch.Tensor:
        """Which token each substitution changes, and into what: int64, (B, 2).

        Raises
        ------
        ModelError
            For a position or a letter that there is not.
        """
        import torch

        known = {**self.letters, MASK_LETTER: self.mask_token}
        made = []
        for change in substitutions:
            token = known.get(change.letter)
            if token is None or not 0 <= change.position < self.length:
                raise ModelError(
                    f"{change.letter!r} cannot be put at position {change.position + 1} of {self.length}; "
                    f"letters are {''.join(self.letters)} and {MASK_LETTER}."
                )
            made.append((self.residues.start + change.position, token))
        return torch.tensor(made, dtype=torch.int64).view(-1, 2)


def with_changes(tokens: torch.Tensor, changes: torch.Tensor) -> torch.Tensor:
    """Tokens (B, T): `tokens` (T,) with one token changed in each sequence, (B, 2) as of `PreparedInput`."""
    return tokens.repeat(len(changes), 1).scatter_(1, changes[:, :1], changes[:, 1:])
