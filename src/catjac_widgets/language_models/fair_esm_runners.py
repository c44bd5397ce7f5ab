"""One sequence under one mask, made ready to run its mutants through a fair-esm model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.alphabets import MASK_LETTER
from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.fair_esm_passes import letter_pass, running
from catjac_widgets.language_models.plainness import altered_modules
from catjac_widgets.language_models.protocol import Substitution

if TYPE_CHECKING:
    import torch

    from catjac_widgets.language_models.compiled_delta import CompiledDelta
    from catjac_widgets.language_models.fair_esm import FairEsm
    from catjac_widgets.language_models.linear_layers import LinearLayers

#: Mutants by which layers are found that cannot be multiplied coarsely.
SAMPLED_MUTANTS = 8


class FairEsmRunner:
    """One sequence under one mask, made ready (see `Runner`)."""

    def __init__(
        self, adapter: FairEsm, model: Any, tokens: torch.Tensor, output: type[np.floating[Any]]
    ) -> None:
        self._adapter, self._model, self._tokens, self._output = adapter, model, tokens, output
        self._residues, self._columns = adapter._residues(tokens), adapter._columns()
        self._linear = self._choose_layers()

    def wild_type(self) -> np.ndarray:
        """Logits of the unchanged input, shape (L, A)."""
        return self._run(self._tokens[None])[0]

    def rows(self, substitutions: list[Substitution]) -> np.ndarray:
        """Logits of the input with each one substitution made, shape (B, L, A)."""
        batch = self._tokens.repeat(len(substitutions), 1)
        length = self._residues.stop - self._residues.start
        for row, (position, letter) in enumerate(
            (change.position, change.letter) for change in substitutions
        ):
            token = (
                self._adapter.alphabet.mask_idx
                if letter == MASK_LETTER
                else self._adapter._tokens.get(letter)
            )
            if token is None or not 0 <= position < length:
                raise ModelError(
                    f"{letter!r} cannot be put at position {position + 1} of {length}; "
                    f"letters are {self._adapter.letters} and {MASK_LETTER}."
                )
            batch[row, self._residues.start + position] = token
        if not substitutions:
            return np.zeros((0, length, len(self._columns)), dtype=self._output)
        return self._run(batch)

    def _choose_layers(self) -> LinearLayers | None:
        if altered_modules(self._model) or self._output is np.float64:
            return None
        from catjac_widgets.language_models.linear_layers import fast_layers

        return fast_layers(self._model)

    def _run(self, tokens: torch.Tensor) -> np.ndarray:
        import torch

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
    not_compiled
        Why the compiled kernel does not run, or None where it does.

    Raises
    ------
    ModelError
        If the model is altered, or not in float32.
    """

    def __init__(self, adapter: FairEsm, tokens: torch.Tensor, kind: str) -> None:
        import torch

        from catjac_widgets.language_models.delta_layers import STRONGEST_TOKENS, DeltaLayers

        model = adapter.model
        if altered_modules(model) or adapter.dtype != torch.float32:
            raise ModelError(
                f"{adapter.name} is altered or not in float32, and numerics='delta' knows fair-esm's own "
                "layers in float32 only; use numerics='exact'."
            )
        self.exact = FairEsmRunner(adapter, model, tokens, np.float32)
        super().__init__(adapter, model, tokens, np.float32)
        self._compiled: CompiledDelta | None = None
        exact = self._linear
        assert exact is not None
        layers = self._linear = DeltaLayers(model, exact, kind)
        self._wild_type = self._run(tokens[None])[0]
        layers.stage = "check"
        self._run(self._sample())
        layers.stage = "run"
        self.in_float32 = layers.in_float32
        self.not_compiled: str | None = "only eight bits on a CPU are"
        if kind == "int8":
            from catjac_widgets.language_models.compiled_delta import CompiledDelta, why_not

            self.not_compiled = why_not(model)
            if self.not_compiled is None:
                letters = torch.tensor(self._columns)
                self._compiled = CompiledDelta(model, layers, self._residues, letters, STRONGEST_TOKENS)

    def _run(self, tokens: torch.Tensor) -> np.ndarray:
        if self._compiled is None:
            return super()._run(tokens)
        import torch

        with running(self._model), torch.inference_mode():
            return self._compiled(tokens).numpy()

    def wild_type(self) -> np.ndarray:
        """See `Runner.wild_type`; in float32."""
        return self._wild_type

    def _sample(self) -> torch.Tensor:
        """Tokens of a few mutants, spread over the residues and the letters that a person may put."""
        length = self._residues.stop - self._residues.start
        batch = self._tokens.repeat(SAMPLED_MUTANTS, 1)
        for row in range(SAMPLED_MUTANTS):
            position = (2 * row + 1) * length // (2 * SAMPLED_MUTANTS)
            batch[row, self._residues.start + position] = self._columns[(7 * row) % len(self._columns)]
        return batch
