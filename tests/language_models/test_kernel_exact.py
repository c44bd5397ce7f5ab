"""The compiled kernel of float32 passes against fair-esm, against float64 and against torch's way."""

from __future__ import annotations

import copy
from typing import Any

import esm.multihead_attention
import numpy as np
import pytest
import torch
from checkpoints import random_esm1b, random_esm2
from hypothesis import given, settings
from hypothesis import strategies as st
from mutants import residues_of, same_bits_however_divided, some_mutants

from catjac_widgets.language_models.base import Substitution
from catjac_widgets.language_models.esm.cpu_kernels import exact as compiled_passes
from catjac_widgets.language_models.esm.cpu_kernels.exact import CompiledPasses, panels
from catjac_widgets.language_models.esm.forward import letter_logits
from catjac_widgets.language_models.esm.linear_layers import fast_layers
from catjac_widgets.language_models.registry import wrap
from catjac_widgets.proteins.masks import Mask

REASON = compiled_passes.why_not(random_esm2())
compiled = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def random_tokens(sequences: int, residues: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(4, 24, (sequences, residues + 2), generator=generator)
    tokens[:, 0], tokens[:, -1] = 0, 2
    return tokens


def by_kernel(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    residues = slice(1, tokens.shape[1] - 1)
    with torch.inference_mode():
        return CompiledPasses(model, tokens.shape[1], residues, torch.arange(4, 24))(tokens)


def errors(model: Any, tokens: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> tuple[float, float, float]:
    """Largest error of the kernel and of fair-esm in float32 against fair-esm in float64; largest logit."""
    residues = slice(1, tokens.shape[1] - 1)
    found = by_kernel(model, tokens)
    with monkeypatch.context() as patch, torch.no_grad():
        own = model(tokens)["logits"][:, residues, 4:24]
        patch.setattr(
            esm.multihead_attention, "utils_softmax", lambda x, dim, onnx_trace=False: torch.softmax(x, dim)
        )
        wide = copy.deepcopy(model).double()
        for module in wide.modules():
            if isinstance(module, esm.rotary_embedding.RotaryEmbedding):
                module._seq_len_cached = None
        exact = wide(tokens)["logits"][:, residues, 4:24]
    ours, fair_esms = (float((part - exact).abs().max()) for part in (found, own))
    return ours, fair_esms, float(exact.abs().max())


@compiled
@pytest.mark.parametrize(
    ("make", "layers", "channels", "heads"),
    [
        (random_esm2, 1, 16, 1),
        (random_esm2, 2, 48, 4),
        (random_esm2, 2, 80, 4),
        (random_esm2, 1, 128, 2),
        (random_esm2, 3, 96, 16),
        (random_esm2, 6, 320, 20),
        (random_esm1b, 2, 48, 4),
        (random_esm1b, 1, 96, 3),
    ],
)
def test_it_is_as_near_float64_as_fair_esm_is(
    make: Any, layers: int, channels: int, heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(layers, channels, heads)
    for length in (2, 5, 16, 17, 33, 61):
        ours, fair_esms, largest = errors(model, random_tokens(5, length, length), monkeypatch)
        assert ours <= 2 * fair_esms + 1e-6 * largest
        assert ours < 5e-6 * largest


@compiled
@settings(max_examples=25, deadline=None)
@given(
    layers=st.integers(1, 3),
    heads=st.integers(1, 5),
    width=st.sampled_from([16, 32, 48]),
    length=st.integers(2, 90),
    sequences=st.integers(1, 23),
    seed=st.integers(0, 99),
)
def test_it_equals_torchs_way(
    layers: int, heads: int, width: int, length: int, sequences: int, seed: int
) -> None:
    model = random_esm2(layers, heads * width, heads, seed=seed)
    tokens = random_tokens(sequences, length, seed)
    with torch.inference_mode():
        wanted = letter_logits(model, tokens, slice(1, length + 1), torch.arange(4, 24), fast_layers(model))
    np.testing.assert_allclose(by_kernel(model, tokens), wanted, rtol=0, atol=2e-6 * wanted.abs().max())


@compiled
@pytest.mark.parametrize("make", [random_esm2, random_esm1b])
def test_masks_and_masked_mutants(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    residues = residues_of(21)
    mask = Mask(tuple(index % 3 == 1 for index in range(21)))
    substitutions = some_mutants(residues, 9)
    model = make()
    runner = wrap(model).prepare(residues, mask)
    assert runner.not_compiled is None
    monkeypatch.setenv("CATJAC_COMPILER", "")
    other = wrap(model).prepare(residues, mask)
    assert other.not_compiled == "there is no C compiler"
    atol = 2e-6 * np.abs(other.wild_type()).max()
    np.testing.assert_allclose(runner.wild_type(), other.wild_type(), rtol=0, atol=atol)
    np.testing.assert_allclose(runner.rows(substitutions), other.rows(substitutions), rtol=0, atol=atol)


@compiled
def test_neither_threads_nor_groups_nor_company_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    residues = residues_of(37)
    runner = wrap(random_esm2(2, 64, 4)).prepare(residues)
    same_bits_however_divided(runner, residues, monkeypatch)
    # A residue put in place of itself is the wild type.
    same = runner.rows([Substitution(7, residues[7])])[0]
    np.testing.assert_array_equal(same, runner.wild_type())


@compiled
def test_it_follows_the_weights_and_leaves_the_mode() -> None:
    residues, model = residues_of(12), random_esm2(1, 32, 2)
    substitutions = some_mutants(residues, 3)
    first = wrap(model).prepare(residues).rows(substitutions)
    model.train()
    np.testing.assert_array_equal(wrap(model).prepare(residues).rows(substitutions), first)
    assert all(module.training for module in model.modules())
    with torch.no_grad():
        model.layers[0].fc1.weight *= 2
    second = wrap(model).prepare(residues).rows(substitutions)
    assert np.abs(second - first).max() > 1e-2


@compiled
def test_weights_are_laid_out_once_a_model() -> None:
    model = random_esm2()
    assert compiled_passes.float_panels(model) is compiled_passes.float_panels(model)


@settings(max_examples=30, deadline=None)
@given(outputs=st.integers(1, 12), inputs=st.integers(1, 40), seed=st.integers(0, 99))
def test_panels_are_what_the_kernel_reads(outputs: int, inputs: int, seed: int) -> None:
    outputs *= 16
    weight = torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(seed))
    found = panels(weight)
    assert found.shape == (outputs * inputs,)
    for output, channel in [(0, 0), (outputs - 1, inputs - 1), (outputs // 2, inputs // 3)]:
        panel, within = divmod(output, 64)
        wide = min(64, outputs - 64 * panel)
        assert found[64 * panel * inputs + channel * wide + within] == weight[output, channel]


@compiled
@pytest.mark.parametrize(
    ("shape", "words"),
    [((1, 24, 2), "multiple of 16"), ((1, 144, 1), "or more than 64"), (None, "too large")],
)
def test_other_models_go_by_torch(shape: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if shape is None:
        monkeypatch.setattr(compiled_passes, "MOST_COPIED_BYTES", 1000)
    model = random_esm2(*(shape or (2, 32, 4)))
    runner = wrap(model).prepare(residues_of(9))
    assert words in runner.not_compiled
    tokens = runner.prepared.tokens[None]
    with torch.no_grad():
        wanted = model(tokens)["logits"][0, 1:10, 4:24].numpy()
    np.testing.assert_allclose(runner.wild_type(), wanted, rtol=0, atol=5e-6 * np.abs(wanted).max())


def test_a_compiler_that_fails_is_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        pytest.skip("no compiler is asked for without AVX-512")
    calls = tmp_path / "calls"
    failing = tmp_path / "cc"
    failing.write_text(f"#!/bin/sh\ncase $1 in --version) echo 1;; *) echo x >> {calls}; exit 1;; esac\n")
    failing.chmod(0o755)
    monkeypatch.setenv("CATJAC_COMPILER", str(failing))
    residues = residues_of(8)
    model = random_esm2()
    for _ in range(3):
        runner = wrap(model).prepare(residues)
        assert "did not compile exact_pass.c" in runner.not_compiled
    assert calls.read_text() == "x\n"
    assert np.isfinite(runner.wild_type()).all()
