"""What happens between two matrix products of a pass of 16-bit floats, each in one step.

A graphics processor multiplies 16-bit floats so fast that passes over memory cost as much as the products;
`triton_steps` does each of these steps in one of them, and this plain version says what they are.

Shapes: B sequences, T tokens, C channels, H heads of D channels, O outputs of a dense layer.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from catjac_widgets.language_models.esm.projections import divided


class Steps:
    """The steps as torch's operations, in float32."""

    #: What a person is told that runs them.
    name = "torch's operations"

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

    def difference(self, x: Tensor, known: Tensor, dtype: torch.dtype) -> Tensor:
        """``x − known``: x (B, T, O), which may be overwritten, known (T, O)."""
        return torch.sub(x, known, out=torch.empty_like(x, dtype=dtype))

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
