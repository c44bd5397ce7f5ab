from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catjac_widgets.analysis.benchmark.intervals import precision_interval, ranked, weighted_precision
from catjac_widgets.analysis.benchmark.scored_pairs import Scored, scored_pairs
from catjac_widgets.analysis.statistics import mean_interval, percentiles, spearman, spearman_interval
from catjac_widgets.errors import UsageError

seeds = st.integers(0, 2**32 - 1)


def scored(L, seed=0, density=0.3, separation=1):
    random = np.random.default_rng(seed)
    C = random.normal(size=(L, L))
    truth = np.triu(random.random((L, L)) < density, 1).astype(float)
    return scored_pairs(C + C.T, truth + truth.T, separation=separation)


@given(seeds, st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_weighted_precision_fills_places_one_by_one(seed, count):
    random = np.random.default_rng(seed)
    hits, weights = random.random(10), random.integers(0, 4, size=10)
    places = [hit for hit, weight in zip(hits, weights, strict=True) for _ in range(weight)][:count]
    assert weighted_precision(hits, weights, count) == pytest.approx(sum(places) / count, abs=1e-12)


def test_with_equal_weights_it_is_the_precision():
    for seed in range(5):
        pairs = scored(20, seed)
        _, hits = ranked(pairs)
        assert weighted_precision(hits, np.ones(len(hits), dtype=int), 20) == pytest.approx(
            pairs.precision(20), abs=1e-12
        )


def test_tied_pairs_share_their_verdicts():
    pairs = Scored(
        np.array([1.0, 1, 2, 1]), np.array([True, False, False, True]), 4, np.arange(4), np.arange(4) + 1
    )
    order, hits = ranked(pairs)
    assert order[0] == 2
    np.testing.assert_allclose(hits, [0, 2 / 3, 2 / 3, 2 / 3])


def test_an_interval_by_pairs_is_as_wide_as_independent_trials_make_it():
    # Verdicts that are independent of each other and of the rank: a binomial share.
    random = np.random.default_rng(0)
    hits = random.random(4000) < 0.5
    pairs = Scored(random.normal(size=4000), hits, 400, np.arange(4000), np.arange(4000) + 1)
    low, high = precision_interval(pairs, 400, unit="pairs", draws=2000)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 400), rel=0.1)
    assert low < pairs.precision(400) < high


def test_an_interval_by_residues_is_wider_where_a_residue_decides():
    # All that a few residues touch is a contact: pairs are anything but independent.
    L = 40
    truth = np.zeros((L, L))
    truth[:4], truth[:, :4] = 1, 1
    pairs = scored_pairs(np.random.default_rng(1).random((L, L)), truth, separation=1)
    by_pairs = precision_interval(pairs, L, unit="pairs")
    by_residues = precision_interval(pairs, L, unit="residues")
    assert by_residues[1] - by_residues[0] > by_pairs[1] - by_pairs[0]
    assert by_residues[0] < pairs.precision(L) < by_residues[1]


def test_by_residues_equals_a_plain_loop():
    pairs = scored(8, 3)
    order = np.argsort(-pairs.scores)
    random = np.random.default_rng(7)
    found = []
    for _ in range(50):
        drawn = list(random.integers(8, size=8))
        places = []
        for k in order:
            places += [pairs.hits[k]] * (drawn.count(pairs.first[k]) * drawn.count(pairs.second[k]))
        found.append(sum(places[:8]) / 8)
    assert precision_interval(pairs, 8, draws=50, seed=7) == pytest.approx(
        tuple(np.quantile(found, [0.025, 0.975])), abs=1e-12
    )


def test_certainty_and_nothing():
    L = 30
    pairs = scored_pairs(np.random.default_rng(0).random((L, L)), np.ones((L, L)), separation=1)
    assert precision_interval(pairs, 5) == (1.0, 1.0)
    none = scored_pairs(np.ones((4, 4)), np.ones((4, 4)), separation=6)
    assert np.isnan(precision_interval(none, 4)).all()
    assert np.isnan(precision_interval(pairs, 0)).all()


def test_what_lacks_counts_as_misses_in_every_draw():
    L = 8
    pairs = scored_pairs(np.random.default_rng(0).random((L, L)), np.ones((L, L)), separation=7)
    assert len(pairs.hits) == 1
    _, high = precision_interval(pairs, L, unit="pairs")
    assert high <= 5 / L  # one pair, drawn at most a few times


def test_the_mean_of_many_has_the_normal_interval():
    values = np.random.default_rng(0).normal(3, 2, size=400)
    low, high = mean_interval(values, draws=4000)
    half = 1.96 * values.std() / np.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)
    assert mean_interval(np.append(values, np.nan), draws=50) == mean_interval(values, draws=50)


def test_one_value_has_no_interval_and_equal_ones_no_width():
    assert np.isnan(mean_interval(np.array([0.5, np.nan]))).all()
    assert mean_interval(np.full(5, 0.25)) == (0.25, 0.25)


def test_spearman_is_the_correlation_of_ranks():
    random = np.random.default_rng(2)
    x, y = random.permutation(30), random.permutation(30)
    assert spearman(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)
    assert spearman(x, np.exp(x / 10)) == pytest.approx(1)
    assert spearman(x, -(x**3)) == pytest.approx(-1)
    assert np.isnan(spearman([1, 2], [1, 2]))
    assert np.isnan(spearman([1, 2, 3], [1, 1, 1]))
    assert spearman([1, 2, 3, np.nan], [1, 2, 3, 0]) == pytest.approx(1)


def test_spearmans_interval():
    random = np.random.default_rng(3)
    x = random.normal(size=60)
    y = x + random.normal(size=60)
    low, high = spearman_interval(x, y, draws=300)
    assert -1 < low < spearman(x, y) < high < 1
    assert spearman_interval(x, x, draws=50) == pytest.approx((1, 1))
    assert np.isnan(spearman_interval(x[:2], x[:2])).all()


def test_points_of_a_protein_are_drawn_together():
    random = np.random.default_rng(4)
    x, y = random.normal(size=12), random.normal(size=12)
    once = spearman_interval(x, y, draws=200, seed=1)
    # Each point six times over: alone it looks like much evidence, by protein it is none more.
    owners = np.repeat(np.arange(12), 6)
    grouped = spearman_interval(np.repeat(x, 6), np.repeat(y, 6), owners, draws=200, seed=1)
    assert grouped == pytest.approx(once, abs=1e-12)
    alone = spearman_interval(np.repeat(x, 6), np.repeat(y, 6), draws=200, seed=1)
    assert alone[1] - alone[0] < grouped[1] - grouped[0]


def test_percentiles_leave_nan_out():
    assert percentiles(np.append(np.arange(101.0), np.nan), 0.9) == pytest.approx((5, 95))
    assert np.isnan(percentiles(np.array([np.nan]), 0.9)).all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"unit": "atoms"}, "unit='atoms'"),
        ({"confidence": 1.0}, "confidence=1.0"),
        ({"draws": 0}, "draws=0"),
    ],
)
def test_options_of_an_interval_that_make_no_sense(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        precision_interval(scored(6), 3, **options)
