"""One sequence under one mask, made ready to run its mutants through a fair-esm model."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.base import Substitution
from catjac_widgets.language_models.esm.passes import letter_pass, running
from catjac_widgets.language_models.esm.stock import altered_modules
from catjac_widgets.proteins.alphabets import MASK_LETTER

if TYPE_CHECKING:
    import torch

    from catjac_widgets.language_models.esm.adapter import FairEsm
    from catjac_widgets.language_models.esm.cpu_kernels.exact import CompiledPasses
    from catjac_widgets.language_models.esm.linear_layers import LinearLayers

#: Mutants by which layers are found that cannot be multiplied coarsely.
SAMPLED_MUTANTS = 8


class FairEsmRunner:
    """One sequence under one mask, made ready (see `Runner`).

    Attributes
    ----------
    model
        fair-esm's.
    tokens
        Of the unchanged input, int64, (T,), on the CPU.
    length
        How many residues it has.
    not_compiled
        Why no compiled kernel runs its batches, or None where one does.
    """

    def __init__(
        self, adapter: FairEsm, model: Any, tokens: torch.Tensor, output: type[np.floating[Any]]
    ) -> None:
        self._adapter, self._model, self._tokens, self._output = adapter, model, tokens, output
        self._residues, self._columns = adapter._residues(tokens), adapter._columns()
        self.length = self._residues.stop - self._residues.start
        self._linear: LinearLayers | None = None
        self._compiled: CompiledPasses | None = None
        self.not_compiled: str | None = "the model is altered, or runs in float64"
        self._make_ready()

    @property
    def model(self) -> Any:
        """See the class."""
        return self._model

    @property
    def tokens(self) -> torch.Tensor:
        """See the class."""
        return self._tokens

    def wild_type(self) -> np.ndarray:
        """Logits of the unchanged input, shape (L, A)."""
        return self._run(self._tokens[None])[0]

    def rows(self, substitutions: list[Substitution]) -> np.ndarray:
        """Logits of the input with each one substitution made, shape (B, L, A)."""
        changes = self.changes(substitutions)
        if not substitutions:
            return np.zeros((0, self.length, len(self._columns)), dtype=self._output)
        return self._run(with_changes(self._tokens, changes))

    def changes(self, substitutions: list[Substitution]) -> torch.Tensor:
        """Which token each substitution changes, and into what: int64, (B, 2).

        Raises
        ------
        ModelError
            For a position or a letter that there is not.
        """
        import torch

        known = self._adapter._tokens | {MASK_LETTER: self._adapter.alphabet.mask_idx}
        made = []
        for change in substitutions:
            token = known.get(change.letter)
            if token is None or not 0 <= change.position < self.length:
                raise ModelError(
                    f"{change.letter!r} cannot be put at position {change.position + 1} of {self.length}; "
                    f"letters are {self._adapter.letters} and {MASK_LETTER}."
                )
            made.append((self._residues.start + change.position, token))
        return torch.tensor(made, dtype=torch.int64).view(-1, 2)

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (B, L, A) of tokens (B, T), both on the model's device, waiting for nothing.

        The model is fair-esm's own, and within `running`.
        """
        from catjac_widgets.language_models.esm.forward import AS_THEY_ARE, letter_logits

        return letter_logits(self.model, tokens, self._residues, self._letters, self._linear or AS_THEY_ARE)

    @functools.cached_property
    def _letters(self) -> torch.Tensor:
        import torch

        return torch.tensor(self._columns, device=self._model.embed_tokens.weight.device)

    def _make_ready(self) -> None:
        """Choose how batches are run."""
        if altered_modules(self._model) or self._output is np.float64:
            return
        import torch

        from catjac_widgets.language_models.esm.cpu_kernels.exact import CompiledPasses, why_not
        from catjac_widgets.language_models.esm.linear_layers import fast_layers

        self.not_compiled = why_not(self._model)
        if self.not_compiled is None:
            letters = torch.tensor(self._columns)
            self._compiled = CompiledPasses(self._model, len(self._tokens), self._residues, letters)
        else:
            self._linear = fast_layers(self._model)

    def _run(self, tokens: torch.Tensor) -> np.ndarray:
        import torch

        if self._compiled is not None:
            with running(self._model), torch.inference_mode():
                return self._compiled(tokens).numpy()
        logits = letter_pass(self._model, tokens, self._residues, self._columns, self._linear)
        # By way of torch: numpy knows no bfloat16.
        return logits.to(torch.float64 if self._output is np.float64 else torch.float32).cpu().numpy()


class DeltaRunner(FairEsmRunner):
    """A runner whose mutants differ from the wild type by coarse products (see `delta_layers`).

    Attributes
    ----------
    exact
        The runner of the same input in float32.
    in_float32
        Names of the layers that stay in float32 on this protein.

    Raises
    ------
    ModelError
        If the model is altered, or not in float32.
    """

    def __init__(self, adapter: FairEsm, tokens: torch.Tensor, kind: str) -> None:
        model = model_for_differences(adapter)
        self.exact, self._kind = FairEsmRunner(adapter, model, tokens, np.float32), kind
        super().__init__(adapter, model, tokens, np.float32)

    def _make_ready(self) -> None:
        import torch

        from catjac_widgets.language_models.esm.cpu_kernels.delta import CompiledDelta, why_not
        from catjac_widgets.language_models.esm.forward import AS_THEY_ARE
        from catjac_widgets.language_models.esm.numerics.delta_int8 import STRONGEST_TOKENS, DeltaLayers

        # Where the exact runner needs no layers packed for torch, a few passes are not worth packing them.
        layers = self._linear = DeltaLayers(self._model, self.exact._linear or AS_THEY_ARE, self._kind)
        self._wild_type = self._run(self._tokens[None])[0]
        layers.stage = "check"
        self._run(self._sample())
        layers.stage = "run"
        self.in_float32 = layers.in_float32
        self.not_compiled = why_not(self._model)
        if self.not_compiled is None:
            letters = torch.tensor(self._columns)
            self._compiled = CompiledDelta(self._model, layers, self._residues, letters, STRONGEST_TOKENS)

    def wild_type(self) -> np.ndarray:
        """See `Runner.wild_type`; in float32."""
        return self._wild_type

    def _sample(self) -> torch.Tensor:
        return with_changes(self._tokens, sampled_changes(self._residues, self._columns))


def model_for_differences(adapter: FairEsm) -> Any:
    """Return fair-esm's model, for numerics that multiply differences from the wild type.

    Raises
    ------
    ModelError
        If the model is altered, or not in float32.
    """
    import torch

    if altered_modules(adapter.model) or adapter.dtype != torch.float32:
        raise ModelError(
            f"{adapter.name} is altered or not in float32, and numerics='delta' knows fair-esm's own "
            "layers in float32 only; use numerics='exact'."
        )
    return adapter.model


def sampled_changes(residues: slice, columns: list[int]) -> torch.Tensor:
    """Choose a few changes (B, 2), spread over the residues and the letters that a person may put."""
    import torch

    length, number = residues.stop - residues.start, SAMPLED_MUTANTS
    places = [residues.start + (2 * row + 1) * length // (2 * number) for row in range(number)]
    return torch.tensor([places, [columns[(7 * row) % len(columns)] for row in range(number)]]).t()


def with_changes(tokens: torch.Tensor, changes: torch.Tensor) -> torch.Tensor:
    """Tokens (B, T): `tokens` (T,) with one token changed in each sequence, (B, 2) as of `changes`."""
    return tokens.repeat(len(changes), 1).scatter_(1, changes[:, :1], changes[:, 1:])
