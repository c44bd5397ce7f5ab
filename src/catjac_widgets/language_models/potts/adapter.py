"""A Potts model as a language model: every analysis that needs logits works on it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from catjac_widgets.errors import SequenceError
from catjac_widgets.language_models.base import (
    EXACT,
    FLOAT64,
    LanguageModel,
    Runner,
    Substitution,
    choose_numerics,
)
from catjac_widgets.language_models.fingerprints import content_hash
from catjac_widgets.language_models.potts.parameters import PottsParameters
from catjac_widgets.language_models.runners import check_substitution
from catjac_widgets.proteins.alphabets import MASK_LETTER

if TYPE_CHECKING:
    import torch

    from catjac_widgets.proteins.masks import Mask

#: Changes whenever the same parameters would give other logits.
_VERSION = 1


class Potts(LanguageModel):
    """Logits z[j, b] = V[j, b] + Σ_{i≠j} W[i, x_i, j, b]; a hidden residue contributes its letters' mean.

    So it contributes nothing in the zero-sum gauge, and the Jacobian, W[i, a, j, b] − W[i, x_i, j, b], does
    not depend on the rest of the sequence. A residue without a column has no couplings: substituting it
    changes nothing, and its own logits are 0. There is no contact head: contacts are those of the Jacobian.

    Parameters
    ----------
    parameters
        The gap, if it is a state, is left out. Where they are of a part of the query only (files of plmc and
        GREMLIN), sequences are the whole query, in which `PottsParameters.first_residue` finds the part.
    name
        What to call it.
    device
        Where it runs; the CPU by default.
    fingerprint
        What the cache knows it by; of the parameters themselves by default.
    """

    has_contact_head = False
    numerics = (EXACT, FLOAT64)

    def __init__(
        self,
        parameters: PottsParameters,
        *,
        name: str = "potts",
        device: torch.device | str | None = None,
        fingerprint: str | None = None,
    ) -> None:
        import torch

        self.potts = parameters
        self.name = name
        self.letters = parameters.residue_letters
        self.max_residues = None if parameters.is_part else parameters.length
        self._device = torch.device(device or "cpu")
        fields, couplings = parameters.without_gap()
        self._fields = torch.from_numpy(fields).to(self._device)
        self._couplings = torch.from_numpy(couplings).to(self._device)
        self._digest = fingerprint or fingerprint_of(parameters)
        self._made_of = self._contents()

    @property
    def fingerprint(self) -> str:
        """See `LanguageModel`; all parameters are read for it, since somebody may have changed them."""
        if self._contents() == self._made_of:
            return self._digest
        digest = hashlib.sha256(self._digest.encode())
        for values in (self._fields, self._couplings):
            digest.update(values.cpu().contiguous().numpy().tobytes())
        return f"altered:{digest.hexdigest()}"

    def _contents(self) -> tuple[int, int]:
        return content_hash(self._fields), content_hash(self._couplings)

    @property
    def device(self) -> torch.device:
        """See `LanguageModel`."""
        return self._device

    @property
    def parameters(self) -> int:
        """Fields and couplings, each pair once."""
        K, q = self.potts.fields.shape
        return K * q + K * (K - 1) // 2 * q * q

    def encode(self, residues: str, mask: Mask | None = None) -> torch.Tensor:
        """See `LanguageModel`; a hidden residue is A, the number of letters, one without a column A + 1.

        Raises
        ------
        SequenceError
            If the residues are not those that the model has columns for, or one is no letter of it.
        """
        import torch

        first = self.potts.first_residue(residues, what=self.name)
        unknown = next((letter for letter in residues if letter not in self.letters), None)
        if unknown is not None:
            raise SequenceError(f"{self.name} has no letter {unknown!r}; it has {', '.join(self.letters)}.")
        tokens = torch.tensor([self.letters.index(letter) for letter in residues], dtype=torch.int64)
        if mask is not None:
            tokens[torch.from_numpy(mask.array)] = len(self.letters)
        coupled = torch.zeros(len(tokens), dtype=torch.bool)
        coupled[first + torch.tensor(self.potts.columns)] = True
        return torch.where(coupled, tokens, len(self.letters) + 1)

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `LanguageModel`; all sequences have their columns at the same residues."""
        import torch

        K, A = self._fields.shape
        places = self.columns_of(tokens[0])
        table = torch.cat([torch.eye(A), torch.full((1, A), 1.0 / A)]).to(self._couplings)
        inputs = table[tokens[:, places].to(self._device)].reshape(len(tokens), K * A)
        logits = self._fields.new_zeros(*tokens.shape, A)
        logits[:, places] = self._fields + (inputs @ self._couplings.reshape(K * A, K * A)).view(-1, K, A)
        return logits

    def columns_of(self, tokens: torch.Tensor) -> list[int]:
        """List the 0-based residues of one encoded sequence (T,) that have a column."""
        return [int(place) for place in (tokens <= len(self.letters)).nonzero()]

    def prepare(self, residues: str, mask: Mask | None = None, numerics: str = "exact") -> Runner:
        """See `LanguageModel`."""
        import torch

        chosen = choose_numerics(self.numerics, numerics, model=self.name)
        dtype = getattr(torch, chosen.dtype)
        return _PottsRunner(self, self.encode(residues, mask), dtype)

    def row_bytes(self, length: int) -> int:
        """See `LanguageModel`."""
        return 8 * length * len(self.letters)

    def seconds_per_sequence(self, length: int) -> float:
        """See `LanguageModel`."""
        return 1e-8 * length * len(self.letters)


class _PottsRunner:
    """Adds to the baseline what one substitution changes, which is exact for a Potts model."""

    def __init__(self, model: Potts, tokens: torch.Tensor, dtype: torch.dtype) -> None:
        import torch

        self._model, self._tokens = model, tokens.tolist()
        self._couplings = model._couplings.to(dtype)
        self._mean = self._couplings.mean(dim=1)
        self._places = model.columns_of(tokens)
        self._column = {place: k for k, place in enumerate(self._places)}
        inputs = [self._input(place, token) for place, token in enumerate(self._tokens)]
        self._baseline = model._fields.to(dtype) + torch.stack(inputs).sum(dim=0)

    def _input(self, position: int, token: int) -> torch.Tensor:
        """Give what a residue adds to the logits of all columns, (K, A)."""
        column = self._column.get(position)
        if column is None:
            return self._mean.new_zeros(self._mean.shape[1:])
        return self._mean[column] if token == len(self._model.letters) else self._couplings[column, token]

    def _of_all_residues(self, logits: list[torch.Tensor]) -> np.ndarray:
        """Lay logits of the columns, (K, A) each, at their residues: (B, L, A), 0 elsewhere."""
        A = len(self._model.letters)
        found = self._baseline.new_zeros(len(logits), len(self._tokens), A)
        for row, values in zip(found, logits, strict=True):
            row[self._places] = values
        return found.cpu().numpy()

    def wild_type(self) -> np.ndarray:
        return self._of_all_residues([self._baseline])[0]

    def rows(self, substitutions: list[Substitution]) -> np.ndarray:
        letters = self._model.letters
        made = []
        for change in substitutions:
            check_substitution(change, self._tokens, letters, self._model.name)
            token = len(letters) if change.letter == MASK_LETTER else letters.index(change.letter)
            old = self._input(change.position, self._tokens[change.position])
            made.append(self._baseline + (self._input(change.position, token) - old))
        return self._of_all_residues(made)


def random_potts(length: int, *, letters: str, seed: int = 0, scale: float = 0.5) -> Potts:
    """Make a Potts model of normally distributed fields and couplings, for controls and examples.

    Parameters
    ----------
    scale
        Standard deviation of the couplings; fields have 1.
    """
    generator = np.random.default_rng([seed, length])
    A = len(letters)
    drawn = generator.normal(size=(length, A, length, A), scale=scale * np.sqrt(2)).astype(np.float32)
    W = (drawn + drawn.transpose(2, 3, 0, 1)) / np.float32(2)
    W[np.arange(length), :, np.arange(length), :] = 0
    V = generator.normal(size=(length, A)).astype(np.float32)
    return Potts(PottsParameters(V, W, letters), name=f"random Potts model {seed}")


def fingerprint_of(parameters: PottsParameters) -> str:
    """SHA-256 of all that decides the logits."""
    text = f"potts {_VERSION} {parameters.letters} {parameters.columns} {parameters.length}"
    if parameters.is_part:
        # What decides where the columns come to lie in a longer sequence.
        text += f" part {parameters.first_number} {parameters.sequence}"
    digest = hashlib.sha256(text.encode())
    for array in (parameters.fields, parameters.couplings):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
