"""Language models without weights: their outputs are known in closed form, or go wrong on purpose."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable

import numpy as np
import torch

from catjac_widgets.language_models.base import EXACT, FLOAT64, LanguageModel, Runner, Substitution
from catjac_widgets.proteins.alphabets import ESM_LETTERS, MASK_LETTER
from catjac_widgets.proteins.masks import Mask


class PottsRunner:
    """Logits of a Potts model for substitutions in one sequence, in its own precision."""

    def __init__(self, model: PottsModel, one_hot: np.ndarray) -> None:
        self.model, self.one_hot = model, one_hot

    def wild_type(self) -> np.ndarray:
        return self._logits(self.one_hot[None])[0]

    def rows(self, substitutions: list[Substitution]) -> np.ndarray:
        self.model.on_rows(substitutions)
        batch = np.repeat(self.one_hot[None], len(substitutions), axis=0)
        for k, change in enumerate(substitutions):
            batch[k, change.position] = self.model.one_hot_of(change.letter)
        return self._logits(batch)

    def _logits(self, one_hot: np.ndarray) -> np.ndarray:
        fields, couplings = self.model.parameters_for(one_hot.shape[1])
        logits = fields + np.einsum("nia,iajb->njb", one_hot, couplings, optimize=True)
        return logits.astype(one_hot.dtype)


class PottsModel(LanguageModel):
    """A random Potts model: z[j, b] = V[j, b] + Σ_i W[i, x_i, j, b], with zero diagonal blocks.

    A masked residue contributes the mean of its letters. One set of parameters a sequence length, drawn from
    `seed`.
    """

    numerics = (EXACT, FLOAT64)

    def __init__(
        self,
        *,
        seed: int = 0,
        letters: str = ESM_LETTERS,
        max_residues: int | None = None,
        symmetric: bool = True,
        scale: float = 1.0,
    ) -> None:
        self.name = f"potts stub {seed}"
        self.letters = letters
        self.max_residues = max_residues
        self.seed, self.symmetric, self.scale = seed, symmetric, scale
        self._drawn: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        #: Sequences that each call of `Runner.rows` ran.
        self.batches: list[int] = []
        self.prepared = 0

    @property
    def fingerprint(self) -> str:
        text = f"potts {self.seed} {self.letters} {self.symmetric} {self.scale}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def parameters(self) -> int:
        return 1000

    def parameters_for(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        """V (L, A) and W (L, A, L, A), float64."""
        if length not in self._drawn:
            random = np.random.default_rng([self.seed, length])
            size = len(self.letters)
            couplings = self.scale * random.normal(size=(length, size, length, size))
            if self.symmetric:
                couplings = (couplings + couplings.transpose(2, 3, 0, 1)) / 2
            couplings[np.arange(length), :, np.arange(length), :] = 0.0
            self._drawn[length] = random.normal(size=(length, size)), couplings
        return self._drawn[length]

    def one_hot_of(self, letter: str) -> np.ndarray:
        if letter == MASK_LETTER:
            return np.full(len(self.letters), 1 / len(self.letters))
        return np.eye(len(self.letters))[self.letters.index(letter)]

    def on_rows(self, substitutions: list[Substitution]) -> None:
        self.batches.append(len(substitutions))

    def encode(self, residues: str, mask: Mask | None = None) -> torch.Tensor:
        tokens = [self.letters.index(letter) for letter in residues]
        if mask is not None:
            tokens = [
                len(self.letters) if hidden else k for k, hidden in zip(tokens, mask.masked, strict=True)
            ]
        return torch.tensor(tokens, dtype=torch.int64)

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        table = np.concatenate([np.eye(len(self.letters)), [self.one_hot_of(MASK_LETTER)]])
        return torch.from_numpy(PottsRunner(self, table)._logits(table[tokens.numpy()]))

    def prepare(self, residues: str, mask: Mask | None = None, numerics: str = "exact") -> Runner:
        self.prepared += 1
        hidden = mask.masked if mask is not None else (False,) * len(residues)
        one_hot = np.stack(
            [
                self.one_hot_of(MASK_LETTER if masked else letter)
                for letter, masked in zip(residues, hidden, strict=True)
            ]
        )
        return PottsRunner(self, one_hot.astype(np.float64 if numerics == "float64" else np.float32))

    def row_bytes(self, length: int) -> int:
        return 4 * length * len(self.letters)

    def seconds_per_sequence(self, length: int) -> float:
        return 1e-4

    @property
    def sequences_run(self) -> int:
        """How many mutants it was run on."""
        return sum(self.batches)


class FailingModel(PottsModel):
    """Gives NaN where a letter is put at a 0-based position, as long as `broken` is set."""

    def __init__(self, position: int, letter: str, **settings: int) -> None:
        super().__init__(**settings)
        self.bad, self.broken = Substitution(position, letter), True

    def prepare(self, residues: str, mask: Mask | None = None, numerics: str = "exact") -> Runner:
        runner = super().prepare(residues, mask, numerics)
        rows = runner.rows

        def with_nan(substitutions: list[Substitution]) -> np.ndarray:
            logits = rows(substitutions)
            for k, change in enumerate(substitutions):
                if self.broken and change == self.bad:
                    logits[k, 0, 0] = np.nan
            return logits

        runner.rows = with_nan  # type: ignore[method-assign]
        return runner


class HungryModel(PottsModel):
    """Runs out of memory for batches of more than `most` sequences."""

    def __init__(self, most: int, error: Callable[[], Exception] | None = None, **settings: int) -> None:
        super().__init__(**settings)
        self.most = most
        self.error = error or (
            lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        )
        self.refused: list[int] = []

    def on_rows(self, substitutions: list[Substitution]) -> None:
        if len(substitutions) > self.most:
            self.refused.append(len(substitutions))
            raise self.error()
        super().on_rows(substitutions)


class SlowModel(PottsModel):
    """Waits before each batch: for `seconds`, or until `gate` lets it through."""

    def __init__(
        self, seconds: float = 0.0, gate: threading.Semaphore | None = None, **settings: int
    ) -> None:
        super().__init__(**settings)
        self.seconds, self.gate = seconds, gate
        #: Set as soon as a batch is running.
        self.running = threading.Event()

    def on_rows(self, substitutions: list[Substitution]) -> None:
        self.running.set()
        if self.gate is not None:
            self.gate.acquire(timeout=30)
        time.sleep(self.seconds)
        super().on_rows(substitutions)


class BatchDependentModel(PottsModel):
    """Its rows depend, in the last digits, on their place in the batch and on its size, as a GPU's do."""

    def prepare(self, residues: str, mask: Mask | None = None, numerics: str = "exact") -> Runner:
        runner = super().prepare(residues, mask, numerics)
        rows = runner.rows

        def shaken(substitutions: list[Substitution]) -> np.ndarray:
            logits = rows(substitutions)
            place = np.arange(len(substitutions))[:, None, None] / len(substitutions)
            return (logits * (1 + 1e-6 * place)).astype(logits.dtype)

        runner.rows = shaken  # type: ignore[method-assign]
        return runner
