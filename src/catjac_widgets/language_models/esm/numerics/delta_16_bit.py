"""Numerics "delta-bfloat16" and "delta-float16": differences from the wild type, multiplied as 16-bit floats.

Each comes with attention in float32, and with attention in float16 for a GPU.
"""

from __future__ import annotations

import numpy as np
import torch

from catjac_widgets.language_models.esm.numerics.delta_16_bit_pass import Delta16BitPass
from catjac_widgets.language_models.esm.numerics.differences import check_model, sampled_mutants
from catjac_widgets.language_models.esm.numerics.exact import ExactRunner
from catjac_widgets.language_models.esm.passes import running
from catjac_widgets.language_models.esm.prepared import PreparedInput
from catjac_widgets.language_models.esm.runner import FairEsmRunner


class Delta16BitRunner(FairEsmRunner):
    """A runner whose mutants differ from the wild type by products of 16-bit floats (see `Delta16BitPass`).

    Parameters
    ----------
    prepared
        The model and its input.
    products
        The type in which differences are multiplied.
    attention
        The type of queries, keys and values.

    Raises
    ------
    ModelError
        If the model is altered, or not in float32.
    """

    def __init__(self, prepared: PreparedInput, products: torch.dtype, attention: torch.dtype) -> None:
        check_model(prepared)
        super().__init__(prepared)
        model = prepared.model
        self.exact = ExactRunner(prepared)
        self.not_compiled = "there is none for 16-bit floats"
        device = model.embed_tokens.weight.device
        tokens, sample = prepared.tokens.to(device), sampled_mutants(prepared).to(device)
        with running(model), torch.inference_mode():
            self._pass = Delta16BitPass(
                model, tokens, sample, prepared.residues, self._letters, products, attention
            )
        self.in_float32 = self._pass.in_float32

    def wild_type(self) -> np.ndarray:
        """See `Runner.wild_type`; in float32."""
        assert self.exact is not None
        return self.exact.wild_type()

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `FairEsmRunner.logits`."""
        return self._pass(tokens)

    def _run(self, tokens: torch.Tensor) -> np.ndarray:
        with running(self.prepared.model) as altered, torch.inference_mode():
            self.as_found.check(altered)
            return self.logits(tokens.to(self._letters.device)).cpu().numpy()
