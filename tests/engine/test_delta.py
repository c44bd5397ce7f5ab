"""Near-exact numerics: how far they are off, what is said of it, and the layers that they leave."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from checkpoints import random_esm1b, random_esm2
from scipy.stats import spearmanr

import catjac
from catjac_widgets.engine.compute.error_check import sampled_rows
from catjac_widgets.errors import ModelError, UsageError
from catjac_widgets.language_models.base import choose_numerics
from catjac_widgets.language_models.esm.linear_layers import FusedLayers, LinearLayers, fast_layers
from catjac_widgets.language_models.esm.numerics import delta_int8_kernel as compiled_delta
from catjac_widgets.language_models.esm.numerics.delta_int8_layers import Int8Weight
from catjac_widgets.language_models.esm.projections import divided, fused_projections
from catjac_widgets.language_models.potts.adapter import random_potts
from catjac_widgets.language_models.registry import load_model, wrap
from catjac_widgets.proteins.alphabets import ESM_LETTERS


def residues_of(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list(ESM_LETTERS), length))


@pytest.fixture(params=["compiled", "torch"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Eight bits by the compiled kernel, and by torch as where there is no compiler."""
    if request.param == "torch":
        monkeypatch.setenv("CATJAC_COMPILER", "")
    elif (reason := compiled_delta.why_not(random_esm2(1, 32, 2))) is not None:
        pytest.skip(reason)
    return str(request.param)


def off_diagonal_error(found: xr.DataArray, exact: xr.DataArray) -> float:
    """Share of the size of J, without what a residue does to itself."""
    others = exact.pos_in != exact.pos_out
    difference = float((np.square(found - exact) * others).sum())
    return float(np.sqrt(difference / float((np.square(exact) * others).sum())))


# ---- on proteins


@pytest.fixture(scope="module")
def exact() -> xr.DataArray:
    """The exact Jacobian of a domain by the embedded model, computed once."""
    return catjac.jacobian(catjac.examples()["ww"].sequence, "mini", cache=False, progress=False)


def test_eight_bits_are_near_exact_on_the_embedded_model(path: str, exact: xr.DataArray) -> None:
    near_exact_on_the_embedded_model("int8", exact)


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_sixteen_bits_are_near_exact_on_the_embedded_model(kind: str, exact: xr.DataArray) -> None:
    near_exact_on_the_embedded_model(kind, exact)


def near_exact_on_the_embedded_model(kind: str, exact: xr.DataArray) -> None:
    residues = str(exact.attrs["sequence"])
    found = catjac.jacobian(residues, "mini", numerics=f"delta-{kind}", progress=False)
    assert 0 < off_diagonal_error(found, exact) < 0.02
    ours, theirs = (catjac.contacts(J).values[np.triu_indices(len(residues), 6)] for J in (found, exact))
    assert spearmanr(ours, theirs)[0] > 0.999
    model = load_model("mini")
    numerics = choose_numerics(model.numerics, f"delta-{kind}", lambda: model.device.type, model=model.name)
    assert found.attrs["numerics"] == numerics.name
    assert found.attrs["key"] != exact.attrs["key"]
    # Too few rows to spare any for a comparison.
    assert found.attrs["numerics_error"] == "not estimated"
    assert "numerics_error" not in exact.attrs


def test_naive_eight_bits_would_be_far_off() -> None:
    """What the difference from the wild type is for: the same product of the states themselves is useless."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(48, 64, generator=generator)
    wild = 10 * torch.randn(7, 64, generator=generator)
    mutant = wild + 0.1 * torch.randn(5, 7, 64, generator=generator)
    rounded = Int8Weight(weight)
    base, effect = wild @ weight.T, (mutant - wild) @ weight.T
    strongest = torch.zeros(5, 1, dtype=torch.int64)
    delta = rounded.add_product(base, mutant - wild, strongest) - base
    naive = rounded.add_product(torch.zeros(7, 48), mutant.clone(), strongest) - base
    error = (delta - effect).norm() / effect.norm()
    assert error < 0.02
    assert (naive - effect).norm() / effect.norm() > 10 * error


@pytest.mark.parametrize("make", [random_esm2, random_esm1b])
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_delta_on_random_models_and_under_a_mask(make: Any, share: float, path: str) -> None:
    residues = residues_of(19)
    mask = np.random.default_rng(3).random(19) < share
    model = wrap(make(3, 48, 4))
    exact = catjac.jacobian(residues, model, mask=mask, progress=False)
    found = catjac.jacobian(residues, model, mask=mask, numerics="delta", progress=False)
    assert found.attrs["numerics"] == "delta-int8"
    np.testing.assert_array_equal(np.isnan(found), np.isnan(exact))
    assert off_diagonal_error(found, exact) < 0.03
    np.testing.assert_allclose(found.wild_type_logits, exact.wild_type_logits, atol=1e-5)
    for i, letter in enumerate(residues, 1):
        if not mask[i - 1]:
            assert (found.sel(pos_in=i, aa_in=letter) == 0.0).all()


def test_massive_channels_send_a_layer_back_to_float32(path: str) -> None:
    model = random_esm2(2, 48, 4)
    residues = residues_of(17)
    usual = wrap(model).prepare(residues, None, "delta-int8")
    assert usual.in_float32 == []
    with torch.no_grad():
        # The norm hands three channels on a thousand times as large, and the weights take them back.
        norm, dense = model.layers[1].final_layer_norm, model.layers[1].fc1
        norm.weight[:3] *= 1000
        norm.bias[:3] *= 1000
        dense.weight[:, :3] /= 1000
    altered = wrap(model)
    planted = altered.prepare(residues, None, "delta-int8")
    assert (planted.not_compiled is None) == (path == "compiled")
    assert planted.in_float32 == ["layers.1.fc1"]
    exact = catjac.jacobian(residues, altered, progress=False)
    found = catjac.jacobian(residues, altered, numerics="delta", progress=False)
    assert off_diagonal_error(found, exact) < 0.02


# ---- what is said of it


@pytest.mark.parametrize(("number", "sampled"), [(0, 0), (63, 0), (64, 1), (100, 2), (250, 5)])
def test_at_most_a_fiftieth_is_sampled_of_64_rows_or_more(number: int, sampled: int) -> None:
    rows = list(range(10, 10 + number))
    chosen = sampled_rows(rows)
    assert len(chosen) == len(set(chosen)) == sampled
    assert set(chosen) <= set(rows)


def test_the_error_is_measured_on_the_protein_and_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    residues, model = residues_of(66), wrap(random_esm2(2, 32, 2))
    found = catjac.jacobian(residues, model, numerics="delta", progress=False)
    said = found.attrs["numerics_error"]
    exact = catjac.jacobian(residues, model, progress=False)
    row = sampled_rows(list(range(66)))[0] + 1
    measured = off_diagonal_error(found.sel(pos_in=[row]), exact.sel(pos_in=[row]))
    assert said == pytest.approx(measured, rel=1e-3)
    assert 0.1 < said / off_diagonal_error(found, exact) < 10
    # From the cache, also for fewer rows, without computing anything.
    computed = catjac.cache.info().rows_computed
    again = catjac.jacobian(residues, model, numerics="delta", positions=[3, 4], progress=False)
    assert again.attrs["numerics_error"] == pytest.approx(said, rel=1e-6)
    assert catjac.cache.info().rows_computed == computed


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (
            lambda: random_potts(5, letters=ESM_LETTERS, seed=1),
            UsageError,
            "use 'exact' or 'float64'",
        ),
        (lambda: wrap(random_esm2().half()), ModelError, "not in float32"),
    ],
)
def test_models_without_it_say_so(model: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        catjac.jacobian(residues_of(5), model(), numerics="delta", progress=False)


# ---- packed layers


def test_fused_projections_turn_like_the_model() -> None:
    for make in (random_esm2, random_esm1b):
        model = make(1, 48, 4)
        attention = model.layers[0].self_attn
        x = torch.randn(3, 11, 48, generator=torch.Generator().manual_seed(1))
        from catjac_widgets.language_models.esm.forward import rotary

        turn = rotary(model, 11)
        with torch.inference_mode():
            query, key, value = LinearLayers().projections(attention, x, turn)
            ours = divided(torch.nn.functional.linear(x, *fused_projections(attention)), 4, turn)
        torch.testing.assert_close(ours[0] @ ours[1].mT, query @ key.mT, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours[2], value, atol=1e-6, rtol=1e-6)


def test_packed_layers_follow_the_weights() -> None:
    model = random_esm2(1, 32, 2)
    first = fast_layers(model)
    assert fast_layers(model) is first
    residues = residues_of(6)
    before = wrap(model).prepare(residues).wild_type()
    with torch.no_grad():
        model.layers[0].fc1.weight += 0.5
    assert fast_layers(model) is not first
    after = wrap(model).prepare(residues).wild_type()
    assert np.abs(after - before).max() > 1e-3


def test_the_layers_of_large_models_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_esm2(1, 32, 2)
    monkeypatch.setattr("catjac_widgets.language_models.esm.linear_layers.MOST_COPIED_BYTES", 1000)
    assert type(fast_layers(model)) is LinearLayers


def test_projections_of_the_embedded_model_are_fused() -> None:
    assert isinstance(fast_layers(load_model("mini", device="cpu").model), FusedLayers)
