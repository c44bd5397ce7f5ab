"""Numerics "delta-int8": a mutant's dense layers are the wild type's plus 8-bit products of differences."""

from __future__ import annotations

import numpy as np
import torch

from catjac_widgets.language_models.esm.forward import AS_THEY_ARE
from catjac_widgets.language_models.esm.numerics.delta_int8_kernel import CompiledDelta, why_not
from catjac_widgets.language_models.esm.numerics.delta_int8_layers import STRONGEST_TOKENS, DeltaLayers
from catjac_widgets.language_models.esm.numerics.differences import check_model, sampled_mutants
from catjac_widgets.language_models.esm.numerics.exact import ExactRunner
from catjac_widgets.language_models.esm.prepared import PreparedInput
from catjac_widgets.language_models.esm.runner import FairEsmRunner


class DeltaInt8Runner(FairEsmRunner):
    """A runner whose mutants differ from the wild type by 8-bit products (see `DeltaLayers`).

    Raises
    ------
    ModelError
        If the model is altered, or not in float32.
    """

    def __init__(self, prepared: PreparedInput) -> None:
        check_model(prepared)
        super().__init__(prepared)
        exact = self.exact = ExactRunner(prepared)
        # Where the exact runner needs no layers packed for torch, a few passes are not worth packing them.
        layers = self._linear = DeltaLayers(prepared.model, exact._linear or AS_THEY_ARE)
        self._wild_type = self._run(prepared.tokens[None])[0]
        layers.stage = "check"
        self._run(sampled_mutants(prepared))
        layers.stage = "run"
        self.in_float32 = layers.in_float32
        self.not_compiled = why_not(prepared.model)
        if self.not_compiled is None:
            letters = torch.tensor(prepared.columns)
            self._compiled = CompiledDelta(
                prepared.model, layers, prepared.residues, letters, STRONGEST_TOKENS
            )

    def wild_type(self) -> np.ndarray:
        """See `Runner.wild_type`; in float32."""
        return self._wild_type
