"""The compiled kernel of direct effects, against torch's way, and who takes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import random_esm1b, random_esm2
from hypothesis import given, settings
from hypothesis import strategies as st

from catjac_widgets.language_models.esm.cpu_kernels import exact as compiled_passes
from catjac_widgets.language_models.esm.cpu_kernels.build import library
from catjac_widgets.language_models.esm.first_order import direct_effects as direct_effects_kernel
from catjac_widgets.language_models.esm.first_order.approximation import FirstOrder

REASON = compiled_passes.why_not(random_esm2())
compiled = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.fixture(scope="module", autouse=True)
def at_hand() -> None:
    if REASON is None:
        library("direct_effects", compiled_passes.FEATURES)


def direct_effects(model: Any, tokens: torch.Tensor, letters: torch.Tensor, quick: bool) -> torch.Tensor:
    made = FirstOrder(model, tokens, slice(1, len(tokens) - 1), letters, quick=quick)
    for _ in made.steps(()):
        pass
    return made.jacobian


def random_tokens(residues: int, seed: int, masked: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(4, 24, (residues + 2,), generator=generator)
    tokens[torch.rand(residues + 2, generator=generator) < masked] = 32
    tokens[0], tokens[-1] = 0, 2
    return tokens


@compiled
@settings(max_examples=30, deadline=None)
@given(
    layers=st.integers(1, 3),
    heads=st.integers(1, 6),
    depth=st.sampled_from([2, 8, 16, 20, 64]),
    residues=st.integers(2, 40),
    letters=st.integers(1, 30),
    masked=st.sampled_from([0.0, 0.4]),
    seed=st.integers(0, 99),
)
def test_it_equals_torchs_way(
    layers: int, heads: int, depth: int, residues: int, letters: int, masked: float, seed: int
) -> None:
    model = random_esm2(layers, heads * depth, heads, seed=seed)
    tokens, chosen = random_tokens(residues, seed, masked), torch.arange(letters)
    ours, torchs = (direct_effects(model, tokens, chosen, quick) for quick in (True, False))
    np.testing.assert_allclose(ours, torchs, rtol=0, atol=1e-5 * float(torchs.abs().max()) + 1e-6)


@compiled
def test_scores_that_grow_beyond_all_measure_are_cut() -> None:
    model = random_esm2(2, 32, 2)
    with torch.no_grad():
        for layer in model.layers:
            layer.self_attn.q_proj.weight *= 40
    tokens, letters = random_tokens(11, 0), torch.arange(4, 24)
    ours, torchs = (direct_effects(model, tokens, letters, quick) for quick in (True, False))
    assert torch.isfinite(ours).all()
    # Up to 1 / LEAST_SUM times the last bits of what is subtracted.
    np.testing.assert_allclose(ours, torchs, rtol=0, atol=1e-3 * float(torchs.abs().max()))


@compiled
def test_threads_change_nothing() -> None:
    model, tokens, letters = random_esm1b(2, 48, 4), random_tokens(29, 1), torch.arange(4, 24)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(direct_effects(model, tokens, letters, quick=True))
    finally:
        torch.set_num_threads(before)
    # The kernel adds in one order; what goes into it comes from torch, whose threads may not.
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=0, atol=1e-5 * float(found[0].abs().max()))


@compiled
def test_what_it_cannot_take_goes_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    known = direct_effects_kernel.add_direct_effects
    monkeypatch.setattr(
        direct_effects_kernel,
        "add_direct_effects",
        lambda *given: (used.append(len(given)), known(*given))[1],
    )
    tokens = random_tokens(7, 0)
    direct_effects(random_esm2(2, 32, 2), tokens, torch.arange(4, 24), quick=True)
    assert len(used) == 2
    direct_effects(random_esm2(1, 144, 2), tokens, torch.arange(4, 24), quick=True)  # 72 channels a head
    direct_effects(random_esm2(2, 32, 2), tokens, torch.arange(33), quick=True)
    direct_effects(random_esm2(2, 32, 2).double(), tokens, torch.arange(4, 24), quick=True)
    monkeypatch.setenv("CATJAC_COMPILER", "")
    direct_effects(random_esm2(2, 32, 2), tokens, torch.arange(4, 24), quick=True)
    assert len(used) == 2
