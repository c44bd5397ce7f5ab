"""One sequence under one mask, made ready to run its mutants by 16-bit differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from catjac_widgets.language_models.esm.passes import running
from catjac_widgets.language_models.esm.runners import (
    FairEsmRunner,
    model_for_differences,
    sampled_changes,
    with_changes,
)

if TYPE_CHECKING:
    import torch

    from catjac_widgets.language_models.esm.adapter import FairEsm


class HalfDeltaRunner(FairEsmRunner):
    """A runner whose mutants differ from the wild type by 16-bit products (see `half_delta`).

    Parameters
    ----------
    adapter, tokens
        See `FairEsmRunner`.
    kind
        "bfloat16" or "float16".
    attention
        See `HalfDelta`.

    Attributes
    ----------
    exact
        The runner of the same input in float32.
    in_float32
        Names of what stays in float32 on this protein.

    Raises
    ------
    ModelError
        If the model is altered, or not in float32.
    """

    def __init__(
        self, adapter: FairEsm, tokens: torch.Tensor, kind: str, attention: torch.dtype | None = None
    ) -> None:
        import torch

        from catjac_widgets.language_models.esm.numerics.delta_bfloat16 import HalfDelta

        model = model_for_differences(adapter)
        self.exact = FairEsmRunner(adapter, model, tokens, np.float32)
        super().__init__(adapter, model, tokens, np.float32)
        device = model.embed_tokens.weight.device
        sample = with_changes(tokens, sampled_changes(self._residues, self._columns)).to(device)
        with running(model), torch.inference_mode():
            self._delta = HalfDelta(
                model,
                tokens.to(device),
                sample,
                self._residues,
                self._letters,
                getattr(torch, kind),
                attention,
            )
        self.in_float32 = self._delta.in_float32

    def wild_type(self) -> np.ndarray:
        """See `Runner.wild_type`; in float32."""
        return self.exact.wild_type()

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `FairEsmRunner.logits`."""
        return self._delta(tokens)

    def _run(self, tokens: torch.Tensor) -> np.ndarray:
        import torch

        with running(self._model), torch.inference_mode():
            return self.logits(tokens.to(self._letters.device)).cpu().numpy()
