"""Encodings: how residues become tokens, and which logits are those of residues and letters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import ModelError, SequenceError, UsageError

if TYPE_CHECKING:
    import torch

    from catjac_widgets.proteins.masks import Mask


@dataclass(frozen=True)
class Encoding:
    """One token a residue, between tokens that are the same for all sequences.

    Attributes
    ----------
    letters
        The letters that a residue may be, in the model's own order (A of them).
    tokens
        The token of each letter; 0, 1, … by default.
    prefix, suffix
        Tokens before the first and after the last residue.
    mask
        The token of a hidden residue, None where the model has none.
    columns
        Which column of the model's logits is that of each letter; the one of its token by default.
    shift
        How many rows of logits before a residue's own its logits are: 1 where the logits at a token are those
        of the next one, as language models that read from left to right give them.

    Raises
    ------
    UsageError
        If tokens or columns are not one a letter.
    """

    letters: str
    tokens: tuple[int, ...] = ()
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    mask: int | None = None
    columns: tuple[int, ...] = ()
    shift: int = 0
    _token_of: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        A = len(self.letters)
        if A < 2 or len(set(self.letters)) < A:
            raise UsageError(f"letters={self.letters!r} are no alphabet; give two different letters or more.")
        for name, default in (("tokens", range(A)), ("columns", self.tokens or range(A))):
            given = tuple(int(each) for each in (getattr(self, name) or default))
            if len(given) != A or len(set(given)) < A or min(given) < 0:
                raise UsageError(
                    f"{name}={list(given)} are not one a letter; give {A} different numbers from 0, in the "
                    f"order of {self.letters}."
                )
            object.__setattr__(self, name, given)
        if self.shift and not self.prefix:
            raise UsageError(
                "Logits of the first residue would stand before the first token; give prefix= the token that "
                "begins a sequence."
            )
        object.__setattr__(self, "_token_of", dict(zip(self.letters, self.tokens, strict=True)))

    def encode(self, residues: str, mask: Mask | None, model: str) -> torch.Tensor:
        """Tokens (T,) of one sequence, int64, on the CPU.

        Raises
        ------
        SequenceError
            If there is no residue, or one that is no letter.
        ModelError
            If residues are to be hidden and there is no token for it.
        """
        import torch

        tokens = [self._token_of.get(letter, -1) for letter in residues]
        if -1 in tokens:
            place = tokens.index(-1)
            raise SequenceError(
                f"residue {place + 1} is {residues[place]!r}; {model} knows {', '.join(self.letters)}."
            )
        made = torch.tensor([*self.prefix, *tokens, *self.suffix], dtype=torch.int64)
        if mask is not None:
            if self.mask is None:
                raise ModelError(no_mask_token(model))
            hidden = torch.from_numpy(mask.array.nonzero()[0]) + len(self.prefix)
            made[hidden] = self.mask
        return made

    def of_residues(self, logits: torch.Tensor, length: int, model: str) -> torch.Tensor:
        """Logits (B, L, A) of residues and letters among those of all tokens, (B, T, V).

        Raises
        ------
        ModelError
            If there are other tokens or fewer columns than that.
        """
        import torch

        total = len(self.prefix) + length + len(self.suffix)
        if logits.ndim != 3 or logits.shape[1] not in (total, length):
            raise ModelError(
                f"{model} gave logits of shape {tuple(logits.shape)} for {total} tokens of a sequence; they "
                f"must be (sequences, {total} tokens, vocabulary), or {length} residues without the ends."
            )
        if max(self.columns) >= logits.shape[2]:
            raise ModelError(
                f"{model} gave logits of {logits.shape[2]} columns and has none of number "
                f"{max(self.columns)}; say with columns= which one is that of each letter."
            )
        first = len(self.prefix) - self.shift if logits.shape[1] == total else 0
        rows = logits[:, first : first + length]
        return rows.index_select(2, torch.tensor(self.columns, device=logits.device))

    def described(self) -> dict[str, Any]:
        """All that it says, for a fingerprint."""
        names = ("letters", "tokens", "prefix", "suffix", "mask", "columns", "shift")
        return {name: getattr(self, name) for name in names}


def check_length(residues: str, *, model: str, most: int | None, exactly: int | None = None) -> None:
    """Refuse a sequence that is empty, too long, or not as long as the model's structure.

    Raises
    ------
    SequenceError
        Saying which.
    """
    if not residues:
        raise SequenceError("The sequence is empty; give at least two residues.")
    if exactly is not None and len(residues) != exactly:
        raise SequenceError(
            f"The sequence has {len(residues)} residues, but {model} takes exactly {exactly}; give the whole "
            "sequence that it was made for."
        )
    if most is not None and len(residues) > most:
        raise SequenceError(
            f"The sequence has {len(residues)} residues, but {model} takes at most {most}; cut it into "
            "domains or choose a model that takes more."
        )


def no_mask_token(model: str) -> str:
    """Say that residues cannot be hidden from a model."""
    return f"{model} has no mask token, so that no residue can be hidden from it; leave the mask out."
