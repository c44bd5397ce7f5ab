"""Corrections of square maps, by hand and against linear algebra."""

from __future__ import annotations

import numpy as np

from catjac_widgets.block_math.maps import (
    average_product_corrected,
    over_diagonal,
    over_finite,
    without_singular,
    zero_diagonal,
)

BY_HAND = np.array([[5.0, 2, 1], [2, 7, 3], [1, 3, 9]])


def test_average_product_correction_by_hand() -> None:
    expected = np.array([[0, 0.75, 0], [0.75, 0, 4 / 3], [0, 4 / 3, 0]])
    found = zero_diagonal(average_product_corrected(zero_diagonal(BY_HAND)))
    np.testing.assert_allclose(found, expected, atol=1e-15)
    # Margins are gone, whatever the diagonal.
    np.testing.assert_allclose(average_product_corrected(BY_HAND).sum(axis=0), 0, atol=1e-14)


def test_a_map_that_sums_to_nothing_gives_zeros() -> None:
    assert (average_product_corrected(np.zeros((3, 3))) == 0).all()
    assert (average_product_corrected(np.array([[0.0, 1], [-1, 0]])) == 0).all()


def test_the_diagonal_goes_and_missing_values_stay() -> None:
    values = BY_HAND.copy()
    values[1] = np.nan
    found = zero_diagonal(values)
    assert found[0, 0] == found[2, 2] == 0
    assert np.isnan(found[1]).all()
    assert values[0, 0] == 5


def test_without_components_the_rank_falls() -> None:
    values = np.random.default_rng(1).normal(size=(6, 6))
    found = without_singular(values, 2)
    sizes = np.linalg.svd(values, compute_uv=False)
    np.testing.assert_allclose(np.linalg.svd(found, compute_uv=False)[:4], sizes[2:], rtol=1e-10)


def test_over_the_diagonal():
    C = np.array([[4.0, 6.0], [2.0, 9.0]])
    np.testing.assert_array_equal(over_diagonal(C), [[1, 1], [1 / 3, 1]])
    assert not over_diagonal(np.zeros((3, 3))).any()


def test_residues_without_values_stay_out():
    C = np.ones((4, 4))
    C[1], C[:, 1] = np.nan, np.nan
    found = over_finite(C, lambda inner: inner * inner.sum())
    assert np.isnan(found[1]).all()
    assert (found[np.ix_([0, 2, 3], [0, 2, 3])] == 9).all()
