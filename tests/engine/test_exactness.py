"""The Jacobian against the plain loop over fair-esm, against float64, and against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checkpoints import random_esm1b, random_esm2
from oracles import in_float64, plain_jacobian, plain_logits, plain_tokens
from stubs import PottsModel

from catjac_widgets.engine.api import jacobian
from catjac_widgets.language_models.registry import load_model, wrap
from catjac_widgets.proteins.masks import Mask

LETTERS = "LAGVSERTIDPKQNFYMHWC"

pytestmark = pytest.mark.usefixtures("way")


def random_residues(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng([seed, length]).choice(list(LETTERS), length))


def check(found: np.ndarray, model: Any, alphabet: Any, residues: str, **settings: Any) -> None:
    """Within max(1e-4, 5e-6 max|logit|) of the plain float32 loop, and near float64 as that loop is."""
    plain, _ = plain_jacobian(model, alphabet, residues, **settings)
    exact, exact_wild_type = plain_jacobian(in_float64(model), alphabet, residues, **settings)
    assert found.shape == plain.shape
    np.testing.assert_array_equal(np.isnan(found), np.isnan(plain))
    largest = np.nanmax(np.abs(exact + exact_wild_type))
    assert np.nanmax(np.abs(found - plain)) <= max(1e-4, 5e-6 * largest)
    own_error = np.nanmax(np.abs(plain - exact))
    assert np.nanmax(np.abs(found - exact)) <= 3 * own_error
    assert np.nanmax(np.abs(found)) > 100 * own_error, "the model must answer to substitutions"


MODELS = {
    "ESM-2": lambda: random_esm2(),
    "ESM-2 without token dropout": lambda: random_esm2(seed=3, token_dropout=False),
    "ESM-1b": lambda: random_esm1b(),
    "ESM-1v": lambda: random_esm1b(norm_before=False, seed=5),
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("length", [2, 3, 7, 24])
def test_full_equals_the_plain_loop(kind: str, length: int) -> None:
    model = MODELS[kind]()
    residues = random_residues(length)
    found = jacobian(residues, (model, model.alphabet if kind.startswith("ESM-2") else None), progress=False)
    assert "".join(found.aa_out.values) == LETTERS
    assert found.dtype == np.float32
    check(found.values, model, wrap(model).alphabet, residues)


@pytest.mark.parametrize("kind", ["ESM-2", "ESM-1b"])
def test_a_mask_makes_the_masked_input_the_baseline(kind: str) -> None:
    model = MODELS[kind]()
    residues = random_residues(15)
    mask = Mask.showing(residues, [(2, 6), (10, 11), (15, 15)])
    found = jacobian(residues, wrap(model), mask=mask, progress=False)
    check(found.values, model, wrap(model).alphabet, residues, masked=mask.array)
    hidden = np.flatnonzero(mask.array)
    assert np.isnan(found.values[hidden]).all()
    assert not np.isnan(np.delete(found.values, hidden, axis=0)).any()


@pytest.mark.parametrize("kind", ["ESM-2", "ESM-1b"])
@pytest.mark.parametrize("masked", [False, True])
def test_fast_equals_the_plain_loop_and_gives_masked_logits(kind: str, masked: bool) -> None:
    model = MODELS[kind]()
    alphabet = wrap(model).alphabet
    residues = random_residues(12)
    hidden = np.arange(12) % 5 == 3 if masked else None
    found = jacobian(residues, wrap(model), variant="fast", mask=hidden, progress=False)
    assert list(found.aa_in.values) == ["<mask>"]
    check(found.values, model, alphabet, residues, masked=hidden, variant="fast")
    for i in range(12):
        if hidden is None or not hidden[i]:
            also = np.arange(12) == i
            tokens = plain_tokens(alphabet, residues, also if hidden is None else also | hidden)
            expected = plain_logits(model, tokens[None])[0, i]
            row = found.values[i, 0, i] + found.wild_type_logits.values[i]
            np.testing.assert_allclose(row, expected, atol=max(1e-4, 5e-6 * np.abs(expected).max()))


def test_a_wider_model_at_small_length() -> None:
    model = random_esm2(3, 320, 20)
    residues = random_residues(6)
    check(jacobian(residues, wrap(model), progress=False).values, model, model.alphabet, residues)


@pytest.mark.parametrize("batch_size", [1, 7, 19, 20, 38, 1000])
def test_the_batch_size_changes_rounding_only(batch_size: int) -> None:
    model = random_esm2()
    residues = random_residues(9)
    found = jacobian(residues, wrap(model), batch_size=batch_size, cache=False, progress=False)
    check(found.values, model, model.alphabet, residues)


def test_positions_are_rows_of_the_whole() -> None:
    model = wrap(random_esm2())
    residues = random_residues(11)
    whole = jacobian(residues, model, cache=False, progress=False)
    some = jacobian(residues, model, positions=[9, 2, 3], cache=False, progress=False)
    assert some.pos_in.values.tolist() == [9, 2, 3]
    assert some.pos_out.values.tolist() == list(range(1, 12))
    np.testing.assert_allclose(some.values, whole.sel(pos_in=[9, 2, 3]).values, atol=1e-4)


def test_chains_are_concatenated_and_a_linker_is_dropped() -> None:
    model = random_esm2()
    first, second = random_residues(5), random_residues(6)
    joined = jacobian(f"{first}:{second}", wrap(model), progress=False)
    check(joined.values, model, model.alphabet, first + second)
    assert "".join(joined.chain_out.values) == "A" * 5 + "B" * 6

    linker = "GGSGG"
    found = jacobian(f"{first}:{second}", wrap(model), linker=linker, progress=False)
    kept = [*range(5), *range(10, 16)]
    plain, _ = plain_jacobian(model, model.alphabet, first + linker + second)
    exact, _ = plain_jacobian(in_float64(model), model.alphabet, first + linker + second)
    plain, exact = plain[kept][:, :, kept], exact[kept][:, :, kept]
    assert np.abs(found.values - plain).max() <= 1e-4
    assert np.abs(found.values - exact).max() <= 3 * np.abs(plain - exact).max()
    assert np.abs(found.values - joined.values).max() > 1e-2


def test_a_linker_stays_visible_under_a_mask() -> None:
    model = random_esm2()
    first, second = random_residues(4), random_residues(5)
    mask = np.array([False] * 3 + [True] * 2 + [False] * 4)
    found = jacobian(f"{first}:{second}", wrap(model), linker="GG", mask=mask, progress=False)
    long_mask = np.insert(mask, 4, [False, False])
    plain, _ = plain_jacobian(model, model.alphabet, f"{first}GG{second}", masked=long_mask)
    kept = [0, 1, 2, 3, 6, 7, 8, 9, 10]
    np.testing.assert_allclose(found.values, plain[kept][:, :, kept], atol=1e-4)


def test_unknown_residues_are_mapped_first() -> None:
    model = random_esm2()
    found = jacobian("MKUXA", wrap(model), unknown={"U": "C", "X": "A"}, progress=False)
    check(found.values, model, model.alphabet, "MKCAA")
    assert found.attrs["sequence"] == "MKCAA"


def test_the_wild_type_row_is_exactly_zero() -> None:
    residues = random_residues(10)
    found = jacobian(residues, wrap(random_esm2()), progress=False)
    for i, letter in enumerate(residues):
        assert (found.sel(pos_in=i + 1, aa_in=letter) == 0.0).all()


def test_float64_is_float64() -> None:
    model = random_esm2()
    residues = random_residues(8)
    found = jacobian(residues, wrap(model), numerics="float64", progress=False)
    exact, wild_type = plain_jacobian(in_float64(model), model.alphabet, residues)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found.values, exact, atol=1e-11)
    np.testing.assert_allclose(found.wild_type_logits.values, wild_type, atol=1e-11)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("cached", [True, False])
def test_a_potts_model_gives_its_couplings_back(symmetric: bool, cached: bool) -> None:
    model = PottsModel(seed=4, symmetric=symmetric)
    residues = random_residues(13)
    found = jacobian(residues, model, numerics="float64", cache=cached, progress=False)
    _, couplings = model.parameters_for(13)
    wild_type = [model.letters.index(letter) for letter in residues]
    expected = couplings - couplings[np.arange(13), wild_type][:, None]
    assert np.abs(found.values - expected).max() < 1e-10
    # Centring over both letter axes gives the zero-sum gauge, whatever the wild type.
    gauge = couplings - couplings.mean(axis=1, keepdims=True)
    gauge = gauge - gauge.mean(axis=3, keepdims=True)
    centred = found.values - found.values.mean(axis=1, keepdims=True)
    centred = centred - centred.mean(axis=3, keepdims=True)
    assert np.abs(centred - gauge).max() < 1e-10


def test_a_potts_model_does_not_care_for_a_mask_but_for_its_rows() -> None:
    model = PottsModel(seed=1)
    residues = random_residues(9)
    mask = Mask.hiding(residues, [(3, 5)])
    whole = jacobian(residues, model, numerics="float64", progress=False).values
    masked = jacobian(residues, model, numerics="float64", mask=mask, progress=False).values
    np.testing.assert_allclose(masked[~mask.array], whole[~mask.array], atol=1e-12)


def test_the_embedded_model() -> None:
    from catjac_widgets.language_models.esm.mini.weights import FOLDER, WEIGHTS

    if not (FOLDER / WEIGHTS).is_file():
        pytest.skip("the embedded model's weights are not there yet")
    residues = random_residues(20)
    model = load_model("mini", device="cpu")
    check(jacobian(residues, "mini", progress=False).values, model.model, model.alphabet, residues)
