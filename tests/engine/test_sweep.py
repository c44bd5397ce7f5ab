"""The sweep: batches, memory that runs out, and logits that are no numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stubs import BatchDependentModel, FailingModel, HungryModel, PottsModel

from catjac_widgets.engine.compute.sweep import batches, sweep, wild_type_logits
from catjac_widgets.engine.plans.jacobian import Plan
from catjac_widgets.engine.plans.making import make_plan
from catjac_widgets.errors import DeviceError, ModelError

RESIDUES = "MKTAYIAKQRQISF"


def plan_for(model: PottsModel, sequence: str = RESIDUES, **options: Any) -> Plan:
    return make_plan(
        sequence, model=model.name, fingerprint=model.fingerprint, letters=model.letters, **options
    )


def run(model: PottsModel, plan: Plan, *args: Any, **options: Any) -> dict[int, np.ndarray]:
    runner = model.prepare(plan.model_residues, plan.model_mask, plan.numerics.name)
    return dict(sweep(runner, plan, *args, **options))


@settings(deadline=None, max_examples=40)
@given(
    batch_size=st.integers(1, 120),
    done=st.sets(st.integers(0, len(RESIDUES) - 1)),
    variant=st.sampled_from(["full", "fast"]),
)
def test_a_resumed_sweep_gives_the_same_bits(batch_size: int, done: set[int], variant: str) -> None:
    model = BatchDependentModel()
    plan = plan_for(model, variant=variant)
    whole = run(model, plan, None, batch_size)
    assert sorted(whole) == list(range(len(RESIDUES)))
    missing = [index for index in plan.wanted if index not in done]
    rest = run(model, plan, missing, batch_size)
    assert sorted(rest) == missing
    for index, row in rest.items():
        np.testing.assert_array_equal(row, whole[index])


def test_the_wild_type_is_not_run() -> None:
    model = PottsModel()
    run(model, plan_for(model), None, 95)
    assert model.sequences_run == 19 * len(RESIDUES)
    assert max(model.batches) <= 95


def test_a_small_batch_splits_a_row_and_says_so_in_between() -> None:
    model = PottsModel()
    plan = plan_for(model, positions=[2])
    runner = model.prepare(plan.model_residues)
    made = list(batches(runner, plan, None, 8))
    assert [len(rows) for rows in made] == [0, 0, 1]
    assert model.batches == [8, 8, 3]
    np.testing.assert_array_equal(made[-1][0][1], run(model, plan, None, 95)[1])


@pytest.mark.parametrize(
    "error",
    [
        lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        lambda: RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: not enough memory: you tried"
        ),
        lambda: RuntimeError("MPS backend out of memory"),
        MemoryError,
    ],
)
def test_running_out_of_memory_halves_the_batch_and_goes_on(error: Any) -> None:
    model = HungryModel(30, error)
    plan = plan_for(model)
    sizes: list[int] = []
    runner = model.prepare(plan.model_residues)
    rows = dict(
        row for batch in batches(runner, plan, None, 114, on_smaller_batch=sizes.append) for row in batch
    )
    assert model.refused == [114, 57 // 19 * 19]
    assert sizes == [57, 28]
    assert max(model.batches) <= 30
    expected = run(PottsModel(), plan, None, 28)
    assert sorted(rows) == sorted(expected)
    for index in rows:
        np.testing.assert_array_equal(rows[index], expected[index])


def test_memory_that_runs_out_later_keeps_what_was_made() -> None:
    model = HungryModel(1000)
    plan = plan_for(model)
    runner = model.prepare(plan.model_residues)
    rows = []
    for batch in batches(runner, plan, None, 57):
        rows += batch
        model.most = 20
    assert [index for index, _ in rows] == list(range(len(RESIDUES)))
    assert model.batches == [57, *[19] * (len(RESIDUES) - 3)]


def test_no_memory_for_a_single_sequence_is_an_error_of_one_sentence() -> None:
    model = HungryModel(0)
    with pytest.raises(DeviceError, match="not enough memory for one sequence of 14 residues") as caught:
        run(model, plan_for(model))
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    assert model.refused[-1] == 1


def test_a_lost_device_is_told_apart() -> None:
    model = HungryModel(0, lambda: RuntimeError("CUDA error: device-side assert triggered\nmore lines"))
    with pytest.raises(DeviceError, match=r"lost \(CUDA error: device-side assert triggered\).*kept"):
        run(model, plan_for(model))


def test_other_failures_of_the_model_pass_through() -> None:
    model = HungryModel(0, lambda: RuntimeError("shape '[2, 3]' is invalid"))
    with pytest.raises(RuntimeError, match="invalid"):
        run(model, plan_for(model))


def test_logits_that_are_not_finite_name_residue_and_letter() -> None:
    model = FailingModel(7, "W")
    plan = plan_for(model)
    rows: list[int] = []
    with pytest.raises(ModelError, match="K8 → W"):
        rows.extend(index for index, _ in sweep(model.prepare(plan.model_residues), plan, None, 38))
    assert rows == [0, 1, 2, 3, 4, 5]


def test_a_wild_type_that_is_not_finite_is_named() -> None:
    model = PottsModel()
    plan = plan_for(model)
    runner = model.prepare(plan.model_residues)
    fields, _ = model.parameters_for(len(RESIDUES))
    fields[4, 2] = np.inf
    with pytest.raises(ModelError, match="Y5"):
        wild_type_logits(runner, plan)


def test_rows_made_by_somebody_else_meanwhile_are_not_run() -> None:
    model = PottsModel()
    plan = plan_for(model)
    taken = {6, 7, 8, 9}
    runner = model.prepare(plan.model_residues)
    made = list(batches(runner, plan, None, 38, still_missing=lambda index: index not in taken))
    assert [index for batch in made for index, _ in batch] == [0, 1, 2, 3, 4, 5, 10, 11, 12, 13]
    assert model.sequences_run == 19 * 10


def test_rows_are_put_where_they_belong() -> None:
    model = PottsModel()
    plan = plan_for(model)
    whole = np.full((len(RESIDUES), *plan.row_shape), np.nan, dtype=np.float32)
    runner = model.prepare(plan.model_residues)
    for batch in batches(runner, plan, None, 57, out=lambda index: whole[index]):
        for index, row in batch:
            assert np.shares_memory(row, whole[index])
    assert np.isfinite(whole).all()
