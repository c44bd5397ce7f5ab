"""Our forward pass against fair-esm's own, in float32 and float64."""

from __future__ import annotations

import copy
from typing import Any

import esm.multihead_attention
import numpy as np
import pytest
import torch
from checkpoints import random_esm1, random_esm1b, random_esm2
from esm.rotary_embedding import RotaryEmbedding
from hypothesis import given, settings
from hypothesis import strategies as st

from catjac_widgets.language_models.base import Substitution
from catjac_widgets.language_models.esm.adapter import FairEsm
from catjac_widgets.language_models.esm.mini import weights as embedded
from catjac_widgets.language_models.registry import load_model
from catjac_widgets.proteins.alphabets import ESM_LETTERS, MASK_LETTER
from catjac_widgets.proteins.masks import Mask

BPTI = "RPDFCLEPPYTGPCKARIIRYFYNAKAGLCQTFVYGGCRAKRNNFKSAEDCMRTCGGA"

MODELS = {
    "ESM-2": random_esm2(3, 48, 4),
    "ESM-2 without token dropout": random_esm2(2, 32, 2, token_dropout=False),
    "ESM-2 of one layer": random_esm2(1, 16, 1),
    "ESM-1b": random_esm1b(3, 48, 4),
    "ESM-1b without the first norm": random_esm1b(2, 32, 2, norm_before=False),
    "ESM-1b without token dropout": random_esm1b(2, 32, 2, token_dropout=False),
    "ESM-1": random_esm1(2, 32, 2),
}


def plain_logits(model: Any, residues: str, mask: Mask, position: int = -1, letter: str = "") -> np.ndarray:
    """fair-esm's own tokens, forward and vocabulary, written out once more."""
    alphabet = (
        model.alphabet if hasattr(model, "alphabet") else esm.Alphabet.from_architecture(model.model_version)
    )
    letters = [
        MASK_LETTER if hidden else residue for residue, hidden in zip(residues, mask.masked, strict=True)
    ]
    if letter:
        letters[position] = letter
    _, _, tokens = alphabet.get_batch_converter()([("", "".join(letters))])
    with torch.no_grad():
        logits = model(tokens)["logits"][0, 1 : 1 + len(residues)]
    return logits[:, [alphabet.get_idx(residue) for residue in ESM_LETTERS]].numpy()


def in_float64(model: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A float64 copy of fair-esm's model without its leftovers of float32: old rotary tables, the softmax."""
    made = copy.deepcopy(model).double()
    for module in made.modules():
        if isinstance(module, RotaryEmbedding):
            module._seq_len_cached = None
    monkeypatch.setattr(
        esm.multihead_attention, "utils_softmax", lambda x, dim, onnx_trace=False: torch.softmax(x, dim)
    )
    return made


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    return MODELS[request.param]


@st.composite
def inputs(draw: st.DrawFn) -> tuple[str, Mask, int, str]:
    residues = draw(st.text(ESM_LETTERS, min_size=1, max_size=24))
    masked = draw(st.lists(st.booleans(), min_size=len(residues), max_size=len(residues)))
    position = draw(st.integers(0, len(residues) - 1))
    return residues, Mask(tuple(masked)), position, draw(st.sampled_from([*ESM_LETTERS, MASK_LETTER]))


@settings(max_examples=25, deadline=None)
@given(inputs())
@pytest.mark.parametrize("name", MODELS)
def test_rows_equal_fair_esm_in_float32(name: str, case: tuple[str, Mask, int, str]) -> None:
    residues, mask, position, letter = case
    runner = FairEsm(MODELS[name]).prepare(residues, mask)
    wanted = plain_logits(MODELS[name], residues, mask)
    assert runner.wild_type().dtype == np.float32
    np.testing.assert_allclose(runner.wild_type(), wanted, rtol=0, atol=1e-5 * max(1, abs(wanted).max()))
    wanted = plain_logits(MODELS[name], residues, mask, position, letter)
    row = runner.rows([Substitution(position, letter)])
    assert row.shape == (1, len(residues), 20)
    np.testing.assert_allclose(row[0], wanted, rtol=0, atol=1e-5 * max(1, abs(wanted).max()))


@pytest.mark.parametrize("length", [1, 2, 3, 17, 60])
def test_rows_equal_fair_esm_in_float64(model: Any, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    residues = "".join(np.random.default_rng(length).choice(list(ESM_LETTERS), length))
    mask = Mask.from_array(np.random.default_rng(length).random(length) < 0.4)
    # A float32 pass of the same length first: its rotary tables must not leak into the copy.
    plain_logits(model, residues, mask)
    oracle = in_float64(model, monkeypatch)
    runner = FairEsm(model).prepare(residues, mask, "float64")
    for position in range(min(length, 4)):
        wanted = plain_logits(oracle, residues, mask, position, "W")
        found = runner.rows([Substitution(position, "W")])[0]
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-11 * abs(wanted).max())
    assert model.embed_tokens.weight.dtype == torch.float32


@pytest.mark.parametrize("length", [2, 9, 33])
def test_contacts_equal_fair_esm(model: Any, length: int) -> None:
    rng = np.random.default_rng(length)
    residues = "".join(rng.choice(list(ESM_LETTERS), length))
    masks = [
        None,
        Mask.everything(length),
        *(Mask.from_array(rng.random(length) < share) for share in (0.2, 0.8)),
    ]
    adapter = FairEsm(model)
    found = adapter.contact_probabilities(residues, masks)
    assert found.dtype == np.float32
    assert found.shape == (4, length, length)
    np.testing.assert_array_equal(found.shape, (4, length, length))
    np.testing.assert_allclose(found, found.transpose(0, 2, 1), rtol=0, atol=1e-6)
    for mask, map_ in zip(masks, found, strict=True):
        tokens = adapter.encode(residues, mask)[None]
        with torch.no_grad():
            wanted = model.predict_contacts(tokens)[0].numpy()
        np.testing.assert_allclose(map_, wanted, rtol=0, atol=2e-6)


def test_contacts_do_not_depend_on_padding() -> None:
    model, residues = MODELS["ESM-2"], "MKTAYIAKQRQISFVK"
    adapter = FairEsm(model)
    mask = Mask.showing(residues, [(3, 9)])
    tokens = adapter.encode(residues, mask)
    padded = torch.full((2, len(tokens) + 7), model.padding_idx)
    padded[0, : len(tokens)] = tokens
    padded[1] = adapter.encode("A" * (len(tokens) + 5))
    with torch.no_grad():
        wanted = model.predict_contacts(padded)[0, : len(residues), : len(residues)].numpy()
    np.testing.assert_allclose(adapter.contact_probabilities(residues, [mask])[0], wanted, rtol=0, atol=2e-6)


def test_a_regression_of_zeros_gives_its_offset() -> None:
    model = random_esm2()
    with torch.no_grad():
        model.contact_head.regression.weight.zero_()
        model.contact_head.regression.bias.fill_(-1.5)
    found = FairEsm(model).contact_probabilities("MKTAY", [None])
    np.testing.assert_allclose(found, 1 / (1 + np.exp(1.5)), rtol=1e-6)


def test_contacts_come_in_parts_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, residues = FairEsm(MODELS["ESM-2"]), "MKTAYIAKQRQISFVK"
    masks: list[Mask | None] = [None, *(Mask.hiding(residues, [(k, k + 3)]) for k in (1, 5, 9))]
    whole = adapter.contact_probabilities(residues, masks)
    monkeypatch.setattr("catjac_widgets.language_models.esm.adapter.CONTACT_BATCH_BYTES", 1)
    np.testing.assert_allclose(adapter.contact_probabilities(residues, masks), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("make", [random_esm2, random_esm1b])
def test_models_in_16_bit_floats_run_on_a_cpu(make: Any, dtype: torch.dtype) -> None:
    """Also ESM-1b, whose token dropout makes float32 of its embeddings in fair-esm's own pass."""
    residues = "MKTAYIAKQRQ"
    mask = Mask.showing(residues, [(2, 8)])
    exact, found = (
        FairEsm(model).prepare(residues, mask).rows([Substitution(4, "W")])
        for model in (make(), make().to(dtype))
    )
    assert found.dtype == np.float32
    assert 0 < np.abs(found - exact).max() < 16 * torch.finfo(dtype).eps * np.abs(exact).max()


@pytest.mark.parametrize("length", [2, 58, 159])
def test_the_embedded_model_equals_fair_esm(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On trained weights: near fair-esm in float32, equal in float64, no farther from the truth."""
    if not (embedded.FOLDER / embedded.WEIGHTS).is_file():
        pytest.skip("the embedded model is not in this checkout")
    adapter = load_model("mini", device="cpu")
    model = adapter.model
    residues = (BPTI * 3)[:length]
    mask = Mask.from_array(np.random.default_rng(length).random(length) < 0.3)
    for hidden in (Mask.none(length), mask):
        plain = plain_logits(model, residues, hidden)
        contacts = model.predict_contacts(adapter.encode(residues, hidden)[None]).detach().numpy()
        with monkeypatch.context() as patch:
            truth = plain_logits(in_float64(model, patch), residues, hidden)
        ours = adapter.prepare(residues, hidden).wild_type()
        wide = adapter.prepare(residues, hidden, "float64").wild_type()
        scale = abs(truth).max()
        np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-5 * scale)
        np.testing.assert_allclose(wide, truth, rtol=0, atol=1e-11 * scale)
        assert abs(ours - truth).max() <= max(3 * abs(plain - truth).max(), 1e-6 * scale)
        found = adapter.contact_probabilities(residues, [hidden])
        np.testing.assert_allclose(found, contacts, rtol=0, atol=1e-5)
