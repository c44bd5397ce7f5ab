from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_arrays import random_jacobian

from catjac_widgets.analysis.benchmark.precision import RANGES, auc, precision_at_l, precision_by_range
from catjac_widgets.analysis.benchmark.top_contacts import top_contacts
from catjac_widgets.analysis.contacts.maps import contacts
from catjac_widgets.errors import JacobianError, StructureError, UsageError
from catjac_widgets.proteins.coordinates import residue_coordinates
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Chain, Sequence

seeds = st.integers(0, 2**32 - 1)


def symmetric(L, seed=0):
    C = np.random.default_rng(seed).normal(size=(L, L))
    return C + C.T


def random_truth(L, seed=0, density=0.2):
    truth = np.triu(np.random.default_rng(seed).random((L, L)) < density, 1)
    return (truth | truth.T).astype(float)


def counted(C, truth, first, last, k):
    """Precision by going through all pairs."""
    pairs = []
    for i in range(len(C)):
        for j in range(i + 1, len(C)):
            far_enough = j - i >= first and (last is None or j - i < last)
            if far_enough and not np.isnan(truth[i, j]) and not np.isnan(C[i, j]):
                pairs.append((C[i, j], truth[i, j]))
    pairs.sort(reverse=True)
    return sum(hit for _, hit in pairs[:k]) / k


@given(seeds, st.integers(8, 40), st.sampled_from([*RANGES.values(), (6, None), (1, None)]))
@settings(max_examples=40, deadline=None)
def test_precision_equals_counting(seed, L, span):
    C, truth = symmetric(L, seed), random_truth(L, seed + 1)
    hidden = np.random.default_rng(seed).random(L) < 0.2
    truth[hidden], truth[:, hidden] = np.nan, np.nan
    resolved = L - hidden.sum()
    first, last = span
    for fraction in (1.0, 0.5, 0.2):
        k = int(resolved * fraction)
        found = precision_at_l(C, truth, separation=first, max_separation=last, fraction=fraction)
        if k == 0:
            assert np.isnan(found)
        else:
            assert found == pytest.approx(counted(C, truth, first, last, k), abs=1e-12)


def test_scores_equal_to_the_truth():
    L = 30
    many = random_truth(L, density=0.3)
    assert np.triu(many, 6).sum() >= L
    assert precision_at_l(many, many) == 1.0
    few = np.zeros((L, L))
    few[0, 10] = few[10, 0] = few[3, 20] = few[20, 3] = 1
    assert precision_at_l(few, few) == 2 / L


@given(seeds, st.integers(10, 30))
@settings(deadline=None)
def test_constant_scores_give_the_share_of_contacts(seed, L):
    truth = random_truth(L, seed)
    i, j = np.triu_indices(L, 6)
    if len(i) >= L:
        assert precision_at_l(np.ones((L, L)), truth) == pytest.approx(truth[i, j].mean(), abs=1e-12)


def test_ties_across_the_limit_enter_with_their_mean():
    C, truth = np.zeros((4, 4)), np.zeros((4, 4))
    C[0, 1] = C[1, 0] = 2
    C[0, 2] = C[2, 0] = C[0, 3] = C[3, 0] = 1
    truth[0, 1] = truth[1, 0] = truth[0, 3] = truth[3, 0] = 1
    assert precision_at_l(C, truth, separation=1, fraction=0.5) == (1 + 0.5) / 2


@given(seeds, st.integers(4, 20))
@settings(deadline=None)
def test_ordered_pairs_of_a_symmetric_map_are_precision_at_half_l(seed, half):
    L = 2 * half
    C, truth = symmetric(L, seed), random_truth(L, seed)
    ordered = precision_at_l(C, truth, separation=2, pairs="ordered")
    assert ordered == pytest.approx(precision_at_l(C, truth, separation=2, fraction=0.5), abs=1e-12)


def test_missing_pairs_count_as_misses_and_are_reported():
    L = 10
    truth = np.ones((L, L))
    assert precision_at_l(symmetric(L), truth, separation=8) == 3 / 10
    table = precision_by_range(symmetric(L), truth)
    assert table.loc["short", "pairs"] == 10
    assert table.loc["medium", "pairs"] == 0
    assert table.loc["medium", "precision_at_l"] == 0
    assert np.isnan(table.loc["medium", "random"])


def test_unknown_pairs_are_left_out_and_l_is_the_resolved_residues():
    L = 20
    C, truth = symmetric(L), random_truth(L)
    unresolved = truth.copy()
    unresolved[5:10], unresolved[:, 5:10] = -1, -1
    as_nan = np.where(unresolved < 0, np.nan, unresolved)
    assert precision_at_l(C, unresolved) == precision_at_l(C, as_nan)
    assert precision_at_l(C, as_nan) == pytest.approx(counted(C, as_nan, 6, None, 15), abs=1e-12)
    assert precision_at_l(C, as_nan, length=20) == pytest.approx(counted(C, as_nan, 6, None, 20), abs=1e-12)


def test_masked_scores_are_left_out():
    C, truth = symmetric(20), random_truth(20)
    C[3], C[:, 3] = np.nan, np.nan
    assert precision_at_l(C, truth) == pytest.approx(counted(C, truth, 6, None, 20), abs=1e-12)


def test_labels_decide_which_residue_is_which():
    sequence = as_sequence("ACDEFGHIKLMNPQRSTVWY")
    coords = residue_coordinates(sequence)
    C = xr.DataArray(symmetric(20), dims=("pos_i", "pos_j"), coords=coords)
    truth = xr.DataArray(random_truth(20), dims=("pos_i", "pos_j"), coords=coords)
    expected = precision_at_l(C, truth)
    assert precision_at_l(C, truth.isel(pos_i=slice(None, None, -1))) == expected
    assert precision_at_l(C, truth.astype(bool)) == expected
    part = C.sel(pos_i=slice(3, 18), pos_j=slice(3, 18))
    assert precision_at_l(part, truth) == pytest.approx(
        counted(C.values[2:18, 2:18], truth.values[2:18, 2:18], 6, None, 16), abs=1e-12
    )
    # Positions that the truth does not cover are unresolved.
    known = truth.sel(pos_i=slice(1, 12), pos_j=slice(1, 12))
    assert precision_at_l(C, known) == pytest.approx(
        counted(C.values[:12, :12], truth.values[:12, :12], 6, None, 12), abs=1e-12
    )


def test_chains_are_infinitely_far_apart():
    sequence = Sequence((Chain("A", "ACDEF"), Chain("B", "GHIKL")))
    C = xr.DataArray(symmetric(10), dims=("pos_i", "pos_j"), coords=residue_coordinates(sequence))
    between = np.zeros((10, 10))
    between[:5, 5:] = between[5:, :5] = 1
    # No pair within a chain of five is six apart, so only the 25 pairs between the chains are left.
    assert precision_by_range(C, between).loc["all", "pairs"] == 25
    assert precision_at_l(C, between) == 1.0
    assert precision_at_l(C, between, separation=1, max_separation=12) == 0.0


def test_auc_is_the_mean_over_tenths():
    C, truth = symmetric(40, 3), random_truth(40, 4)
    expected = np.mean([counted(C, truth, 6, None, 4 * tenth) for tenth in range(1, 11)])
    assert auc(C, truth) == pytest.approx(expected, abs=1e-12)
    assert precision_by_range(C, truth).loc["all", "auc"] == pytest.approx(expected, abs=1e-12)


def test_the_table_of_ranges():
    C, truth = symmetric(50, 5), random_truth(50, 6)
    table = precision_by_range(C, truth)
    assert list(table.index) == ["all", "local", "short", "medium", "long"]
    for name, (first, last) in {"all": (6, None), **RANGES}.items():
        for column, k in (("precision_at_l", 50), ("precision_at_l_half", 25), ("precision_at_l_fifth", 10)):
            assert table.loc[name, column] == pytest.approx(counted(C, truth, first, last, k), abs=1e-12)


def test_top_contacts_name_residues():
    C = contacts(random_jacobian(sequence="ACDEFGHIKL:MNPQ"))
    table = top_contacts(C, 10, separation=3)
    assert list(table.index) == list(range(1, 11))
    assert (np.diff(table["score"]) <= 0).all()
    for row in table.itertuples():
        assert row.score == pytest.approx(float(C.sel(pos_i=row.pos_i, pos_j=row.pos_j)), abs=1e-12)
        assert row.residue_i == str(C["residue_i"].sel(pos_i=row.pos_i).item())
        same = row.residue_i[0] == row.residue_j[0]
        assert row.separation == (row.pos_j - row.pos_i if same else np.inf)
        assert row.separation >= 3
    i, j = np.triu_indices(14, 1)
    allowed = [C.values[a, b] for a, b in zip(i, j, strict=True) if (a < 10 <= b) or b - a >= 3]
    np.testing.assert_allclose(table["score"], sorted(allowed, reverse=True)[:10], atol=1e-12)


def test_top_contacts_with_a_verdict():
    C = contacts(random_jacobian(14))
    truth = random_truth(14)
    truth[0], truth[:, 0] = np.nan, np.nan
    table = top_contacts(C, separation=6, truth=truth)
    assert len(table) == 14
    for row in table.itertuples():
        known = truth[row.pos_i - 1, row.pos_j - 1]
        assert str(row.contact) == ("<NA>" if np.isnan(known) else str(known == 1))
    assert table["separation"].dtype.kind == "i"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"pairs": "both"}, "pairs='both'"),
        ({"separation": 0}, "holds no pair"),
        ({"separation": 6, "max_separation": 6}, "holds no pair"),
        ({"fraction": 0}, "fraction=0"),
    ],
)
def test_options_that_make_no_sense(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        precision_at_l(symmetric(10), random_truth(10), **options)


def test_maps_that_do_not_fit():
    with pytest.raises(StructureError, match=r"shape \(8, 8\)"):
        precision_at_l(symmetric(10), random_truth(8))
    with pytest.raises(JacobianError, match="is square"):
        precision_at_l(np.zeros((3, 4)), np.zeros((3, 4)))
    with pytest.raises(JacobianError, match="axes pos_i and pos_j"):
        precision_at_l(random_jacobian(3), np.zeros((3, 3)))
    C = contacts(random_jacobian(5))
    with pytest.raises(JacobianError, match="differ"):
        precision_at_l(C.isel(pos_i=[1, 0, 2, 3, 4]), np.zeros((5, 5)))
    with pytest.raises(StructureError, match="no position in common"):
        precision_at_l(C, C.assign_coords(pos_i=C["pos_i"] + 100, pos_j=C["pos_j"] + 100))
