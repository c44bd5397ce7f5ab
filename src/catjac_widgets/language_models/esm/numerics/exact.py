"""Numerics "exact": float32 throughout, by the fastest way there is for the model where it is."""

from __future__ import annotations

import torch

from catjac_widgets.language_models.esm.alterations.found import alterations
from catjac_widgets.language_models.esm.cpu_kernels.exact import CompiledPasses, why_not
from catjac_widgets.language_models.esm.linear_layers import fast_layers
from catjac_widgets.language_models.esm.prepared import PreparedInput
from catjac_widgets.language_models.esm.runner import FairEsmRunner


class ExactRunner(FairEsmRunner):
    """A runner in float32; in the model's own precision, where that is lower."""

    def __init__(self, prepared: PreparedInput) -> None:
        super().__init__(prepared)
        model = prepared.model
        if alterations(model):
            return
        self.not_compiled = why_not(model)
        if self.not_compiled is None:
            letters = torch.tensor(prepared.columns)
            self._compiled = CompiledPasses(model, len(prepared.tokens), prepared.residues, letters)
        else:
            self._linear = fast_layers(model)
