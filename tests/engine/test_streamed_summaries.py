"""What is stored beside a completed Jacobian equals the plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import letter_centred_norms, order_a

from catjac_widgets.block_math import pairs as block_pairs
from catjac_widgets.block_math.summaries import Accumulator
from catjac_widgets.engine.plans.jacobian import Plan
from catjac_widgets.engine.plans.making import make_plan
from catjac_widgets.language_models.base import EXACT, FLOAT64, Numerics
from catjac_widgets.proteins.alphabets import ESM_LETTERS


def a_plan(
    length: int, masked: np.ndarray | None = None, variant: str = "full", numerics: Numerics = EXACT
) -> Plan:
    return make_plan(
        "A" * length,
        model="stub",
        fingerprint="",
        letters=ESM_LETTERS,
        mask=masked,
        variant=variant,
        numerics=numerics,
    )


def gather(plan: Plan, jacobian: np.ndarray, order: np.ndarray) -> dict[str, np.ndarray]:
    accumulator = Accumulator(plan.row_shape, plan.mask.array, plan.dtype)
    for index in order:
        accumulator.add(int(index), jacobian[index])
    made = [step for step in accumulator.finish(lambda index: jacobian[index]) if step is not None]
    assert len(made) == 1
    return made[0]


def check(plan: Plan, jacobian: np.ndarray, made: dict[str, np.ndarray]) -> None:
    visible = np.flatnonzero(~plan.mask.array)
    part = jacobian[visible][:, :, visible].astype(np.float64)

    def close(found: np.ndarray, expected: np.ndarray) -> None:
        largest = np.abs(expected).max() if expected.size else 0.0
        np.testing.assert_allclose(found, expected, atol=max(1e-5 * largest, 1e-12), rtol=0)

    square = np.ix_(visible, visible)
    close(made["contacts"][square], order_a(part))
    outside = np.ones((plan.length, plan.length), dtype=bool)
    outside[square] = False
    assert np.isnan(made["contacts"][outside]).all()
    close(made["block_norms"][square], letter_centred_norms(part))
    close(made["mean_over_pos_in"][:, visible], part.mean(axis=0))
    close(made["mean_over_pos_out"][visible], part.mean(axis=2))


@settings(deadline=None, max_examples=25)
@given(
    length=st.integers(2, 9),
    variant=st.sampled_from(["full", "fast"]),
    numerics=st.sampled_from([EXACT, FLOAT64]),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_streamed_summaries_equal_the_plain_formulas(
    length: int, variant: str, numerics: Numerics, seed: int, data: st.DataObject
) -> None:
    masked = np.array(data.draw(st.lists(st.booleans(), min_size=length, max_size=length)))
    masked[data.draw(st.integers(0, length - 1))] = False
    plan = a_plan(length, masked, variant, numerics)
    random = np.random.default_rng(seed)
    shape = (length, *plan.row_shape)
    # A large common part, as the self-response of real models is, puts the cancellation to the test.
    jacobian = (random.normal(size=shape) + 30 * random.normal(size=(1, *shape[1:]))).astype(plan.dtype)
    jacobian[masked] = np.nan
    order = random.permutation(np.flatnonzero(~masked))
    # Rows that were there before do not pass by and are read at the end.
    passing = order[: data.draw(st.integers(0, len(order)))]
    check(plan, jacobian, gather(plan, jacobian, passing))


@pytest.mark.parametrize("tile_rows", [1, 2, 3, 7, 64])
def test_the_size_of_a_tile_changes_nothing(tile_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = a_plan(10)
    monkeypatch.setattr(block_pairs, "HELD_BYTES", plan.row_bytes * tile_rows)
    jacobian = np.random.default_rng(0).normal(size=(10, *plan.row_shape)).astype(np.float32)
    check(plan, jacobian, gather(plan, jacobian, np.arange(10)))


def test_nothing_gives_zeros() -> None:
    plan = a_plan(4)
    made = gather(plan, np.zeros((4, *plan.row_shape), dtype=np.float32), np.arange(4))
    assert (made["contacts"] == 0).all()


def test_a_row_that_comes_twice_counts_once() -> None:
    plan = a_plan(5)
    jacobian = np.random.default_rng(1).normal(size=(5, *plan.row_shape)).astype(np.float32)
    check(plan, jacobian, gather(plan, jacobian, np.array([0, 1, 1, 2, 3, 4, 4, 0])))
