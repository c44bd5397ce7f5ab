"""The steps of `Steps` as Triton kernels: each reads its input once and writes its output once.

What belongs to the wild type, (T, O), is the same for all sequences of a batch: a program takes one token of
several sequences, as a tile of sequences and channels, and reads it once.

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

#: Sequences and channels of a program's tile where channels do not depend on each other.
SEQUENCES, CHANNELS = 16, 256

#: Sequences of a program's tile where all channels of a token are summed.
SEQUENCES_OF_A_NORM = 1


@triton.jit
def _norm(  # type: ignore[no-untyped-def]
    x, product, base, weight, bias, known, out, sequences, tokens, channels, epsilon,
    ADDS: tl.constexpr, SEQUENCES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0)
    sequence = tl.program_id(1) * SEQUENCES + tl.arange(0, SEQUENCES)[:, None]
    channel = tl.arange(0, BLOCK)[None, :]
    inside = channel < channels
    here = inside & (sequence < sequences)
    place = (sequence.to(tl.int64) * tokens + token) * channels + channel
    values = tl.load(x + place, mask=here, other=0.0)
    if ADDS:
        values += tl.load(product + place, mask=here, other=0.0).to(tl.float32)
        values += tl.load(base + token * channels + channel, mask=inside, other=0.0)
        tl.store(x + place, values, mask=here)
    centred = tl.where(inside, values - tl.sum(values, 1, keep_dims=True) / channels, 0.0)
    variance = tl.sum(centred * centred, 1, keep_dims=True) / channels
    scale = tl.load(weight + channel, mask=inside, other=0.0)
    shift = tl.load(bias + channel, mask=inside, other=0.0)
    wild = tl.load(known + token * channels + channel, mask=inside, other=0.0)
    normed = centred / tl.sqrt(variance + epsilon) * scale + shift
    tl.store(out + place, (normed - wild).to(out.dtype.element_ty), mask=here)


@triton.jit
def _gelu_of(x):  # type: ignore[no-untyped-def]
    """GELU, x · Φ(x), with the error function of Abramowitz & Stegun 7.1.26: within 1.5e-7, in half the time.

    As far off on two numbers that lie close to each other, so that a difference loses nothing.
    """
    z = tl.abs(x) * 0.7071067811865476
    t = 1.0 / (1.0 + 0.3275911 * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    beyond = 0.5 * series * tl.exp(-z * z)
    return x * tl.where(x < 0, beyond, 1.0 - beyond)


@triton.jit
def _gelu(  # type: ignore[no-untyped-def]
    product, base, out, sequences, tokens, channels, SEQUENCES: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    token = tl.program_id(0)
    sequence = tl.program_id(1) * SEQUENCES + tl.arange(0, SEQUENCES)[:, None]
    channel = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)[None, :]
    inside = channel < channels
    here = inside & (sequence < sequences)
    place = (sequence.to(tl.int64) * tokens + token) * channels + channel
    wild = tl.load(base + token * channels + channel, mask=inside, other=0.0)
    values = wild + tl.load(product + place, mask=here, other=0.0).to(tl.float32)
    tl.store(out + place, (_gelu_of(values) - _gelu_of(wild)).to(out.dtype.element_ty), mask=here)


@triton.jit
def _less(  # type: ignore[no-untyped-def]
    x, known, out, sequences, tokens, channels, SEQUENCES: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    token = tl.program_id(0)
    sequence = tl.program_id(1) * SEQUENCES + tl.arange(0, SEQUENCES)[:, None]
    channel = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)[None, :]
    inside = channel < channels
    here = inside & (sequence < sequences)
    place = (sequence.to(tl.int64) * tokens + token) * channels + channel
    wild = tl.load(known + token * channels + channel, mask=inside, other=0.0).to(tl.float32)
    values = tl.load(x + place, mask=here, other=0.0).to(tl.float32)
    tl.store(out + place, (values - wild).to(out.dtype.element_ty), mask=here)


@triton.jit
def _turn(  # type: ignore[no-untyped-def]
    product, base, base_stride, turn, out, sequences, tokens, channels, half,
    TURNS: tl.constexpr, SEQUENCES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0)
    sequence = tl.program_id(1) * SEQUENCES + tl.arange(0, SEQUENCES)[:, None]
    channel = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)[None, :]
    inside = channel < 3 * channels
    here = inside & (sequence < sequences)
    place = (sequence.to(tl.int64) * tokens + token) * 3 * channels + channel
    values = tl.load(product + place, mask=here, other=0.0).to(tl.float32)
    values += tl.load(base + token * base_stride + channel, mask=inside, other=0.0)
    if TURNS:
        # Pairs lie side by side: memory is read and written in one piece, and divided in between.
        left, right = tl.split(tl.reshape(values, (SEQUENCES, BLOCK // 2, 2)))
        pair = tl.program_id(2) * (BLOCK // 2) + tl.arange(0, BLOCK // 2)[None, :]
        # Values are not turned.
        turned = 2 * pair < 2 * channels
        angle = turn + (token * half + pair % half) * 2
        cosine = tl.load(angle, mask=turned, other=1.0)
        sine = tl.load(angle + 1, mask=turned, other=0.0)
        both = tl.join(left * cosine - right * sine, left * sine + right * cosine)
        values = tl.reshape(both, (SEQUENCES, BLOCK))
    tl.store(out + place, values.to(out.dtype.element_ty), mask=here)


class TritonSteps(Steps):
    """The steps in one pass over memory each (see `Steps`)."""

    name = "Triton kernels"

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
        out = _over(product, dtype)
        with _device_of(product):
            _gelu[_tiles(product)](product, base, out, *product.shape, SEQUENCES, CHANNELS)
        return out

    def difference(self, x: Tensor, known: Tensor, dtype: torch.dtype) -> Tensor:
        """See `Steps.difference`; over `x` where that has the same type."""
        x, known = x.contiguous(), known.contiguous()
        out = _over(x, dtype)
        with _device_of(x):
            _less[_tiles(x)](x, known, out, *x.shape, SEQUENCES, CHANNELS)
        return out

    def turned(
        self, product: Tensor, base: Tensor, heads: int, turn: Tensor | None, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `Steps.turned`; over `product` where that has the same type."""
        product, base = product.contiguous(), base.contiguous()
        sequences, tokens, width = product.shape
        out = _over(product, dtype)
        angles = base if turn is None else torch.view_as_real(turn).contiguous()
        with _device_of(product):
            _turn[_tiles(product)](
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
            _norm[tokens, triton.cdiv(sequences, SEQUENCES_OF_A_NORM)](
                x, x if product is None else product.contiguous(), base.contiguous(), norm.weight, norm.bias,
                known.contiguous(), out, sequences, tokens, channels, norm.eps, product is not None,
                SEQUENCES_OF_A_NORM, block, num_warps=8 if block > 1024 else 4,
            )  # fmt: skip
        return out


def _tiles(x: Tensor) -> tuple[int, int, int]:
    """Programs for (B, T, O): by token, by sequences and by channels."""
    sequences, tokens, channels = x.shape
    return tokens, triton.cdiv(sequences, SEQUENCES), triton.cdiv(channels, CHANNELS)


def _over(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Where to write what has the shape of `x`: over it, where that has the same type."""
    return x if x.dtype == dtype else torch.empty_like(x, dtype=dtype)


def _device_of(x: Tensor) -> AbstractContextManager[Any]:
    """Triton launches on the current device, whichever holds the tensors."""
    return torch.cuda.device_of(x) if x.is_cuda else nullcontext()
