"""What the runners of all numerics have in common; those of each are in `numerics`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.language_models.esm.passes import AsFound, letter_pass, running
from catjac_widgets.language_models.esm.prepared import PreparedInput, with_changes

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from catjac_widgets.language_models.base import Substitution
    from catjac_widgets.language_models.esm.linear_layers import LinearLayers


class FairEsmRunner:
    """A runner of a fair-esm model (see `Runner`): by its own forward, where a subclass says nothing else.

    Attributes
    ----------
    prepared
        The model and its input.
    as_found
        What the model was like when it was made.
    exact
        For approximate numerics, the exact runner of the same input.
    in_float32
        Names of the layers that approximate numerics left in float32 on this protein.
    not_compiled
        Why no compiled kernel runs its batches, or None where one does.
    """

    #: The type of its logits.
    output: type[np.floating[Any]] = np.float32

    def __init__(self, prepared: PreparedInput) -> None:
        self.prepared = prepared
        self.as_found = AsFound(prepared.model)
        self.exact: FairEsmRunner | None = None
        self.in_float32: list[str] = []
        self.not_compiled: str | None = "the model is altered, or runs in float64"
        #: How dense layers are multiplied by torch, and the kernel that runs whole passes in its place.
        self._linear: LinearLayers | None = None
        self._compiled: Callable[[torch.Tensor], torch.Tensor] | None = None

    def wild_type(self) -> np.ndarray:
        """Logits of the unchanged input, shape (L, A)."""
        return self._run(self.prepared.tokens[None])[0]

    def rows(self, substitutions: list[Substitution]) -> np.ndarray:
        """Logits of the input with each one substitution made, shape (B, L, A)."""
        changes = self.prepared.changes(substitutions)
        if not substitutions:
            return np.zeros((0, self.prepared.length, len(self.prepared.letters)), dtype=self.output)
        return self._run(with_changes(self.prepared.tokens, changes))

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (B, L, A) of tokens (B, T), both on the model's device, waiting for nothing.

        The model is a stock model, and within `running`.
        """
        from catjac_widgets.language_models.esm.forward import AS_THEY_ARE, letter_logits

        given = self.prepared
        return letter_logits(given.model, tokens, given.residues, self._letters, self._linear or AS_THEY_ARE)

    @functools.cached_property
    def _letters(self) -> torch.Tensor:
        import torch

        return torch.tensor(self.prepared.columns, device=self.prepared.model.embed_tokens.weight.device)

    def _run(self, tokens: torch.Tensor) -> np.ndarray:
        import torch

        given = self.prepared
        if self._compiled is not None:
            with running(given.model) as altered, torch.inference_mode():
                self.as_found.check(altered)
                return self._compiled(tokens).numpy()
        logits = letter_pass(given.model, tokens, given.residues, given.columns, self._linear, self.as_found)
        # By way of torch: numpy knows no bfloat16.
        return logits.to(torch.float64 if self.output is np.float64 else torch.float32).cpu().numpy()
