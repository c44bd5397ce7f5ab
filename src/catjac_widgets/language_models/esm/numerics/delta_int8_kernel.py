"""Passes of eight-bit differences by a kernel compiled from C (see `DeltaLayers` for what is computed).

A CPU with AVX-512 and VNNI multiplies bytes at four times the rate of float32, but torch takes a pass over
memory for each step of rounding and scaling between the products, which eats up most of that. The kernel
takes a few sequences through the whole model while they lie in the core's cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from catjac_widgets.language_models.esm.cpu_kernels import exact, structs
from catjac_widgets.language_models.esm.cpu_kernels.build import NotCompiled, at_hand
from catjac_widgets.language_models.esm.cpu_kernels.exact import (
    CompiledPasses,
    panels,
    passes_function,
    why_not_by,
    wrong_shape,
)
from catjac_widgets.language_models.esm.forward import letter_logits
from catjac_widgets.language_models.esm.linear_layers import fast_layers
from catjac_widgets.language_models.esm.numerics.delta_int8_layers import DeltaLayers

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

#: What the kernel needs of the processor.
FEATURES = (*exact.FEATURES, "avx512vnni")

#: Rows that differ from the wild type's by no more than this share of the largest number there are taken for
#: equal: that is how far the last bits of float32 differ between torch's norms and the kernel's.
_QUIET = 2e-6

#: Tokens of two terms in a preview, which needs no more.
_STRONGEST_IN_A_PREVIEW = 3


def kernel() -> Callable[..., int]:
    """Return the compiled function; see `passes_function`."""
    check_machine()
    return passes_function("delta_pass", FEATURES)


def check_machine() -> None:
    """Check the processor, and that there is a compiler, without compiling anything.

    Raises
    ------
    NotCompiled
        Saying what is missing.
    """
    multiplies_bytes = getattr(torch.cpu, "_is_vnni_supported", bool)
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not multiplies_bytes():
        raise NotCompiled("the processor has no AVX-512 with VNNI")
    exact.check_machine()


def why_not(model: Any) -> str | None:
    """Why the kernel cannot run this model, or None if it can."""
    return why_not_by(kernel, model)


def without_delay(
    model: Any, tokens: Tensor, residues: slice, letters: Tensor
) -> Callable[[Tensor], Tensor] | None:
    """Make passes ready for a preview, unchecked; None if that cannot be, or has to be compiled first.

    Parameters
    ----------
    model
        fair-esm's; called in inference mode, within `running`.
    tokens
        Of the wild type (T,).
    residues, letters
        See `CompiledDelta`.
    """
    try:
        check_machine()
    except NotCompiled:
        return None
    if wrong_shape(model) is not None or not at_hand("delta_pass", FEATURES) or why_not(model) is not None:
        return None
    layers = DeltaLayers(model, fast_layers(model))
    letter_logits(model, tokens[None], residues, letters, layers)
    layers.stage = "run"
    return CompiledDelta(model, layers, residues, letters, _STRONGEST_IN_A_PREVIEW)


class CompiledDelta(CompiledPasses):
    """A protein's wild type and a model's weights, laid out for the kernel.

    Parameters
    ----------
    model
        fair-esm's, float32 on the CPU.
    layers
        With the wild type remembered and its mutants checked.
    residues, letters
        Tokens and vocabulary rows whose logits are wanted.
    strongest
        How many tokens a sequence have two terms of eight bits.
    """

    def __init__(
        self, model: Any, layers: DeltaLayers, residues: slice, letters: Tensor, strongest: int
    ) -> None:
        self._layers, self._strongest = layers, strongest
        tokens = layers.remembered(model.layers[0].self_attn)[0].shape[0]
        super().__init__(model, tokens, residues, letters)

    def _function(self) -> Callable[..., int]:
        return kernel()

    def _laid_out(self) -> dict[int, tuple[Tensor, Tensor, int]]:
        return {}

    def _dense(self, module: Any, first: int = 0) -> structs.Dense:
        known, base = self._layers.remembered(module)
        weight = self._layers.weight(module)
        in_float32 = self._layers.stays_in_float32(module)
        outputs, inputs = base.shape[-1], known.shape[-1]
        return structs.Dense(
            inputs=inputs,
            outputs=outputs,
            in_float32=in_float32,
            weight=self._address(panels(weight.weight)) if in_float32 else None,
            packed=self._address(weight.packed()),
            offset=self._address(weight.offset),
            scale=self._address(weight.scale),
            input=self._address(known) - 4 * first * inputs,
            output=self._address(base) - 4 * first * outputs,
            output_stride=outputs,
            quiet=_QUIET * float(known.abs().max()),
        )
