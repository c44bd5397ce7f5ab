"""16-bit differences: how near they come, what they leave alone, and what sends a layer back to float32."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from checkpoints import random_esm1b, random_esm2
from scipy.stats import spearmanr

import catjac
from catjac_widgets.installation import _gpu_steps
from catjac_widgets.language_models.base import Substitution
from catjac_widgets.language_models.esm.adapter import FairEsm
from catjac_widgets.language_models.esm.cuda.fused_steps import agree, chosen_steps, steps_for
from catjac_widgets.language_models.esm.cuda.steps import Steps
from catjac_widgets.language_models.esm.forward import letter_logits
from catjac_widgets.language_models.esm.linear_layers import FusedLayers, LinearLayers
from catjac_widgets.language_models.esm.numerics.delta_16_bit_pass import weights_in_16_bits
from catjac_widgets.language_models.registry import load_model
from catjac_widgets.proteins.alphabets import ESM_LETTERS

CPU = torch.device("cpu")


def residues_of(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list(ESM_LETTERS), length))


def off_diagonal_error(found: xr.DataArray, exact: xr.DataArray) -> float:
    others = exact.pos_in != exact.pos_out
    difference = float((np.square(found - exact) * others).sum())
    return float(np.sqrt(difference / float((np.square(exact) * others).sum())))


# ---- on proteins


@pytest.fixture(scope="module")
def exact() -> xr.DataArray:
    """The exact Jacobian of a domain by the embedded model, computed once."""
    return catjac.jacobian(catjac.examples()["ww"].sequence, "mini", cache=False, progress=False)


@pytest.mark.parametrize(("kind", "largest"), [("bfloat16", 0.012), ("float16", 0.008)])
def test_attention_in_sixteen_bits_is_near_exact_on_the_embedded_model(
    kind: str, largest: float, exact: xr.DataArray
) -> None:
    model = load_model("mini", device="cpu").model
    residues = str(exact.attrs["sequence"])
    found = catjac.jacobian(
        residues, FairEsm(model), numerics=f"delta-{kind}-attention-float16", cache=False, progress=False
    )
    assert 0 < off_diagonal_error(found, exact) < largest
    ours, theirs = (catjac.contacts(J).values[np.triu_indices(len(residues), 6)] for J in (found, exact))
    assert spearmanr(ours, theirs)[0] > 0.999


@pytest.mark.parametrize("make", [random_esm2, random_esm1b])
@pytest.mark.parametrize("share", [0.0, 0.4])
@pytest.mark.parametrize("numerics", ["delta-bfloat16", "delta-bfloat16-attention-float16"])
def test_random_models_and_masks(make: Any, share: float, numerics: str) -> None:
    residues, model = residues_of(19), FairEsm(make(3, 48, 4))
    mask = np.random.default_rng(3).random(19) < share
    exact = catjac.jacobian(residues, model, mask=mask, cache=False, progress=False)
    found = catjac.jacobian(residues, model, mask=mask, numerics=numerics, cache=False, progress=False)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(exact))
    assert off_diagonal_error(found, exact) < 0.015


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
@pytest.mark.parametrize("make", [random_esm2, random_esm1b])
def test_a_mutant_that_is_the_wild_type_differs_by_nothing(make: Any, kind: str) -> None:
    """What 16-bit floats round, they round alike on both sides of each difference."""
    residues = residues_of(23)
    runner = FairEsm(make(3, 48, 4)).prepare(residues, None, f"delta-{kind}-attention-float16")
    rows = runner.rows([Substitution(k, residues[k]) for k in range(len(residues))])
    wild_type = runner.wild_type()
    np.testing.assert_allclose(rows, np.broadcast_to(wild_type, rows.shape), rtol=0, atol=2e-5)


# ---- what stays in float32


def test_numbers_beyond_sixteen_bits_send_a_layer_back_to_float32() -> None:
    model, residues = random_esm2(2, 48, 4), residues_of(17)
    assert FairEsm(model).prepare(residues, None, "delta-float16-attention-float16").in_float32 == []
    with torch.no_grad():
        norm, dense = model.layers[1].final_layer_norm, model.layers[1].fc1
        norm.weight[:3] *= 1e7
        norm.bias[:3] *= 1e7
        dense.weight[:, :3] /= 1e7
    planted = FairEsm(model)
    runner = planted.prepare(residues, None, "delta-float16-attention-float16")
    assert runner.in_float32 == ["layers.1.fc1"]
    assert runner._pass._blocks[1][2].weight.dtype == torch.float32
    exact = catjac.jacobian(residues, planted, cache=False, progress=False)
    numerics = "delta-float16-attention-float16"
    found = catjac.jacobian(residues, planted, numerics=numerics, cache=False, progress=False)
    assert off_diagonal_error(found, exact) < 0.01


def test_values_beyond_sixteen_bits_keep_attention_in_float32() -> None:
    model, residues = random_esm2(2, 48, 4), residues_of(17)
    with torch.no_grad():
        attention = model.layers[0].self_attn
        attention.v_proj.weight *= 1e6
        attention.v_proj.bias *= 1e6
        attention.out_proj.weight /= 1e6
    planted = FairEsm(model)
    runner = planted.prepare(residues, None, "delta-bfloat16-attention-float16")
    assert runner.in_float32 == ["layers.0.self_attn's scores"]
    rows = runner.rows([Substitution(5, residues[5])])
    np.testing.assert_allclose(rows[0], runner.wild_type(), rtol=0, atol=2e-5)
    exact = catjac.jacobian(residues, planted, cache=False, progress=False)
    numerics = "delta-bfloat16-attention-float16"
    found = catjac.jacobian(residues, planted, numerics=numerics, cache=False, progress=False)
    assert off_diagonal_error(found, exact) < 0.015


def test_16_bit_weights_follow_the_weights() -> None:
    model = random_esm2(1, 32, 2)
    first = weights_in_16_bits(model, torch.bfloat16)
    assert weights_in_16_bits(model, torch.bfloat16) is first
    with torch.no_grad():
        model.layers[0].fc1.weight += 0.5
    assert weights_in_16_bits(model, torch.bfloat16) is not first
    assert weights_in_16_bits(model, torch.float16)[id(model.layers[0].fc1)].dtype == torch.float16


# ---- steps


def test_steps_that_differ_are_told_apart() -> None:
    class Wrong(Steps):
        def gelu_difference(self, product: Any, base: Any, dtype: torch.dtype) -> Any:
            return super().gelu_difference(product, 1.02 * base, dtype)

    class OfAnotherType(Steps):
        def norm_difference(self, x: Any, norm: Any, known: Any, dtype: torch.dtype) -> Any:
            return super().norm_difference(x, norm, known, torch.float32)

    assert agree(Steps(), Steps(), CPU)
    assert not agree(Wrong(), Steps(), CPU)
    assert not agree(OfAnotherType(), Steps(), CPU)


def test_steps_are_the_formulas() -> None:
    generator = torch.Generator().manual_seed(1)
    x, product, known, base = (
        torch.randn(shape, generator=generator) for shape in ((3, 7, 24), (3, 7, 24), (7, 24), (7, 24))
    )
    norm, steps = torch.nn.LayerNorm(24), Steps()
    with torch.inference_mode():
        wanted = norm(x + product + base) - known
        summed = x.clone()
        found = steps.add_norm_difference(summed, product, base, norm, known, torch.float32)
        torch.testing.assert_close(found, wanted, rtol=0, atol=2e-6)
        torch.testing.assert_close(summed, x + product + base, rtol=0, atol=2e-6)
        torch.testing.assert_close(
            steps.norm_difference(x, norm, known, torch.float32), norm(x) - known, rtol=0, atol=2e-6
        )
        wanted = torch.nn.functional.gelu(product + base) - torch.nn.functional.gelu(base)
        found = steps.gelu_difference(product, base, torch.float32)
        torch.testing.assert_close(found, wanted, rtol=0, atol=2e-6)
        assert torch.equal(steps.difference(x, known, torch.float32), x - known)
        assert (steps.gelu_difference(torch.zeros_like(product), base, torch.bfloat16) == 0).all()


@pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="there is no Triton, which comes with torch for CUDA"
)
def test_triton_tells_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.cuda.is_available()
    if not cuda:
        # Triton's own interpreter stands in for a GPU.
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    from catjac_widgets.language_models.esm.cuda.triton_steps import TritonSteps

    assert agree(TritonSteps(), Steps(), torch.device("cuda") if cuda else CPU)


def test_a_cpu_takes_torch_operations() -> None:
    assert type(steps_for(CPU)) is Steps


def test_where_tritons_kernels_cannot_run_it_is_said_why(caplog: pytest.LogCaptureFixture) -> None:
    """A GPU that is not there stands for one that is too old, or has no Triton or no compiler."""
    chosen = chosen_steps(torch.device("cuda", 99))
    assert type(chosen.steps) is Steps
    assert re.match(r"\w+: \S", chosen.slower_because)
    assert f"which is slower: {chosen.slower_because}" in caplog.text
    finding = _gpu_steps(torch.device("cuda", 99))
    assert finding.state == "note"
    assert chosen.slower_because in finding.value
    assert chosen_steps(CPU).slower_because == ""


# ---- fused projections


@pytest.mark.parametrize(
    ("make", "dtype", "tolerance"),
    [
        (random_esm2, torch.float32, 1e-5),
        (random_esm1b, torch.float32, 1e-5),
        (random_esm2, torch.float64, 1e-12),
        (random_esm2, torch.float16, 0.02),
    ],
)
def test_fused_projections_give_the_same_logits(make: Any, dtype: torch.dtype, tolerance: float) -> None:
    model = make(2, 48, 4).to(dtype)
    for module in model.modules():
        if hasattr(module, "inv_freq"):
            module.inv_freq = module.inv_freq.to(torch.promote_types(dtype, torch.float32))
    adapter = FairEsm(model)
    tokens = adapter.encode(residues_of(21)).repeat(3, 1)
    letters = torch.tensor(adapter._columns())
    with torch.inference_mode():
        wanted = letter_logits(model, tokens, slice(1, 22), letters, LinearLayers())
        found = letter_logits(model, tokens, slice(1, 22), letters, FusedLayers(model))
    assert found.dtype == dtype
    scale = wanted.abs().max().item()
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance * scale)
