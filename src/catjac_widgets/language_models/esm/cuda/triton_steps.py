"""The steps of `Steps` as Triton kernels: each reads its input once and writes its output once.

What belongs to the wild type, (T, O), is the same for all sequences of a batch: a program takes one token of
several sequences and reads it once.

Triton comes with torch's CUDA builds; importing this module without it raises ImportError.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from catjac_widgets.language_models.esm.cuda.steps import Steps

#: Sequences that a program takes one after the other.
SEQUENCES = 8

#: Channels at a time where they do not depend on each other.
CHANNELS = 1024


@triton.jit
def _norm(  # type: ignore[no-untyped-def]
    x, product, base, weight, bias, known, out, sequences, tokens, channels, epsilon,
    ADDS: tl.constexpr, SEQUENCES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0)
    first = tl.program_id(1) * SEQUENCES
    channel = tl.arange(0, BLOCK)
    inside = channel < channels
    scale = tl.load(weight + channel, mask=inside, other=0.0)
    shift = tl.load(bias + channel, mask=inside, other=0.0)
    wild = tl.load(known + token * channels + channel, mask=inside, other=0.0)
    if ADDS:
        added = tl.load(base + token * channels + channel, mask=inside, other=0.0)
    for k in range(SEQUENCES):
        sequence = first + k
        here = channel < tl.where(sequence < sequences, channels, 0)
        place = (sequence.to(tl.int64) * tokens + token) * channels + channel
        values = tl.load(x + place, mask=here, other=0.0)
        if ADDS:
            values += added + tl.load(product + place, mask=here, other=0.0).to(tl.float32)
            tl.store(x + place, values, mask=here)
        centred = tl.where(inside, values - tl.sum(values, 0) / channels, 0.0)
        variance = tl.sum(centred * centred, 0) / channels
        normed = centred / tl.sqrt(variance + epsilon) * scale + shift
        tl.store(out + place, (normed - wild).to(out.dtype.element_ty), mask=here)


@triton.jit
def _gelu(  # type: ignore[no-untyped-def]
    product, base, out, sequences, tokens, channels, SEQUENCES: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    token = tl.program_id(0)
    first = tl.program_id(1) * SEQUENCES
    channel = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    inside = channel < channels
    wild = tl.load(base + token * channels + channel, mask=inside, other=0.0)
    known = 0.5 * wild * (1.0 + tl.erf(wild * 0.7071067811865476))
    for k in range(SEQUENCES):
        sequence = first + k
        here = channel < tl.where(sequence < sequences, channels, 0)
        place = (sequence.to(tl.int64) * tokens + token) * channels + channel
        values = wild + tl.load(product + place, mask=here, other=0.0).to(tl.float32)
        values = 0.5 * values * (1.0 + tl.erf(values * 0.7071067811865476))
        tl.store(out + place, (values - known).to(out.dtype.element_ty), mask=here)


@triton.jit
def _turn(  # type: ignore[no-untyped-def]
    product, base, base_stride, turn, out, sequences, tokens, channels, half,
    TURNS: tl.constexpr, SEQUENCES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0)
    first = tl.program_id(1) * SEQUENCES
    pair = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    inside = 2 * pair < 3 * channels
    one = tl.load(base + token * base_stride + 2 * pair, mask=inside, other=0.0)
    two = tl.load(base + token * base_stride + 2 * pair + 1, mask=inside, other=0.0)
    if TURNS:
        # Values are not turned.
        turned = 2 * pair < 2 * channels
        angle = turn + (token * half + pair % half) * 2
        cosine = tl.load(angle, mask=turned, other=1.0)
        sine = tl.load(angle + 1, mask=turned, other=0.0)
    for k in range(SEQUENCES):
        sequence = first + k
        here = 2 * pair < tl.where(sequence < sequences, 3 * channels, 0)
        place = (sequence.to(tl.int64) * tokens + token) * 3 * channels + 2 * pair
        left = one + tl.load(product + place, mask=here, other=0.0).to(tl.float32)
        right = two + tl.load(product + place + 1, mask=here, other=0.0).to(tl.float32)
        if TURNS:
            both = left * cosine - right * sine
            right = left * sine + right * cosine
            left = both
        tl.store(out + place, left.to(out.dtype.element_ty), mask=here)
        tl.store(out + place + 1, right.to(out.dtype.element_ty), mask=here)


class TritonSteps(Steps):
    """The steps in one pass over memory each (see `Steps`)."""

    def norm_difference(self, x: Tensor, norm: Any, known: Tensor, dtype: torch.dtype) -> Tensor:
        """See `Steps.norm_difference`."""
        return self._normed(x, None, known, norm, known, dtype)

    def add_norm_difference(
        self, x: Tensor, product: Tensor, base: Tensor, norm: Any, known: Tensor, dtype: torch.dtype
    ) -> Tensor:
        """See `Steps.add_norm_difference`."""
        return self._normed(x, product, base, norm, known, dtype)

    def gelu_difference(self, product: Tensor, base: Tensor, dtype: torch.dtype) -> Tensor:
        """See `Steps.gelu_difference`; over `product` where that has the same type."""
        product, base = product.contiguous(), base.contiguous()
        sequences, tokens, channels = product.shape
        out = product if product.dtype == dtype else torch.empty_like(product, dtype=dtype)
        grid = tokens, triton.cdiv(sequences, SEQUENCES), triton.cdiv(channels, CHANNELS)
        with _device_of(product):
            _gelu[grid](product, base, out, sequences, tokens, channels, SEQUENCES, CHANNELS)
        return out

    def turned(
        self, product: Tensor, base: Tensor, heads: int, turn: Tensor | None, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `Steps.turned`; over `product` where that has the same type."""
        product, base = product.contiguous(), base.contiguous()
        sequences, tokens, width = product.shape
        out = product if product.dtype == dtype else torch.empty_like(product, dtype=dtype)
        angles = base if turn is None else torch.view_as_real(turn).contiguous()
        grid = tokens, triton.cdiv(sequences, SEQUENCES), triton.cdiv(width // 2, CHANNELS)
        with _device_of(product):
            _turn[grid](
                product, base, width if base.ndim == 2 else 0, angles, out, sequences, tokens, width // 3,
                width // 3 // heads // 2, turn is not None, SEQUENCES, CHANNELS,
            )  # fmt: skip
        query, key, value = (part.transpose(1, 2) for part in out.unflatten(-1, (3, heads, -1)).unbind(2))
        return query, key, value

    def _normed(
        self, x: Tensor, product: Tensor | None, base: Tensor, norm: Any, known: Tensor, dtype: torch.dtype
    ) -> Tensor:
        assert x.is_contiguous()
        sequences, tokens, channels = x.shape
        out = torch.empty_like(x, dtype=dtype)
        block = triton.next_power_of_2(channels)
        with _device_of(x):
            _norm[tokens, triton.cdiv(sequences, SEQUENCES)](
                x, x if product is None else product.contiguous(), base.contiguous(), norm.weight, norm.bias,
                known.contiguous(), out, sequences, tokens, channels, norm.eps, product is not None,
                SEQUENCES, block, num_warps=8 if block > 1024 else 4,
            )  # fmt: skip
        return out


def _device_of(x: Tensor) -> AbstractContextManager[Any]:
    """Triton launches on the current device, whichever holds the tensors."""
    return torch.cuda.device_of(x) if x.is_cuda else nullcontext()
