"""Corruption, loss, optimiser and a short run on a synthetic family."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up_family import synthetic_family

from training import corruption, maps
from training.families import MISSING
from training.loss import LossWeights, attention_loss, teacher_logits, teacher_partners
from training.network import CLS, EOS, FIRST_LETTER, GAP, MASK, PAD, Shape
from training.optimiser import orthogonalise
from training.potts import fit
from training.train import Settings, Trainer, rate

SETTINGS = Settings(steps=20, tokens=256, families_a_step=1, shape=Shape(2, 32, 4), warm_up=5, check_every=10)


@pytest.fixture(scope="module")
def family():
    made_up = synthetic_family()
    rows = made_up.rows.copy()
    rows[5, :3] = MISSING
    return replace(made_up, rows=rows)


@pytest.fixture(scope="module")
def teacher(family):
    return fit(family, iterations=10)


@pytest.mark.parametrize("kind", list(corruption.KINDS))
def test_groups_are_consistent(family, kind, monkeypatch) -> None:
    monkeypatch.setattr(corruption, "KINDS", {kind: 1.0})
    monkeypatch.setattr(corruption, "SHORTEST_CROP", 5)
    rng = np.random.default_rng(0)
    for _ in range(20):
        group = corruption.draw(family, 0, 200, rng)
        for tokens, states, columns, targets in zip(
            group.tokens, group.states, group.columns, group.targets, strict=True
        ):
            inside = columns >= 0
            assert tokens[0] == CLS
            assert tokens[int(inside.sum()) + 1] == EOS
            assert (tokens[int(inside.sum()) + 2 :] == PAD).all()
            assert (columns[inside].diff() > 0).all()
            seen = states[columns[inside]].long()
            known = seen < MISSING
            assert torch.equal(tokens[inside][known], seen[known] + FIRST_LETTER)
            assert set(tokens[inside][~known].tolist()) <= {MASK, GAP}
            assert (tokens[targets >= 0] == MASK).all()
            absent = torch.ones(family.length, dtype=torch.bool)
            absent[columns[inside]] = False
            assert (states[absent] == MISSING).all()
    if kind == "ungapped":
        assert GAP not in group.tokens


def test_teacher_sits_at_the_right_tokens(family, teacher) -> None:
    group = corruption.draw(family, 0, 200, np.random.default_rng(4))
    wanted = teacher_logits([group], [teacher])
    rows, places = torch.nonzero(group.columns >= 0, as_tuple=True)
    assert len(wanted) == len(rows)
    for site in (0, len(rows) // 2, len(rows) - 1):
        logits = teacher.logits(group.states[rows[site]][None])[0, group.columns[rows[site], places[site]]]
        torch.testing.assert_close(wanted[site], logits - logits.mean())


def test_attention_loss_is_the_divergence_from_visible_partners() -> None:
    partners = torch.zeros(4, 4)
    partners[0, 2] = partners[2, 0] = 1.0
    partners[0, 3] = partners[3, 0] = 3.0
    states = torch.tensor([[1, 2, MISSING, 4], [1, 2, 3, 4]], dtype=torch.int8)
    tokens = corruption.aligned_tokens(states)
    tokens[0, 3] = MASK
    columns = torch.tensor([[-1, 0, 1, 2, 3, -1]] * 2)
    group = corruption.Group(0, tokens, states, columns, torch.full_like(columns, -1))
    uniform = torch.full((2, 6, 6), 1 / 6)
    # Row 0: residue 1 sees residue 4 only, residues 3 and 4 see residue 1. Row 1: residue 1 sees both.
    both = 0.25 * np.log(0.25) + 0.75 * np.log(0.75) + np.log(6)
    expected = (5 * np.log(6) + both) / 6
    assert float(attention_loss([uniform], [group], [partners])) == pytest.approx(expected, abs=1e-3)


def test_teacher_partners_are_its_strongest_pairs(teacher) -> None:
    partners = teacher_partners(teacher)
    torch.testing.assert_close(partners, partners.T)
    assert int((partners > 0).sum()) <= 2 * int(1.5 * teacher.length)
    assert partners.max() == partners[2, 9]


def test_orthogonalised_singular_values_are_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((3, 16, 16), (2, 8, 32), (2, 32, 8)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
        assert values.min() > 0.2
        assert values.max() < 1.4


def test_rate_warms_up_and_ends_at_zero() -> None:
    settings = Settings(steps=1000, warm_up=100)
    assert rate(0, settings) == pytest.approx(0.01)
    assert rate(300, settings) == 1
    assert rate(1000, settings) == 0


def test_a_short_run_lowers_the_loss_and_resumes(family, teacher, tmp_path) -> None:
    def run(seed: int, folder, steps: int) -> tuple[float, float, Trainer]:
        trainer = Trainer([family], [teacher], SETTINGS, seed)
        first = trainer.check()[0]["missed"]
        if steps < SETTINGS.steps:
            for _ in range(steps):
                trainer.train_step()
            trainer.check()
            torch.save(trainer.state(), folder / "checkpoint.pt")
            trainer = Trainer([family], [teacher], SETTINGS, seed)
        trainer.run(folder)
        return first, trainer.check()[0]["missed"], trainer

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, last, whole = run(0, tmp_path / "a", SETTINGS.steps)
    assert last < first
    assert (tmp_path / "a" / "log.csv").read_text().count("\n") == 3
    _, _, resumed = run(0, tmp_path / "b", 10)
    for name, value in whole.average.state_dict().items():
        torch.testing.assert_close(resumed.average.state_dict()[name], value, msg=name)


def test_plain_training_needs_no_teacher(family, teacher) -> None:
    trainer = Trainer([family], [teacher], replace(SETTINGS, weights=LossWeights(0, 0, 1, 0)), 0)
    assert set(trainer.train_step()) == {"natural"}


def test_jacobian_rows_and_map(family) -> None:
    torch.manual_seed(0)
    trainer = Trainer([family], [fit(family, iterations=1)], SETTINGS, 0)
    network = trainer.network.eval()
    states = torch.from_numpy(family.rows[0])
    whole = maps.jacobian(network, states)
    length = family.length
    assert whole.shape == (length, 20, length, 20)
    assert whole[range(length), states.long()].abs().max() < 1e-5
    scores = maps.contact_map(whole)
    np.testing.assert_allclose(scores, scores.T)
    assert not scores.diagonal().any()
    mask = torch.zeros(length, dtype=torch.bool)
    mask[3] = True
    assert maps.jacobian(network, states, mask).shape == (length - 1, 20, length - 1, 20)


def test_precision_counts_hits_among_the_best_pairs() -> None:
    truth = np.zeros((10, 10), dtype=bool)
    for i, j in ((0, 9), (1, 8), (0, 7), (0, 3)):
        truth[i, j] = truth[j, i] = True
    scores = truth.astype(float)
    # Ten pairs are asked for; ten are six or more apart, three of them contacts.
    assert maps.precision_at_l(scores, truth) == pytest.approx(0.3)
    mask = torch.zeros(10, dtype=torch.bool)
    mask[9] = True
    # Nine residues stay visible with six such pairs; the three that are missing count as misses.
    assert maps.precision_at_l(scores[:9, :9], truth, mask) == pytest.approx(2 / 9)
    mask[:] = True
    assert np.isnan(maps.precision_at_l(scores[:0, :0], truth, mask))
