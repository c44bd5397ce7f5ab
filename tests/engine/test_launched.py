"""Batches under way while the host does something else: the same bits, whatever goes wrong meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import random_esm1b, random_esm2
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_streams import SlowStreams

import catjac
from catjac_widgets.engine.compute.sweep import batches, sweep, wild_type_logits
from catjac_widgets.engine.plans.jacobian import Plan
from catjac_widgets.engine.plans.making import make_plan
from catjac_widgets.errors import Cancelled, DeviceError, ModelError
from catjac_widgets.language_models.base import LaunchingRunner, Substitution, choose_numerics
from catjac_widgets.language_models.esm import launched as launched_passes
from catjac_widgets.language_models.esm.adapter import FairEsm
from catjac_widgets.language_models.esm.launched import LaunchedPasses
from catjac_widgets.language_models.esm.prepared import with_changes
from catjac_widgets.language_models.esm.runner import FairEsmRunner
from catjac_widgets.proteins.alphabets import ESM_LETTERS, MASK_LETTER

RESIDUES = "MKTAYIAKQRQISF"


class LaunchingModel(FairEsm):
    """A model whose runners launch, as they do on a GPU, with streams that answer late."""

    def __init__(self, model: Any = None, streams: SlowStreams | None = None) -> None:
        super().__init__(random_esm2() if model is None else model)
        self.streams = streams or SlowStreams()

    def prepare(self, *args: Any, **named: Any) -> Any:
        return LaunchedPasses(super().prepare(*args, **named), self.streams)  # type: ignore[arg-type]


def plan_for(model: FairEsm, sequence: str = RESIDUES, **options: Any) -> Plan:
    return make_plan(
        sequence, model=model.name, fingerprint=model.fingerprint, letters=model.letters, **options
    )


def runner_of(model: FairEsm, plan: Plan) -> Any:
    return model.prepare(plan.model_residues, plan.model_mask, plan.numerics.name)


def passes(monkeypatch: pytest.MonkeyPatch, act: Callable[[int, torch.Tensor], None]) -> list[int]:
    """Call `act` before every pass of a launched batch, with its number from 0; returns their sizes."""
    sizes: list[int] = []
    logits = FairEsmRunner.logits

    def watched(self: Any, tokens: torch.Tensor) -> torch.Tensor:
        act(len(sizes), tokens)
        sizes.append(len(tokens))
        return logits(self, tokens)

    monkeypatch.setattr(FairEsmRunner, "logits", watched)
    return sizes


# ---- the same as without launching


@pytest.mark.parametrize("make", [random_esm2, random_esm1b])
@pytest.mark.parametrize("batch_size", [7, 19, 57, 95])
def test_rows_equal_those_of_a_sweep_that_waits(make: Any, batch_size: int) -> None:
    mask = np.array([True, False] * 7)
    for options in ({}, {"mask": mask}, {"variant": "fast"}, {"positions": [2, 9, 14]}):
        waiting, launching = FairEsm(make()), LaunchingModel(make())
        plan = plan_for(waiting, **options)
        assert isinstance(runner_of(launching, plan), LaunchingRunner)
        wanted = dict(sweep(runner_of(waiting, plan), plan, None, batch_size))
        found = dict(sweep(runner_of(launching, plan), plan, None, batch_size))
        assert list(found) == list(wanted)
        for index, row in found.items():
            np.testing.assert_allclose(row, wanted[index], rtol=0, atol=2e-5)


def test_rows_of_full_batches_are_bit_equal_to_those_of_a_sweep_that_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The subtraction moved to the device and gives what numpy's gave."""
    # Kernels compiled for a CPU, which round elsewhere than torch's operations, are not launched.
    monkeypatch.setenv("CATJAC_COMPILER", "")
    waiting, launching = FairEsm(random_esm2()), LaunchingModel(random_esm2())
    plan = plan_for(waiting)
    baseline = wild_type_logits(runner_of(waiting, plan), plan)
    wanted = dict(sweep(runner_of(waiting, plan), plan, None, 38, baseline=baseline))
    for index, row in sweep(runner_of(launching, plan), plan, None, 38, baseline=baseline):
        np.testing.assert_array_equal(row, wanted[index])


def test_a_linker_is_dropped_on_the_device() -> None:
    plan = plan_for(FairEsm(random_esm2()), "MKTAY:IAKQ", linker="GGS")
    wanted = dict(sweep(runner_of(FairEsm(random_esm2()), plan), plan, None, 38))
    found = dict(sweep(runner_of(LaunchingModel(), plan), plan, None, 38))
    assert sorted(found) == list(range(9))
    for index, row in found.items():
        assert row.shape == (20, 9, 20)
        np.testing.assert_allclose(row, wanted[index], rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", ["int8", "bfloat16"])
def test_approximate_rows_are_launched_too(kind: str) -> None:
    waiting, launching = FairEsm(random_esm2()), LaunchingModel()
    plan = plan_for(waiting, numerics=choose_numerics(waiting.numerics, f"delta-{kind}", model=""))
    runner = runner_of(launching, plan)
    assert isinstance(runner.exact, LaunchedPasses)
    assert runner.in_float32 == runner_of(waiting, plan).in_float32
    alike = runner_of(waiting, plan)
    alike._compiled = None  # A compiled kernel rounds elsewhere than torch's operations, which are launched.
    wanted = dict(sweep(alike, plan, None, 57))
    for index, row in sweep(runner, plan, None, 57):
        np.testing.assert_allclose(row, wanted[index], rtol=0, atol=2e-3)


def test_a_model_in_bfloat16_gives_float32() -> None:
    model = random_esm2().to(torch.bfloat16)
    plan = plan_for(FairEsm(model))
    wanted = dict(sweep(runner_of(FairEsm(model), plan), plan, None, 38))
    for index, row in sweep(runner_of(LaunchingModel(model), plan), plan, None, 38):
        assert row.dtype == np.float32
        np.testing.assert_array_equal(row, wanted[index])


def test_the_whole_jacobian(own_cache: Any) -> None:
    residues = RESIDUES * 5  # Long enough for an estimate of the error, which runs the exact runner too.
    model = random_esm2()
    for numerics in ("exact", "delta-float16"):
        wanted = catjac.jacobian(residues, FairEsm(model), numerics=numerics, cache=False, progress=False)
        streams = SlowStreams()
        launching = LaunchingModel(model, streams)
        found = catjac.jacobian(residues, launching, numerics=numerics, cache=False, progress=False)
        assert "replay" in streams.log
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5 if numerics == "exact" else 2e-3)
        assert ("numerics_error" in found.attrs) == (numerics != "exact")


# ---- order


def test_the_next_batch_is_launched_before_the_last_is_fetched() -> None:
    model = LaunchingModel()
    plan = plan_for(model)
    runner, log = runner_of(model, plan), model.streams.log
    made = batches(runner, plan, None, 57)
    log.clear()
    first = next(made)
    assert [index for index, _ in first] == [0, 1, 2]
    assert log == [("fetch", 0), ("fetch", 1), ("wait", 0)]
    assert [index for index, _ in next(made)] == [3, 4, 5]
    assert [entry for entry in log if entry[0] in ("fetch", "wait")][3:] == [("fetch", 2), ("wait", 1)]
    rest = [index for batch in made for index, _ in batch]
    assert rest == list(range(6, 14))
    assert [number for what, number in _fetches(log) if what == "wait"] == list(range(5))


def _fetches(log: list[Any]) -> list[tuple[str, int]]:
    return [entry for entry in log if isinstance(entry, tuple)]


def test_a_split_row_is_whole_and_says_so_in_between() -> None:
    model = LaunchingModel()
    plan = plan_for(model, positions=[2, 7])
    runner = runner_of(model, plan)
    made = list(batches(runner, plan, None, 8))
    assert [len(rows) for rows in made] == [0, 0, 1, 0, 0, 1]
    whole = dict(sweep(runner, plan, None, 95))
    for index, row in (rows[0] for rows in made if rows):
        np.testing.assert_allclose(row, whole[index], rtol=0, atol=2e-5)


# ---- graphs


def test_a_graph_is_recorded_once_and_queued_from_then_on() -> None:
    model = LaunchingModel()
    plan = plan_for(model)
    runner = runner_of(model, plan)
    list(batches(runner, plan, None, 38))
    words = [entry for entry in model.streams.log if isinstance(entry, str)]
    assert words == ["graph", *["replay"] * 5]  # Of seven batches two run as they are.


def test_a_batch_more_than_half_full_runs_as_a_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LaunchingModel()
    seen: list[torch.Tensor] = []
    sizes = passes(monkeypatch, lambda _, tokens: seen.append(tokens.clone()))
    plan = plan_for(model)
    list(batches(runner_of(model, plan), plan, None, 76))  # 4 + 4 + 4 + 2 positions
    assert sizes[:3] == [76, 76, 76]
    assert sizes[-1] == 38  # Half is no more than half.
    sizes.clear()
    list(batches(runner_of(model, plan), plan, None, 57))  # 3 + 3 + 3 + 3 + 2 positions
    assert set(sizes) == {57}
    # The last sequence is repeated.
    assert (seen[-1][38:] == seen[-1][37]).all()


def test_where_nothing_can_be_recorded_batches_run_as_they_are() -> None:
    model, refusing = LaunchingModel(), LaunchingModel(streams=SlowStreams(refuse_graphs=True))
    plan = plan_for(model)
    wanted = dict(sweep(runner_of(model, plan), plan, None, 38))
    found = dict(sweep(runner_of(refusing, plan), plan, None, 38))
    assert "replay" in model.streams.log
    assert "replay" not in refusing.streams.log
    for index, row in found.items():
        np.testing.assert_array_equal(row, wanted[index])


def test_few_graphs_are_kept_and_the_one_used_longest_ago_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launched_passes, "BATCHES_BEFORE_A_GRAPH", 0)
    model = LaunchingModel()
    plan = plan_for(model)
    runner = runner_of(model, plan)
    baseline = runner.wild_type()

    def run(size: int) -> None:
        made = [Substitution(3, letter) for letter in ESM_LETTERS[:size]]
        runner.launch(made, size, baseline, plan.kept).result()

    def recorded() -> int:
        return model.streams.log.count("graph")

    run(5), run(6), run(5)
    assert recorded() == 2
    run(7)  # 6 goes
    run(5)
    assert recorded() == 3
    run(6)
    assert recorded() == 4
    assert len(runner._graphs) == launched_passes.MOST_GRAPHS


# ---- what goes wrong


@settings(deadline=None, max_examples=15)
@given(
    batch_size=st.integers(19, 120),
    done=st.sets(st.integers(0, len(RESIDUES) - 1)),
    variant=st.sampled_from(["full", "fast"]),
)
def test_a_resumed_sweep_gives_the_same_bits(batch_size: int, done: set[int], variant: str) -> None:
    model = LaunchingModel()
    plan = plan_for(model, variant=variant)
    baseline = runner_of(model, plan).wild_type()
    whole = dict(sweep(runner_of(model, plan), plan, None, batch_size, baseline=baseline))
    missing = [index for index in plan.wanted if index not in done]
    rest = dict(sweep(runner_of(model, plan), plan, missing, batch_size, baseline=baseline))
    assert sorted(rest) == missing
    for index, row in rest.items():
        np.testing.assert_array_equal(row, whole[index])


def test_memory_that_runs_out_keeps_what_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LaunchingModel()
    plan = plan_for(model)
    runner = runner_of(model, plan)

    def hungry(number: int, tokens: torch.Tensor) -> None:
        if number >= 2 and len(tokens) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    sizes = passes(monkeypatch, hungry)
    told: list[int] = []
    made = []
    for batch in batches(runner, plan, None, 57, on_smaller_batch=told.append):
        made.append([index for index, _ in batch])
        for index, row in batch:
            # Nothing that came later was put into the same memory.
            assert np.isfinite(row).all(), index
    assert made == [[0, 1, 2], [3, 4, 5], *[[index] for index in range(6, 14)]]
    assert told == [28]
    assert sizes[:2] == [57, 57]
    assert set(sizes[2:]) == {19}


def test_memory_that_runs_out_after_the_launch_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LaunchingModel()
    plan = plan_for(model)
    wanted = dict(sweep(runner_of(model, plan), plan, None, 19))
    result, calls = launched_passes._Launched.result, []

    def failing(self: Any) -> np.ndarray:
        calls.append(self)
        if len(calls) == 2:
            raise RuntimeError("CUDA error: out of memory")
        return result(self)

    monkeypatch.setattr(launched_passes._Launched, "result", failing)
    found = dict(sweep(runner_of(model, plan), plan, None, 38))
    assert sorted(found) == list(range(14))
    for index, row in found.items():
        np.testing.assert_allclose(row, wanted[index], rtol=0, atol=2e-5)


def test_no_memory_for_a_single_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(number: int, tokens: torch.Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    model = LaunchingModel()
    plan = plan_for(model)
    runner = runner_of(model, plan)
    passes(monkeypatch, hungry)
    with pytest.raises(DeviceError, match="not enough memory for one sequence of 14 residues"):
        list(batches(runner, plan, None, 57))


def test_a_device_lost_while_a_batch_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LaunchingModel()
    plan = plan_for(model)
    rows: list[int] = []

    def lost(self: Any) -> np.ndarray:
        if len(rows) >= 4:
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")
        return result(self)

    result = launched_passes._Launched.result
    monkeypatch.setattr(launched_passes._Launched, "result", lost)
    with pytest.raises(DeviceError, match=r"lost \(CUDA error: an illegal memory access"):
        rows.extend(index for index, _ in sweep(runner_of(model, plan), plan, None, 38))
    assert rows == [0, 1, 2, 3]


def test_a_sweep_left_in_the_middle_disturbs_no_later_one() -> None:
    model = LaunchingModel()
    plan = plan_for(model)
    runner = runner_of(model, plan)
    baseline = runner.wild_type()
    wanted = dict(sweep(runner, plan, None, 38, baseline=baseline))
    left = batches(runner, plan, None, 38, baseline=baseline)
    next(left)
    left.close()
    for index, row in sweep(runner, plan, None, 38, baseline=baseline):
        np.testing.assert_array_equal(row, wanted[index])


def test_a_cancelled_job_keeps_the_rows_that_it_has(own_cache: Any) -> None:
    model = LaunchingModel()
    job = catjac.submit(RESIDUES * 4, model, batch_size=19)
    job.add_listener(row=lambda position, row: job.cancel())
    with pytest.raises(Cancelled):
        job.result(60)
    done = job.progress.rows_done
    assert 0 < done < len(RESIDUES) * 4
    resumed = catjac.jacobian(RESIDUES * 4, model, batch_size=19, progress=False)
    wanted = catjac.jacobian(RESIDUES * 4, model, batch_size=19, cache=False, progress=False)
    np.testing.assert_array_equal(resumed, wanted)


def test_logits_that_are_not_finite_name_residue_and_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LaunchingModel()
    plan = plan_for(model)
    runner = runner_of(model, plan)
    logits = FairEsmRunner.logits
    bad = model.encode(RESIDUES[:7] + "W" + RESIDUES[8:])

    def with_nan(self: Any, tokens: torch.Tensor) -> torch.Tensor:
        found = logits(self, tokens)
        found[(tokens == bad).all(-1), 0, 0] = torch.nan
        return found

    monkeypatch.setattr(FairEsmRunner, "logits", with_nan)
    rows: list[int] = []
    with pytest.raises(ModelError, match="K8 → W"):
        rows.extend(index for index, _ in sweep(runner, plan, None, 38))
    assert rows == [0, 1, 2, 3, 4, 5]


def test_a_model_that_was_altered_meanwhile_is_refused() -> None:
    model = LaunchingModel()
    plan = plan_for(model)
    runner = runner_of(model, plan)
    handle = model.model.layers[0].register_forward_hook(lambda *_: None)
    with pytest.raises(ModelError, match="was altered while"):
        list(sweep(runner, plan, None, 38, baseline=runner.wild_type()))
    handle.remove()


@pytest.mark.parametrize("change", [Substitution(14, "A"), Substitution(-1, "A"), Substitution(0, "X")])
def test_a_letter_or_position_that_there_is_not(change: Substitution) -> None:
    model = LaunchingModel()
    plan = plan_for(model)
    runner = runner_of(model, plan)
    with pytest.raises(ModelError, match="cannot be put at"):
        runner.launch([change], 19, runner.wild_type(), plan.kept)


# ---- tokens


@settings(deadline=None, max_examples=30)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(RESIDUES) - 1), st.sampled_from([*ESM_LETTERS, MASK_LETTER])),
        min_size=1,
        max_size=9,
    )
)
def test_tokens_made_on_the_device_are_those_of_the_changed_sequence(
    changes: list[tuple[int, str]],
) -> None:
    adapter = FairEsm(random_esm2())
    runner = adapter.prepare(RESIDUES)
    made = runner.prepared.changes([Substitution(*change) for change in changes])
    tokens = with_changes(runner.prepared.tokens, made)
    for row, (position, letter) in zip(tokens, changes, strict=True):
        wanted = adapter.encode(RESIDUES)
        wanted[1 + position] = (
            adapter.alphabet.mask_idx if letter == MASK_LETTER else adapter.alphabet.get_idx(letter)
        )
        assert row.tolist() == wanted.tolist()
