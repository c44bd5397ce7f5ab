"""Direct effects of one layer, from residue to residue, by a compiled kernel (see `FirstOrder`).

torch makes arrays of all pairs, letters and channels for it, and takes several passes over them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from catjac_widgets.language_models.esm.cpu_kernels import structs
from catjac_widgets.language_models.esm.cpu_kernels.build import NotCompiled, at_hand
from catjac_widgets.language_models.esm.cpu_kernels.exact import (
    FEATURES,
    check_machine,
    compiled_function,
    on_threads,
)

if TYPE_CHECKING:
    from torch import Tensor

    from catjac_widgets.language_models.esm.first_order.layer_effects import LayerEffects

#: Letters that a row of the kernel's arrays has room for, and those that it can take.
_ROOM, _MOST_LETTERS = 32, 30

_DEEPEST_HEAD = 64


def kernel() -> Callable[..., int] | None:
    """Return the compiled function if it need not be compiled first; otherwise that is begun."""
    try:
        check_machine()
        if not at_hand("direct_effects", FEATURES):
            return None
        counter = ctypes.POINTER(ctypes.c_int64)
        return compiled_function(
            "direct_effects",
            FEATURES,
            structs.DIRECT_EFFECTS,
            ctypes.POINTER(structs.DirectEffects),
            counter,
        )
    except NotCompiled:
        return None


def fits(letters: int, depth: int, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the kernel can take so many letters and channels of a head, of that type, there."""
    if device.type != "cpu" or dtype != torch.float32:
        return False
    return letters <= _MOST_LETTERS and depth <= _DEEPEST_HEAD


def add_direct_effects(
    run: Callable[..., int],
    term: Tensor,
    layer: LayerEffects,
    reading: Tensor,
    most_score: float,
    least_sum: float,
) -> None:
    """Add one layer's effects, as gradients (L, A, C) of the logits read them, to `term` (L, L, A, A).

    Parameters
    ----------
    run
        As of `kernel`.
    term
        Of the residue that is read, the one that is mutated, the letter that is put, the letter that is read.
    layer
        What is kept of the layer.
    reading
        In float32.
    most_score, least_sum
        See `MOST_SCORE` and `LEAST_SUM`.
    """
    length, number, heads = len(term), term.shape[-1], len(layer.query)
    apart = reading.unflatten(-1, (heads, -1)).permute(0, 2, 3, 1)  # (L, H, D, A)
    of_mixture = torch.einsum("mhda,hmd->mha", apart, layer.mixture)
    given = [
        layer.query.transpose(0, 1),
        layer.weights,
        F.pad(of_mixture, (0, _ROOM - number)),
        F.pad(apart, (0, _ROOM - number)),
        layer.value.transpose(0, 1),
        F.pad(layer.key_change.permute(2, 0, 1, 3), (0, _ROOM - number)),
        F.pad(layer.value_change.permute(0, 2, 3, 1), (0, _ROOM - number)),
    ]
    given = [part.contiguous() for part in given]
    assert term.is_contiguous()
    described = structs.DirectEffects(
        length,
        heads,
        layer.query.shape[-1],
        number,
        most_score,
        least_sum,
        *(part.data_ptr() for part in given),
        term.data_ptr(),
    )
    following = ctypes.c_int64(0)
    on_threads(lambda: run(ctypes.byref(described), ctypes.byref(following)), length)
