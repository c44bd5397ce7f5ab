"""Runners: a model made ready for one sequence and one mask, and substitutions to run through it."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from catjac_widgets.errors import ModelError
from catjac_widgets.proteins.alphabets import MASK_LETTER
from catjac_widgets.proteins.masks import Mask

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Substitution:
    """One change of the input: the letter to put (or `MASK_LETTER`) at a 0-based residue index."""

    position: int
    letter: str


class Runner(Protocol):
    """A model made ready for one sequence and one mask."""

    def wild_type(self) -> np.ndarray:
        """Logits of the unchanged input, float32 (or float64), (L, A), see `LanguageModel.letters_of`."""
        ...

    def rows(self, substitutions: list[Substitution]) -> np.ndarray:
        """Logits of the input with each one substitution made, shape (B, L, A)."""
        ...


class Launched(Protocol):
    """A batch that is under way on a device."""

    def result(self) -> np.ndarray:
        """Wait for the batch and return it, shape (B, R, A); good until the next launch of its runner.

        Raises
        ------
        RuntimeError
            Whatever went wrong on the device meanwhile.
        """
        ...


@runtime_checkable
class LaunchingRunner(Protocol):
    """A runner that can start the next batch before the last one is fetched, so that its device never waits.

    At most two batches may be under way, and they are fetched in the order of their launches.
    """

    def launch(
        self, substitutions: list[Substitution], size: int, baseline: np.ndarray, residues: np.ndarray
    ) -> Launched:
        """Start a batch whose result is its logits minus `baseline`.

        Parameters
        ----------
        substitutions
            One a sequence.
        size
            How many sequences a full batch has; a smaller one may be filled up to it.
        baseline
            Logits (R, A) to subtract; its type is that of the result.
        residues
            0-based indices of the R residues of the result, among the L of the model's input.
        """
        ...


class Encodes(Protocol):
    """What `EncodedRunner` needs of a model."""

    name: str
    causal: bool

    def encode(self, residues: str, mask: Mask | None = None) -> torch.Tensor:
        """See `LanguageModel.encode`."""
        ...

    def letters_of(self, residues: str) -> str:
        """See `LanguageModel.letters_of`."""
        ...

    def letters_at(self, residue: str) -> str:
        """See `LanguageModel.letters_at`."""
        ...

    def residue_logits(self, residues: str, tokens: torch.Tensor) -> torch.Tensor:
        """See `LanguageModel.residue_logits`."""
        ...


class EncodedRunner:
    """Runs each substitution as a sequence of its own, through a model's `encode` and `logits` alone.

    Parameters
    ----------
    model
        What runs them; only letters of a residue's own alphabet can be put in its place.
    residues, mask
        The input.
    dtype
        Of the rows: "float32" or "float64".
    """

    def __init__(
        self, model: Encodes, residues: str, mask: Mask | None = None, dtype: str = "float32"
    ) -> None:
        self._model, self._residues, self._mask, self._dtype = model, residues, mask, dtype
        self._hidden = np.zeros(len(residues), dtype=bool) if mask is None else mask.array
        # Refused before anything is run, where it cannot be encoded.
        self._wild_type = model.encode(residues, mask)

    def wild_type(self) -> np.ndarray:
        """See `Runner`."""
        return self._logits([self._wild_type])[0]

    def rows(self, substitutions: list[Substitution]) -> np.ndarray:
        """See `Runner`."""
        if not substitutions:
            letters = self._model.letters_of(self._residues)
            return np.empty((0, len(self._residues), len(letters)), dtype=self._dtype)
        inputs = [self._encoded(change) for change in substitutions]
        if self._model.causal and all(change.position == len(self._residues) - 1 for change in substitutions):
            # Nothing is read after the last residue.
            return np.repeat(self.wild_type()[None], len(inputs), axis=0)
        return self._logits(inputs)

    def _encoded(self, change: Substitution) -> torch.Tensor:
        """Tokens of the input with a substitution made; a hidden residue shows then."""
        k = change.position
        # Those of its alphabet; of a residue that is not there, nothing is said of letters.
        own = self._model.letters_at(self._residues[k] if 0 <= k < len(self._residues) else "")
        check_substitution(change, self._residues, own, self._model.name)
        hidden = self._hidden
        residues = self._residues
        if change.letter == MASK_LETTER:
            hidden = hidden.copy()
            hidden[k] = True
            return self._model.encode(residues, Mask.from_array(hidden))
        residues = f"{residues[:k]}{change.letter}{residues[k + 1 :]}"
        if not hidden[k]:
            return self._model.encode(residues, self._mask)
        hidden = hidden.copy()
        hidden[k] = False
        return self._model.encode(residues, Mask.from_array(hidden) if hidden.any() else None)

    def _logits(self, inputs: list[torch.Tensor]) -> np.ndarray:
        import torch

        found = self._model.residue_logits(self._residues, torch.stack(inputs))
        return found.detach().to("cpu", getattr(torch, self._dtype)).numpy()


def check_substitution(change: Substitution, residues: Sized, letters: str, model: str) -> None:
    """Refuse a substitution at a residue that is not there, or by what is no letter of the model.

    Raises
    ------
    ModelError
        Saying which.
    """
    if not 0 <= change.position < len(residues):
        raise ModelError(
            f"There is no residue {change.position + 1} to substitute; the sequence has {len(residues)}."
        )
    if change.letter != MASK_LETTER and change.letter not in letters:
        raise ModelError(f"{model} has no letter {change.letter!r} to put at a residue.")
