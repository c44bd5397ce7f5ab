from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from catjac_widgets.analysis.recovery.jumps import find_jump, minimum_segment
from catjac_widgets.analysis.recovery.measures import block_cosine, recovered_fraction
from catjac_widgets.errors import UsageError

BLOCKS = arrays(np.float64, (4, 3), elements=st.floats(0.01, 1))


@given(BLOCKS, BLOCKS, st.floats(0.1, 3))
def test_recovered_fraction_against_a_plain_loop(before, after, k):
    above = below = other = 0.0
    for i in range(4):
        for j in range(3):
            above += before[i, j] * after[i, j]
            below += before[i, j] ** 2
            other += after[i, j] ** 2
    assert recovered_fraction(before, after) == pytest.approx(above / below, rel=1e-12)
    assert block_cosine(before, after) == pytest.approx(above / math.sqrt(below * other), rel=1e-12)
    assert recovered_fraction(before, before) == pytest.approx(1, rel=1e-12)
    assert recovered_fraction(before, k * before) == pytest.approx(k, rel=1e-12)
    assert recovered_fraction(before, 0 * before) == 0


def test_recovered_fraction_is_not_symmetric_and_may_be_undefined():
    assert recovered_fraction([[1.0, 0.0]], [[2.0, 0.0]]) == 2
    assert recovered_fraction([[2.0, 0.0]], [[1.0, 0.0]]) == 0.5
    assert math.isnan(recovered_fraction(np.zeros((2, 2)), np.ones((2, 2))))
    assert math.isnan(block_cosine(np.ones((2, 2)), np.zeros((2, 2))))
    assert recovered_fraction([[1.0, np.nan]], [[0.25, 1.0]]) == 0.25
    with pytest.raises(UsageError, match="same residues"):
        recovered_fraction(np.ones((2, 2)), np.ones((2, 3)))


def test_jumps_of_known_curves():
    jump = find_jump([0.1] * 5 + [0.7] + [0.72] * 9)
    assert (jump.low, jump.started_high, jump.first, jump.stable) == (False, False, 5, 5)
    jump = find_jump([0.1] * 5 + [0.85] + [0.1] * 3 + [0.5] * 9)
    assert (jump.low, jump.started_high, jump.first, jump.stable) == (False, False, 5, None)
    assert find_jump([0.1, 0.5, 0.5]).low
    assert find_jump([0.6, 0.9]).started_high
    # A slow rise is no jump; two relapses are forgiven, a third is not.
    assert find_jump(np.linspace(0, 1, 20)).first is None
    assert find_jump([0.1] * 3 + [0.9] * 3 + [0.1] * 2 + [0.9] * 9).stable == 3
    assert find_jump([0.1] * 3 + [0.9] * 3 + [0.1] * 3 + [0.9] * 9).stable == 9
    # The curve ends at its first NaN, and a decimal rise of exactly 0.5 counts.
    assert find_jump([0.1, 0.6, np.nan, 0.1, 0.1, 0.1]).stable == 1
    assert find_jump([np.nan]) == find_jump([])


def published_jumps(y, jump=0.5, drop=0.2, window=10, tolerance=2):
    """The rule of the authors' notebook 14, in plain floats: indices of jumps, and of stable ones."""
    jumps, stable = [], []
    for i in range(1, len(y)):
        if y[i] >= y[i - 1] + jump:
            jumps.append(i)
            if sum(value < y[i] - drop for value in y[i : i + window]) <= tolerance:
                stable.append(i)
    return jumps, stable


@given(st.lists(st.integers(0, 12).map(lambda tenths: tenths / 10), min_size=1, max_size=30))
def test_jumps_are_the_published_ones_on_decimals_that_tie(curve):
    jumps, stable = published_jumps(curve)
    found = find_jump(curve)
    assert found.first == (jumps[0] if jumps else None)
    assert found.stable == (stable[0] if stable else None)


def test_no_tolerance_on_ties():
    # 0.7999999999999999 is one rounding below 0.3 + 0.5; 0.6 is one below 0.8 − 0.2.
    assert find_jump([0.3, 0.8]).first == 1
    assert find_jump([0.3, 0.7999999999999999]).first is None
    assert find_jump([0.1, 0.8, 0.6, 0.6, 0.6]).stable is None
    assert find_jump([0.1, 0.8, 0.61, 0.6, 0.6]).stable == 1


def jumping_at(t: int) -> list[float]:
    return [0.1] * t + [0.9] * 20


def test_minimum_segment():
    found = minimum_segment(jumping_at(12), jumping_at(9), jumping_at(15))
    assert (found.symmetric, found.asymmetric, found.side) == (22 + 24, 22 + 9 + 12, "first")
    assert (found.symmetric_as_published, found.asymmetric_as_published) == (2 * (12 + 1 + 11), 22 + 10 + 13)
    found = minimum_segment(jumping_at(12), [0.1] * 30, [0.1] * 30)
    assert (found.asymmetric, found.side) == (22 + 12 + 12, "")
    assert minimum_segment([0.1] * 30, jumping_at(3), jumping_at(4)).symmetric is None
