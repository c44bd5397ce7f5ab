from __future__ import annotations

import tracemalloc

import numpy as np
import plain_pipelines as plain
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from labelled_arrays import labelled, potts_couplings, potts_jacobian, random_jacobian, random_sequence

from catjac_widgets.analysis.contacts.norms import block_norms
from catjac_widgets.analysis.contacts.operations import (
    apc,
    centre,
    remove_components,
    symmetrise,
    zero_diagonal,
)
from catjac_widgets.block_math import pairs as block_pairs
from catjac_widgets.errors import JacobianError, UsageError
from catjac_widgets.proteins.masks import Mask

sizes = st.integers(2, 7)
seeds = st.integers(0, 2**32 - 1)
maps = sizes.flatmap(
    lambda n: hnp.arrays(np.float64, (n, n), elements=st.floats(0, 100, allow_subnormal=False))
)


def wide(J):
    """The same numbers in double precision, so that comparisons can be tight."""
    return J.astype(np.float64)


def test_centre_subtracts_the_mean_of_each_axis_in_turn():
    J = wide(random_jacobian(6))
    np.testing.assert_allclose(centre(J).values, plain.centred(J.values), atol=1e-12)


@pytest.mark.parametrize("axes", [("aa_in",), ("aa_in", "aa_out"), ("pos_in", "pos_out"), ("pos_out",)])
def test_centre_over_some_axes_leaves_no_mean_there(axes):
    centred = centre(wide(random_jacobian(5)), axes)
    for axis in axes:
        assert np.abs(centred.mean(axis)).max() < 1e-13
    assert centred.attrs["kind"] == "centred"
    assert centred.attrs["centred_over"] == " ".join(axis for axis in J_AXES if axis in axes)


J_AXES = ("pos_in", "aa_in", "pos_out", "aa_out")


def test_centre_remembers_what_was_centred_before_and_keeps_labels():
    J = random_jacobian(4)
    twice = centre(centre(J, ["aa_out"]), ["aa_in"])
    assert twice.attrs["centred_over"] == "aa_in aa_out"
    assert set(twice.coords) == set(J.coords)


def test_centre_leaves_axes_of_length_one_alone():
    J = wide(random_jacobian(5, fast=True))
    assert np.abs(centre(J, ["aa_in"]).values - J.values).max() == 0
    np.testing.assert_allclose(centre(J).values, plain.centred(J.values), atol=1e-12)


def test_masked_rows_stay_nan_and_do_not_enter_the_means():
    sequence = random_sequence(6)
    mask = Mask.hiding(sequence, [(2, 3)])
    J = wide(random_jacobian(sequence=sequence, mask=mask))
    centred = centre(J, ["pos_in"])
    assert np.isnan(centred.values[1:3]).all()
    shown = np.array([0, 3, 4, 5])
    np.testing.assert_allclose(centred.values[shown], J.values[shown] - J.values[shown].mean(0), atol=1e-12)


def test_letter_centring_turns_a_potts_jacobian_into_zero_sum_couplings_whatever_the_wild_type():
    W = potts_couplings(5)
    zero_sum = W - W.mean(1, keepdims=True)
    zero_sum = zero_sum - zero_sum.mean(3, keepdims=True)
    for seed in range(3):
        J = potts_jacobian(W, random_sequence(5, seed))
        np.testing.assert_allclose(centre(J, ["aa_in", "aa_out"]).values, zero_sum, atol=1e-13)


def test_logits_or_log_probabilities_make_no_difference_after_centring_over_output_letters():
    J = wide(random_jacobian(4))
    shifted = J + np.random.default_rng(1).normal(size=(4, 20, 4, 1))
    assert np.abs(J - shifted).max() > 1
    np.testing.assert_allclose(centre(J, ["aa_out"]).values, centre(shifted, ["aa_out"]).values, atol=1e-13)


def test_symmetrise_is_the_average_with_the_transpose():
    J = wide(random_jacobian(5))
    S = symmetrise(J)
    np.testing.assert_array_equal(S.values, plain.symmetric(J.values))
    np.testing.assert_array_equal(S.values, S.values.transpose(2, 3, 0, 1))


def test_symmetrise_goes_by_letters_not_by_place():
    J = wide(random_jacobian(4))
    shuffled = J.isel(aa_in=np.random.default_rng(0).permutation(20), pos_in=[2, 0, 3, 1])
    np.testing.assert_array_equal(symmetrise(shuffled).values, symmetrise(J).values)


def test_symmetrise_refuses_what_has_no_counterpart():
    with pytest.raises(JacobianError, match="different letters"):
        symmetrise(random_jacobian(4, fast=True))
    with pytest.raises(JacobianError, match="pos_in and pos_out differ"):
        symmetrise(random_jacobian(4).isel(pos_in=slice(0, 2)))


@given(seeds, sizes)
@settings(max_examples=15, deadline=None)
def test_centring_commutes_with_symmetrising(seed, size):
    J = wide(random_jacobian(size, seed))
    np.testing.assert_allclose(centre(symmetrise(J)).values, symmetrise(centre(J)).values, atol=1e-12)


@pytest.mark.parametrize("axes", [(), ("aa_in", "aa_out"), J_AXES, ("pos_in",), ("pos_out", "aa_in")])
@pytest.mark.parametrize("symmetrised", [False, True])
def test_block_norms_equal_the_norms_of_the_whole_array(axes, symmetrised):
    J = wide(random_jacobian(6))
    expected = centre(J, axes)
    expected = symmetrise(expected) if symmetrised else expected
    found = block_norms(J, centred_over=axes, symmetrised=symmetrised)
    np.testing.assert_allclose(found.values, plain.norms(expected.values), atol=1e-12)


@pytest.mark.parametrize("rows_held", [1, 2, 3, 100])
def test_block_norms_do_not_depend_on_how_many_rows_are_held(rows_held, monkeypatch):
    J = wide(random_jacobian(7))
    whole = block_norms(J, centred_over=J_AXES, symmetrised=True)
    monkeypatch.setattr(block_pairs, "HELD_BYTES", rows_held * J[0].nbytes)
    tiled = block_norms(J.chunk({"pos_in": 1}), centred_over=J_AXES, symmetrised=True)
    np.testing.assert_allclose(tiled.values, whole.values, atol=1e-13)


def test_block_norms_of_a_partial_jacobian_are_nan_where_rows_are():
    J = wide(random_jacobian(5))
    J[2] = np.nan
    found = block_norms(J)
    assert np.isnan(found.values[2]).all()
    np.testing.assert_allclose(found.values[[0, 1, 3, 4]], block_norms(J[[0, 1, 3, 4]]).values, atol=0)


def test_a_row_with_a_hole_is_called_damaged():
    J = random_jacobian(5)
    J[3, 4, 2, 1] = np.nan
    for symmetrised in (False, True):
        with pytest.raises(JacobianError, match=r"damaged"):
            block_norms(J, symmetrised=symmetrised)
    with pytest.raises(JacobianError, match=r"Row 4 .*damaged"):
        block_norms(J, centred_over=J_AXES)


def test_apc_leaves_row_and_column_sums_of_zero():
    corrected = apc(np.random.default_rng(0).random((6, 6)))
    assert np.abs(corrected.sum(0)).max() < 1e-14
    assert np.abs(corrected.sum(1)).max() < 1e-14


@given(maps)
@settings(deadline=None)
def test_apc_sums_vanish_for_every_non_negative_map(C):
    corrected = apc(C)
    assert np.abs(corrected.sum(0)).max() <= 1e-9 * (1 + C.sum())
    np.testing.assert_allclose(corrected, plain.apc(C), atol=1e-9 * (1 + C.max()))


@given(sizes, seeds)
@settings(deadline=None)
def test_apc_of_a_rank_one_map_is_zero_if_its_diagonal_is_kept(size, seed):
    profile = np.random.default_rng(seed).random(size) + 0.1
    C = np.outer(profile, profile)
    assert np.abs(apc(C)).max() < 1e-14
    # Zeroing the diagonal first breaks the identity (L = 2 is the exception's exception: no profile is left
    # over).
    if size > 2:
        assert np.abs(apc(zero_diagonal(C))).max() > 1e-4


def test_apc_of_a_constant_map_without_diagonal():
    C = 3.0 * (1 - np.eye(5))
    corrected = apc(C)
    np.testing.assert_allclose(corrected[~np.eye(5, dtype=bool)], 3.0 / 5, atol=1e-14)


def test_apc_worked_example():
    corrected = apc(np.array([[0.0, 2, 1], [2, 0, 3], [1, 3, 0]]))
    np.testing.assert_allclose(corrected[np.triu_indices(3, 1)], [0.75, 0, 4 / 3], atol=1e-14)
    np.testing.assert_allclose(np.diag(corrected), [-0.75, -25 / 12, -4 / 3], atol=1e-14)


def test_apc_of_zeros_is_zeros_and_nan_residues_stay_out():
    assert not apc(np.zeros((4, 4))).any()
    C = np.random.default_rng(0).random((5, 5))
    C[2], C[:, 2] = np.nan, np.nan
    kept = [0, 1, 3, 4]
    np.testing.assert_allclose(apc(C)[np.ix_(kept, kept)], plain.apc(C[np.ix_(kept, kept)]), atol=1e-15)
    assert np.isnan(apc(C)[2]).all()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 6])
def test_removed_components(count):
    C = np.random.default_rng(3).random((6, 6))
    np.testing.assert_allclose(remove_components(C, count), plain.removed(C, count), atol=1e-13)


def test_removing_all_but_a_few_components_lowers_the_rank():
    C = np.random.default_rng(3).random((6, 6))
    assert np.linalg.matrix_rank(remove_components(C, 4), tol=1e-10) == 2
    assert np.abs(remove_components(C, 6)).max() < 1e-12


@pytest.mark.parametrize("count", [-1, 7, 1.0, True])
def test_a_count_that_cannot_be_removed(count):
    with pytest.raises(UsageError, match="removed="):
        remove_components(np.ones((6, 6)), count)


def test_operations_keep_labels():
    C = block_norms(random_jacobian(5))
    for made in (apc(C), zero_diagonal(C), remove_components(C, 2)):
        assert set(made.coords) == set(C.coords)
    assert C["residue_i"].dims == ("pos_i",)


def test_unknown_axis():
    for function in (
        lambda: centre(random_jacobian(3), ["position"]),
        lambda: block_norms(random_jacobian(3), centred_over="aa"),
    ):
        with pytest.raises(UsageError, match="is no axis of J"):
            function()


def test_diagonal_blocks_of_a_potts_jacobian_are_zero_until_positions_are_centred():
    J = potts_jacobian(potts_couplings(5), random_sequence(5))
    assert not np.diagonal(block_norms(J, centred_over=()).values).any()
    assert (np.diagonal(block_norms(J, centred_over=J_AXES).values) > 0.1).all()


def test_a_plain_array_is_refused_by_name():
    with pytest.raises(JacobianError, match="not ndarray"):
        centre(np.zeros((2, 20, 2, 20)))
    bare = labelled(np.zeros((2, 20, 2, 20)), "AC").drop_vars("aa_in")
    with pytest.raises(JacobianError, match="aa_in bears no labels"):
        centre(bare)


def test_centring_and_symmetrising_hold_one_array_beside_the_jacobian():
    J = random_jacobian(100).astype(np.float32)
    for make in (centre, symmetrise):
        tracemalloc.start()
        make(J)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1.2 * J.nbytes


@pytest.mark.parametrize("length", [5, 16, 33])
def test_tiles_cover_the_whole_jacobian(length):
    J = wide(random_jacobian(length))
    np.testing.assert_array_equal(symmetrise(J).values, (J.values + J.values.transpose(2, 3, 0, 1)) / 2)


def test_the_jacobian_given_is_left_alone():
    J = random_jacobian(6)
    before = J.values.copy()
    centre(J)
    symmetrise(J)
    np.testing.assert_array_equal(J.values, before)
