"""Corruption, loss, optimiser and a short run on a synthetic family."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up_family import synthetic_family

from training import corruption, maps
from training.families import MISSING
from training.loss import LossWeights, teacher_logits
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
    trainer = Trainer([family], [teacher], replace(SETTINGS, weights=LossWeights(0, 0, 1)), 0)
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
    mask = torch.zeros(length, dtype=torch.bool)
    mask[3] = True
    assert maps.jacobian(network, states, mask).shape == (length - 1, 20, length - 1, 20)


def test_precision_counts_hits_among_the_best_pairs() -> None:
    truth = np.zeros((10, 10), dtype=bool)
    truth[0, 9] = truth[1, 8] = truth[0, 5] = True
    assert maps.precision_at_l(truth.astype(float), truth) == pytest.approx(0.2)
    assert maps.precision_at_l(truth[:9, :9].astype(float), truth, np.arange(9)) == pytest.approx(1 / 9)
