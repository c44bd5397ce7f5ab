"""The contact head's views of a query, and the measure of how its map answers to a mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_up_family import synthetic_family

from training import head, recovery, weights
from training.families import MISSING, query_states
from training.network import Network, Shape


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    weights.save(path, Network(Shape(2, 32, 4)), (torch.randn(1, 8), torch.tensor([-1.0])))
    return weights.load_esm(path)


def test_contacts_are_those_of_visible_residues_of_a_known_row() -> None:
    truth = np.ones((5, 5), dtype=bool)
    states = torch.arange(5, dtype=torch.int8)
    mask = torch.tensor([False, True, False, False, True])
    odds = torch.full((5, MISSING), 6.0)
    found = head.visible_contacts(truth, states, mask, odds)
    assert found.sum() == 9
    assert not found[1].any()
    assert not found[:, 4].any()
    # Two letters of six nats do not outweigh a prior of one in a million; three do.
    mask[0] = True
    assert not head.visible_contacts(truth, states, mask, odds).any()


def test_views_begin_with_the_whole_and_end_with_a_shuffled_query(model) -> None:
    family = synthetic_family(length=20)
    states, truth = query_states(family), np.ones((20, 20), dtype=bool)
    shown = head.views(model, states, truth, torch.full((20, MISSING), 20.0))
    assert len(shown) == 1 + head.MASKED_VIEWS + head.SHUFFLED_VIEWS
    np.testing.assert_array_equal(shown[0][0], head.attention_features(model, states))
    assert shown[0][1].all()
    assert all(not labels.all() for _, labels in shown[1:])
    assert not shown[-1][1].any()
    assert np.abs(shown[-1][0] - shown[0][0]).max() > 1e-3


def test_probabilities_are_fair_esm_s(model) -> None:
    states = query_states(synthetic_family(length=20))
    tokens = torch.cat([torch.tensor([0]), states.long() + 4, torch.tensor([2])])[None]
    with torch.no_grad():
        expected = model.predict_contacts(tokens)[0].numpy()
    np.testing.assert_allclose(recovery.probabilities(model, states), expected, atol=1e-6)


def test_masks_show_so_many_residues() -> None:
    masks = recovery.shown(40, 12)
    assert [pattern for pattern, _ in masks] == ["flanking", "random"] * recovery.DRAWS
    for pattern, mask in masks:
        sites = np.flatnonzero(~mask.numpy())
        assert len(sites) == 12
        assert (pattern == "flanking") == bool(sites[-1] - sites[0] == 11)
    assert not masks[0][1][0]
    assert not masks[4][1][-1]


def test_products_are_summed_over_the_pairs() -> None:
    whole, part = np.array([[0.5, 1.0], [2.0, 9.0]]), np.array([[1.0, 0.5], [2.0, 0.0]])
    pairs = np.array([[True, True], [True, False]])
    assert recovery.products(whole, part, pairs).tolist() == [0.5 + 0.5 + 4, 0.25 + 1 + 4]
    assert recovery.products(whole, part, np.zeros_like(pairs)).tolist() == [0, 0]


def test_a_map_that_no_mask_changes_comes_back_whole(model, monkeypatch) -> None:
    same = np.random.default_rng(0).random((22, 22))
    monkeypatch.setattr(recovery, "probabilities", lambda *_: same)
    for line in recovery.curve(synthetic_family(length=22), model):
        assert line["R"] == pytest.approx(1)
        assert line["left"] == pytest.approx(1)


def test_curve_has_a_line_for_every_pattern_and_number(model) -> None:
    lines = recovery.curve(synthetic_family(length=22), model)
    assert [(line["pattern"], line["visible"]) for line in lines] == [
        (pattern, visible) for visible in (10, 15, 20) for pattern in ("flanking", "random")
    ]
    assert all(np.isfinite(line["R"]) and np.isfinite(line["left"]) for line in lines)
