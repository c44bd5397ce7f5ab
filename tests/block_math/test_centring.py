"""Means over letters and positions, and norms of blocks, against the plain formulas."""

from __future__ import annotations

import numpy as np
import pytest

from catjac_widgets.block_math.centring import (
    LETTERS_OF_ROW,
    BlockCentring,
    PositionMeans,
    block_norms,
    centre_in_place,
    centred,
    letter_centred_norms,
)


def rows_of(count: int, *shape: int, dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, *shape)).astype(dtype)


@pytest.mark.parametrize("axes", [(0,), (2, 0), (0, 2), (2, 0, 1)])
def test_means_over_the_axes_vanish_and_the_input_stays(axes: tuple[int, ...]) -> None:
    row = rows_of(1, 4, 5, 3, dtype=np.float64)[0]
    before = row.copy()
    found = centred(row, axes)
    for axis in axes:
        np.testing.assert_allclose(found.mean(axis=axis), 0, atol=1e-15)
    # What is subtracted varies along no axis that was not centred: a second time changes nothing.
    np.testing.assert_allclose(centred(found, axes), found, atol=1e-15)
    np.testing.assert_array_equal(row, before)
    assert found.dtype == row.dtype


def test_axes_of_length_one_are_left_alone() -> None:
    """As the fast variant needs it: its rows have one input letter."""
    row = rows_of(2, 1, 5, 3)[0]
    found = centred(row, (0,))
    np.testing.assert_array_equal(found, row)
    assert not np.shares_memory(found, row)
    assert np.abs(centred(row, LETTERS_OF_ROW)).max() > 0


@pytest.mark.parametrize("letters", [1, 4])
def test_norms_are_frobenius_norms_of_blocks(letters: int) -> None:
    row = rows_of(3, letters, 6, 5)[0]
    for j in range(6):
        block = row[:, j].astype(np.float64)
        assert block_norms(row)[j] == pytest.approx(np.linalg.norm(block), rel=1e-6)
        block = block - block.mean(axis=1, keepdims=True)
        if letters > 1:
            block = block - block.mean(axis=0, keepdims=True)
        assert letter_centred_norms(row)[j] == pytest.approx(np.linalg.norm(block), rel=1e-5)
    assert block_norms(row).dtype == np.float64


def test_position_means_of_rows_in_any_order() -> None:
    rows, columns = rows_of(6, 3, 8, 4), np.array([0, 2, 3, 7])
    means = PositionMeans(6, (3, 8, 4), columns)
    for k in (4, 0, 5, 2):
        means.add(k, rows[k])
    came = rows[[0, 2, 4, 5]].astype(np.float64)
    np.testing.assert_allclose(means.over_inputs(), came.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(means.over_outputs[[0, 2, 4, 5]], came[:, :, columns].mean(axis=2), rtol=1e-12)
    assert np.isnan(means.over_outputs[[1, 3]]).all()


@pytest.mark.parametrize("axes", [(), (1, 3), (0, 2), (0, 1, 2, 3), (0,), (2, 3)])
@pytest.mark.parametrize("letters_in", [1, 4])
def test_blocks_are_centred_a_row_at_a_time(axes, letters_in):
    J = np.random.default_rng(0).normal(size=(5, letters_in, 6, 4))
    means = BlockCentring(J.shape, axes, lambda: enumerate(J))
    found = np.stack([means.centre(row.transpose(1, 0, 2), k) for k, row in enumerate(J)]).transpose(
        0, 2, 1, 3
    )
    np.testing.assert_allclose(found, centred(J, axes), atol=1e-14)


@pytest.mark.parametrize("axes", [(1, 3), (0, 2), (0, 1, 2, 3)])
def test_centring_in_place(axes):
    J = np.random.default_rng(0).normal(size=(5, 4, 6, 4))
    expected = centred(J, axes)
    centre_in_place(J, axes)
    np.testing.assert_allclose(J, expected, atol=1e-14)
