"""Numerics "float64": a copy of the model in float64, slow, as an oracle for tests and checks."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np

from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.adapters.running import lock_of
from catjac_widgets.language_models.esm.prepared import PreparedInput
from catjac_widgets.language_models.esm.runner import FairEsmRunner


class Float64Runner(FairEsmRunner):
    """A runner of a copy of the model in float64.

    Raises
    ------
    ModelError
        If the model cannot be copied.
    """

    output = np.float64

    def __init__(self, prepared: PreparedInput) -> None:
        super().__init__(replace(prepared, model=float64_copy(prepared.model)))


def float64_copy(model: Any) -> Any:
    """Copy a model to float64, on the CPU where the device has none; the model itself stays as it is.

    Raises
    ------
    ModelError
        If the forward of a module was replaced, which a copy would share.
    """
    from esm.rotary_embedding import RotaryEmbedding

    if any("forward" in vars(module) for module in model.modules()):
        raise ModelError(
            "The model cannot be copied to float64 because the forward of a module was replaced; "
            "subclass the module instead, or use numerics='exact'."
        )
    with lock_of(model):
        made = copy.deepcopy(model)
    made = (made.cpu() if model.embed_tokens.weight.device.type == "mps" else made).double()
    for module in made.modules():
        if isinstance(module, RotaryEmbedding):
            # Its remembered tables were made in the former precision.
            module._seq_len_cached = None
    return made
