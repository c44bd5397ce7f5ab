"""The shipped weights and card, and the package's engine against the plain loop used for the scores."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

import catjac
from catjac_widgets.language_models.esm.mini.weights import embedded_file
from training import maps, weights
from training.families import LETTERS, encode
from training.network import with_ends
from training.recipe import EXAMPLES, TRAINED


@pytest.fixture(scope="module")
def card() -> dict:
    return json.loads(embedded_file().with_name("mini.json").read_text(encoding="utf-8"))


def test_weights_are_small_and_described() -> None:
    assert embedded_file().stat().st_size <= 8e6
    with safe_open(embedded_file(), framework="pt") as stored:
        metadata = stored.metadata()
    assert metadata["format"] == "catjac-mini"
    assert {"num_layers", "embed_dim", "attention_heads", "token_dropout", "alphabet", "version"} <= set(
        metadata
    )


@torch.no_grad()
def test_weights_load_into_fair_esm_and_make_the_same_logits() -> None:
    network, reference = weights.load_network(embedded_file()), weights.load_esm(embedded_file())
    tokens = with_ends(torch.randint(4, 24, (2, 40)))
    torch.testing.assert_close(
        reference(tokens)["logits"].flatten(0, 1)[:, 4:24], network([tokens]), atol=1e-4, rtol=0
    )
    assert reference.contact_head.regression.weight.abs().sum() > 0


def test_card_names_the_recipe_s_families(card: dict) -> None:
    known = {family["id"]: family for family in card["families"]}
    assert set(known) == set(TRAINED)
    assert set(EXAMPLES) <= set(TRAINED)
    assert not any(known[name]["head_in_sample"] for name in EXAMPLES)
    assert sum(card["background"].values()) == pytest.approx(1, abs=1e-3)
    assert set(card["background"]) == set(LETTERS)


def test_engine_and_plain_loop_draw_the_same_map(card: dict) -> None:
    query = min((family["query"] for family in card["families"]), key=len)
    J = catjac.jacobian(query, "mini", cache=False, progress=False)
    expected = maps.contact_map(
        maps.jacobian(weights.load_network(embedded_file()), torch.from_numpy(encode([query]))[0])
    )
    np.testing.assert_allclose(catjac.contacts(J).values, expected, atol=1e-4 * np.abs(expected).max())
