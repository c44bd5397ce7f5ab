"""What happens between two matrix products of a 16-bit pass, each in one step.

A graphics processor multiplies sixteen bits so fast that passes over memory cost as much as the products;
`triton_steps` does each of these steps in one of them, and this plain version says what they are.

Shapes: B sequences, T tokens, C channels, H heads of D channels, O outputs of a dense layer.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from catjac_widgets.language_models.esm.linear_layers import divided


class Steps:
    """The steps as torch's operations, in float32."""

    def norm_difference(self, x: Tensor, norm: Any, known: Tensor, dtype: torch.dtype) -> Tensor:
        """``norm(x) − known``: x (B, T, C), float32, known (T, C)."""
        return F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.eps).sub_(known).to(dtype)

    def add_norm_difference(
        self, x: Tensor, product: Tensor, base: Tensor, norm: Any, known: Tensor, dtype: torch.dtype
    ) -> Tensor:
        """``norm(x) − known`` after ``x += base + product``, in place; base (T, C)."""
        x += base + product
        return self.norm_difference(x, norm, known, dtype)

    def gelu_difference(self, product: Tensor, base: Tensor, dtype: torch.dtype) -> Tensor:
        """``gelu(base + product) − gelu(base)``: product (B, T, O), which may be overwritten, base (T, O)."""
        return F.gelu(base + product).sub_(F.gelu(base)).to(dtype)

    def turned(
        self, product: Tensor, base: Tensor, heads: int, turn: Tensor | None, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value (B, H, T, D) of ``base + product``, turned by rotary positions.

        Parameters
        ----------
        product
            (B, T, 3 C), the channels in the order of `fused_projections`; may be overwritten.
        base
            (T, 3 C), or the same for all tokens, (3 C,); float32.
        heads
            H.
        turn
            Complex numbers (T, D / 2), or None for a model without rotary positions.
        dtype
            Of the result.
        """
        query, key, value = (part.to(dtype) for part in divided(base + product, heads, turn))
        return query, key, value


@functools.cache
def steps_for(device: torch.device) -> Steps:
    """Return the fastest steps for a device: Triton's on a GPU where it is there and tells the same."""
    if device.type == "cuda":
        try:
            from catjac_widgets.language_models.esm.cuda.triton_steps import TritonSteps

            made = TritonSteps()
            if agree(made, Steps(), device):
                return made
        except Exception:  # No Triton, no compiler for it, or a GPU too old: torch's operations do.
            return Steps()
    return Steps()


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
