"""Corruption, loss, optimiser and a short run on a synthetic family."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up_family import synthetic_family

from training import corruption, maps
from training.corruption import FOREIGN, NOWHERE
from training.families import MISSING
from training.loss import (
    LossWeights,
    attention_loss,
    believed_logits,
    lesson,
    wanted_attention,
    wanted_logits,
)
from training.network import CLS, EOS, FIRST_LETTER, GAP, MASK, PAD, Shape
from training.optimiser import orthogonalise
from training.potts import fit
from training.recognition import PRIOR, background, belief, evidence, log_odds
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


@pytest.fixture(scope="module")
def composition(family):
    return background([family])


@pytest.fixture(scope="module")
def known(teacher, composition):
    return lesson(teacher, composition)


@pytest.mark.parametrize("kind", list(corruption.KINDS))
def test_groups_are_consistent(family, composition, kind, monkeypatch) -> None:
    monkeypatch.setattr(corruption, "SHORTEST_CROP", 5)
    rng = np.random.default_rng(0)
    sizes = set()
    for _ in range(20):
        group = corruption.draw(family, 0, 200, composition, rng, kind)
        for tokens, states, columns, targets in zip(
            group.tokens, group.states, group.columns, group.targets, strict=True
        ):
            inside, residues = columns >= 0, columns != NOWHERE
            assert tokens[0] == CLS
            assert tokens[int(residues.sum()) + 1] == EOS
            assert (tokens[int(residues.sum()) + 2 :] == PAD).all()
            assert residues[1 : int(residues.sum()) + 1].all()
            assert (columns[inside].diff() > 0).all()
            seen = states[columns[inside]].long()
            visible = seen < MISSING
            assert torch.equal(tokens[inside][visible], seen[visible] + FIRST_LETTER)
            assert set(tokens[inside][~visible].tolist()) <= {MASK, GAP}
            assert (tokens[targets >= 0] == MASK).all()
            assert (tokens[residues & ~inside] >= FIRST_LETTER).all()
            absent = torch.ones(family.length, dtype=torch.bool)
            absent[columns[inside]] = False
            assert (states[absent] == MISSING).all()
            sizes.add(int(residues.sum()))
    if kind == "placed":
        assert min(sizes) < family.length < max(sizes)
    else:
        assert sizes == {family.length}
    if kind == "foreign":
        assert (group.targets < 0).all()


def test_shares_of_the_kinds_are_whole() -> None:
    for kinds in (corruption.KINDS, corruption.LATER_KINDS):
        assert sum(kinds.values()) == pytest.approx(1)
        assert set(kinds) == set(corruption.QUERY_SHARES)


def test_disturbed_rows_keep_their_gaps_or_are_the_background_s(family, composition) -> None:
    only_first = np.eye(MISSING)[0]
    states = np.tile(np.array([1, 2, MISSING, 3, 4], dtype=np.int8), (300, 1))
    kinds = set()
    for row in corruption.disturb(states, only_first, np.random.default_rng(0)):
        if (row == 0).all():
            kinds.add("background")
        else:
            assert row[2] == MISSING
            assert sorted(row.tolist()) == [1, 2, 3, 4, MISSING]
            kinds.add("reversed" if row.tolist() == [4, 3, MISSING, 2, 1] else "permuted")
    assert kinds == {"background", "reversed", "permuted"}
    assert states[0].tolist() == [1, 2, MISSING, 3, 4]


def test_letters_follow_their_distribution() -> None:
    shares = np.random.default_rng(1).dirichlet(np.ones(MISSING), 2)
    drawn = corruption.from_distribution(shares, (20000, 2), np.random.default_rng(2))
    for site in range(2):
        found = np.bincount(drawn[:, site], minlength=MISSING) / len(drawn)
        # Four standard deviations of a share of at most a half.
        assert np.abs(found - shares[site]).max() < 4 * 0.5 / len(drawn) ** 0.5


def test_belief_is_bayes_rule() -> None:
    profile = np.full((3, MISSING), 1 / MISSING)
    composition = np.full(MISSING, 1 / MISSING)
    profile[1] = 0.5 / (MISSING - 1)
    profile[1, 4] = 0.5
    odds = log_odds(profile, composition)
    states = torch.tensor([[0, 4, 7], [0, 4, MISSING], [0, MISSING, 7]], dtype=torch.int8)
    nats = evidence(states, odds).sum(dim=1)
    assert nats.tolist() == pytest.approx([np.log(10), np.log(10), 0], abs=1e-6)
    assert belief(nats).tolist() == pytest.approx([1e-5 / (1 + 1e-5)] * 2 + [1e-6 / (1 + 1e-6)], rel=1e-5)
    assert float(belief(torch.tensor(-np.log(PRIOR)))) == pytest.approx(0.5)


def sure(known):
    """The lesson with letters so telling that any two of them are enough."""
    return replace(known, odds=torch.full_like(known.odds, 20.0))


def in_doubt(known):
    """The lesson with letters that speak against the family."""
    return replace(known, odds=torch.full_like(known.odds, -20.0))


def test_a_known_row_is_taught_the_teacher_s_conditionals(family, teacher, known, composition) -> None:
    group = corruption.draw(family, 0, 200, composition, np.random.default_rng(4), "placed")
    wanted = wanted_logits([group], [sure(known)])
    rows, places = torch.nonzero(group.columns != NOWHERE, as_tuple=True)
    assert len(wanted) == len(rows)
    columns = group.columns[rows, places]
    assert (columns == FOREIGN).any()
    for site, column in enumerate(columns.tolist()):
        if column == FOREIGN:
            torch.testing.assert_close(wanted[site], known.unknown)
            continue
        others = group.states[rows[site]].clone()
        others[column] = MISSING
        if (others < MISSING).any():
            logits = teacher.logits(group.states[rows[site]][None])[0, column]
            torch.testing.assert_close(wanted[site], logits - logits.mean(), atol=1e-4, rtol=0)


def test_a_row_in_doubt_is_taught_no_coupling(family, known, composition) -> None:
    group = corruption.draw(family, 0, 200, composition, np.random.default_rng(5), "foreign")
    states = group.states.clone()
    for letter in range(MISSING):
        states[:, 3] = letter
        wanted = believed_logits(states, in_doubt(known))
        torch.testing.assert_close(wanted, known.unknown.expand_as(wanted))
    attention = wanted_attention(group, in_doubt(known), masked_too=True)
    # A row without a visible letter is left with the prior.
    assert attention[:, :, 0].min() >= 1 - PRIOR
    assert attention[:, :, 1:].max() <= PRIOR


def test_a_shuffled_family_is_not_believed() -> None:
    """Where each column has a letter of its own, letters tell the family; in another order they do not."""
    rng = np.random.default_rng(0)
    profile = np.full((30, MISSING), 0.01)
    profile[np.arange(30), np.arange(30) % MISSING] = 0.81
    odds = log_odds(profile, np.full(MISSING, 1 / MISSING))
    rows = torch.from_numpy(corruption.from_distribution(profile, (50, 30), rng))
    assert belief(evidence(rows, odds).sum(dim=1)).min() > 0.99
    shuffled = torch.from_numpy(np.stack([rng.permutation(row) for row in rows.numpy()]))
    assert belief(evidence(shuffled, odds).sum(dim=1)).max() < 0.01


def test_a_residue_s_own_letter_does_not_change_its_target(known) -> None:
    rng = np.random.default_rng(6)
    states = torch.from_numpy(rng.integers(0, MISSING, (1, known.potts.length)).astype(np.int8))
    near = replace(known, odds=torch.from_numpy(rng.normal(1.2, 1.0, known.odds.shape)).float())
    before = believed_logits(states, near)
    changed = states.clone()
    changed[0, 4] = (states[0, 4] + 3) % MISSING
    after = believed_logits(changed, near)
    torch.testing.assert_close(after[0, 4], before[0, 4])
    assert (after - before)[0, 5].abs().max() > 1e-3


def test_attention_is_wanted_from_visible_partners_only(known) -> None:
    partners = torch.zeros(4, 4)
    partners[0, 2], partners[0, 3] = 0.25, 0.75
    partners[2, 0] = partners[3, 0] = 1.0
    simple = replace(known, partners=partners, odds=torch.full((4, MISSING), 20.0))
    states = torch.tensor([[1, 2, MISSING, 4], [1, 2, 3, 4]], dtype=torch.int8)
    tokens = corruption.aligned_tokens(states)
    tokens[0, 3] = MASK
    columns = torch.tensor([[NOWHERE, 0, 1, 2, 3, NOWHERE]] * 2)
    group = corruption.Group(0, tokens, states, columns, torch.full_like(columns, -1))
    expected = torch.zeros(2, 6, 6)
    expected[0, 1, 4] = 0.75
    expected[1, 1, 3], expected[1, 1, 4] = 0.25, 0.75
    expected[1, 3, 1] = expected[0, 4, 1] = expected[1, 4, 1] = 1.0
    expected[:, :, 0] = 1 - expected.sum(dim=2)
    torch.testing.assert_close(wanted_attention(group, simple, masked_too=False), expected)
    expected[0, 3, 0], expected[0, 3, 1] = 0.0, 1.0
    torch.testing.assert_close(wanted_attention(group, simple, masked_too=True), expected)
    # With uniform attention the divergence is that from the uniform distribution.
    uniform = torch.full((2, 6, 6), 1 / 6)
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    mean = (8 * np.log(6) - 2 * entropy) / 8
    assert float(attention_loss([uniform], [group], [simple])) == pytest.approx(mean, abs=1e-3)
    assert float(attention_loss([expected], [group], [simple], masked_too=True)) == pytest.approx(0, abs=1e-3)


def test_partners_are_the_teacher_s_strongest_pairs(teacher, known) -> None:
    assert int((known.partners > 0).sum()) <= 2 * int(1.5 * teacher.length)
    assert known.partners[2].argmax() == 9
    sums = known.partners.sum(dim=1)
    assert ((sums - 1).abs() < 1e-5).logical_or(sums == 0).all()


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
