"""Approximate passes in bfloat16: near the exact ones, and only where the processor is made for them."""

from __future__ import annotations

import pytest
import torch
from checkpoints import random_esm1b, random_esm2

from catjac_widgets.language_models.esm.adapter import FairEsm
from catjac_widgets.language_models.esm.first_order import bfloat16
from catjac_widgets.language_models.esm.first_order.bfloat16 import (
    Bfloat16Layers,
    approximate_layers,
    approximate_logits,
)
from catjac_widgets.language_models.esm.forward import letter_logits
from catjac_widgets.language_models.esm.linear_layers import fast_layers

RESIDUES = "MKVLAWGQ"


def has_bfloat16() -> bool:
    model = random_esm2(1)
    dense = model.layers[0].fc1
    try:
        Bfloat16Layers(model)(dense, torch.zeros(1, dense.in_features))
    except (RuntimeError, AttributeError):
        return False
    return True


@pytest.mark.parametrize("make", [lambda: random_esm2(3), lambda: random_esm1b(3)])
def test_logits_are_those_of_float32_but_for_rounding(make) -> None:  # type: ignore[no-untyped-def]
    if not has_bfloat16():
        pytest.skip("oneDNN of this processor multiplies no bfloat16")
    adapter = FairEsm(make())
    tokens = torch.stack([adapter.encode(residues) for residues in (RESIDUES, RESIDUES[::-1])])
    letters = torch.tensor(adapter._columns())
    residues = slice(1, len(RESIDUES) + 1)
    with torch.inference_mode():
        exact = letter_logits(adapter.model, tokens, residues, letters)
        approximate = approximate_logits(
            adapter.model, tokens, residues, letters, Bfloat16Layers(adapter.model)
        )
    assert approximate.dtype == torch.float32
    error = (approximate - exact).norm() / exact.norm()
    assert 0 < error < 0.02


def test_other_layers_give_the_exact_logits() -> None:
    adapter = FairEsm(random_esm2(2))
    tokens, letters = adapter.encode(RESIDUES)[None], torch.tensor(adapter._columns())
    with torch.inference_mode():
        given = adapter.model, tokens, slice(1, 9), letters, fast_layers(adapter.model)
        assert torch.equal(approximate_logits(*given), letter_logits(*given))


def test_processors_without_bfloat16_multiply_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    model = random_esm2(1)
    assert approximate_layers(model) is fast_layers(model)
    assert not bfloat16._pays(model.embed_tokens.weight)


def test_changed_weights_are_packed_anew() -> None:
    model = random_esm2(1)
    first = approximate_layers(model)
    assert approximate_layers(model) is first
    with torch.no_grad():
        model.layers[0].fc1.weight.mul_(2)
    assert approximate_layers(model) is not first
