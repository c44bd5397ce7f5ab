"""Independent answers: the plain loop over fair-esm's own pass, and the plain formulas of contact maps."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import esm.multihead_attention
import numpy as np
import torch

MASK_TOKEN, FIRST_LETTER, LAST_LETTER = 32, 4, 24


def in_float64(model: Any) -> Any:
    """A float64 copy of a fair-esm model, without the rotary tables that it made in float32."""
    made = copy.deepcopy(model).double()
    for module in made.modules():
        if hasattr(module, "_seq_len_cached"):
            module._seq_len_cached = None
            module._cos_cached = module._sin_cached = None
    return made


@contextlib.contextmanager
def softmax_in_own_precision() -> Iterator[None]:
    """Around a float64 pass: fair-esm's attention takes its softmax in float32 whatever it is given."""
    before = esm.multihead_attention.utils_softmax
    esm.multihead_attention.utils_softmax = lambda x, dim, onnx_trace=False: torch.softmax(x, dim)
    try:
        yield
    finally:
        esm.multihead_attention.utils_softmax = before


def plain_logits(model: Any, tokens: torch.Tensor) -> np.ndarray:
    """Residue rows and letter columns of fair-esm's own logits, (B, T) to (B, T - 2, 20)."""
    exact = model.embed_tokens.weight.dtype == torch.float64
    with torch.no_grad(), softmax_in_own_precision() if exact else contextlib.nullcontext():
        return model(tokens)["logits"][:, 1:-1, FIRST_LETTER:LAST_LETTER].numpy()


def plain_tokens(alphabet: Any, residues: str, masked: np.ndarray | None = None) -> torch.Tensor:
    """`<cls>`, residues, `<eos>`."""
    tokens = torch.tensor(
        [alphabet.cls_idx, *(alphabet.get_idx(letter) for letter in residues), alphabet.eos_idx]
    )
    if masked is not None:
        tokens[1:-1][torch.from_numpy(np.asarray(masked))] = MASK_TOKEN
    return tokens


def plain_jacobian(
    model: Any,
    alphabet: Any,
    residues: str,
    *,
    masked: np.ndarray | None = None,
    variant: str = "full",
) -> tuple[np.ndarray, np.ndarray]:
    """The categorical Jacobian by the plain loop, and the wild-type logits.

    One batch of all 20 letters a position (or of one mask), minus one pass of the wild type, in the model's
    own precision. Rows at masked positions are NaN.
    """
    tokens = plain_tokens(alphabet, residues, masked)
    wild_type = plain_logits(model, tokens[None])[0]
    put = [MASK_TOKEN] if variant == "fast" else list(range(FIRST_LETTER, LAST_LETTER))
    jacobian = np.full((len(residues), len(put), *wild_type.shape), np.nan, dtype=wild_type.dtype)
    for i in range(len(residues)):
        if masked is not None and masked[i]:
            continue
        batch = tokens.repeat(len(put), 1)
        batch[:, i + 1] = torch.tensor(put)
        jacobian[i] = plain_logits(model, batch) - wild_type
    return jacobian, wild_type


def order_a(jacobian: np.ndarray) -> np.ndarray:
    """Contact map of a full Jacobian (L, A, L, A) in float64, by the order A of Zhang et al."""
    centred = jacobian.astype(np.float64)
    for axis in range(4):
        if centred.shape[axis] > 1:
            centred = centred - centred.mean(axis=axis, keepdims=True)
    if centred.shape[1] == centred.shape[3]:
        centred = (centred + centred.transpose(2, 3, 0, 1)) / 2
    norms = np.sqrt((centred**2).sum(axis=(1, 3)))
    norms = (norms + norms.T) / 2
    np.fill_diagonal(norms, 0.0)
    if norms.sum() == 0:
        return np.zeros_like(norms)
    corrected = norms - np.outer(norms.sum(axis=1), norms.sum(axis=0)) / norms.sum()
    np.fill_diagonal(corrected, 0.0)
    return corrected


def letter_centred_norms(jacobian: np.ndarray) -> np.ndarray:
    """Frobenius norm (L, L) of each block centred over its letters only, float64."""
    centred = jacobian.astype(np.float64)
    for axis in (1, 3):
        if centred.shape[axis] > 1:
            centred = centred - centred.mean(axis=axis, keepdims=True)
    return np.sqrt((centred**2).sum(axis=(1, 3)))
