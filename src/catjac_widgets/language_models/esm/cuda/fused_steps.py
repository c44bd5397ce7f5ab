"""Which version of the steps between products a device takes, once it was seen to tell the same."""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from catjac_widgets.language_models.esm.cuda.steps import Steps

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChosenSteps:
    """What a device takes.

    Attributes
    ----------
    steps
        The steps.
    slower_because
        Why they are not the fastest that there are, for a person; "" where they are.
    """

    steps: Steps
    slower_because: str = ""


def steps_for(device: torch.device) -> Steps:
    """Return the fastest steps for a device: Triton's on a GPU where it is there and tells the same."""
    return chosen_steps(device).steps


@functools.cache
def chosen_steps(device: torch.device) -> ChosenSteps:
    """Choose the steps of `steps_for`, and tell why; once, log it where a GPU takes the slower ones."""
    if device.type != "cuda":
        return ChosenSteps(Steps())
    try:
        from catjac_widgets.language_models.esm.cuda.triton_steps import TritonSteps

        made = TritonSteps()
        why = "" if agree(made, Steps(), device) else "Triton's kernels give other numbers on this GPU"
    except Exception as error:  # No Triton, no compiler for it, or a GPU too old: torch's operations do.
        said = str(error).strip().splitlines()
        why = f"{type(error).__name__}: {said[0] if said else 'no reason given'}"
    if not why:
        return ChosenSteps(made)
    _log.warning("Passes on %s run without Triton's kernels, which is slower: %s", device, why)
    return ChosenSteps(Steps(), why)


def agree(ours: Steps, theirs: Steps, device: torch.device) -> bool:
    """Whether two versions of the steps give the same on a small example, but for rounding."""
    generator = torch.Generator().manual_seed(0)

    def some(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    def example(steps: Steps, x: Tensor, dtype: torch.dtype) -> list[Tensor]:
        def product(values: Tensor) -> Tensor:
            return values.to(dtype, copy=True)

        return [
            steps.norm_difference(x, norm, known, dtype),
            steps.add_norm_difference(x, product(small), known, norm, known, dtype),
            x,
            steps.gelu_difference(product(wide), base, dtype),
            steps.difference(product(small), known, dtype),
            steps.difference(product(small), product(known), torch.float32),
            *steps.turned(product(fused), base[:, :144], 3, turn, dtype),
            *steps.turned(product(fused), base[0, :144], 3, None, dtype),
        ]

    # 48 channels and 11 sequences: neither fills a block.
    norm = torch.nn.LayerNorm(48).to(device)
    x, small, wide, fused = some(11, 5, 48), some(11, 5, 48), some(11, 5, 192), some(11, 5, 144)
    known, base = some(5, 48), some(5, 192)
    turn = torch.polar(torch.ones(5, 8, device=device), some(5, 8))
    with torch.inference_mode():
        norm.weight.add_(some(48))
        norm.bias.add_(some(48))
        for dtype in (torch.bfloat16, torch.float16, torch.float32):
            tolerance = 4 * torch.finfo(dtype).eps + 1e-5
            pairs = zip(example(ours, x.clone(), dtype), example(theirs, x.clone(), dtype), strict=True)
            for a, b in pairs:
                if a.dtype != b.dtype or not torch.allclose(
                    a.float(), b.float(), rtol=tolerance, atol=tolerance
                ):
                    return False
    return True
