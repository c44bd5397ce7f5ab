"""What only a CUDA device can show; skipped where there is none."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import random_esm1b, random_esm2

import catjac
from catjac_widgets.engine.compute.sweep import sweep
from catjac_widgets.engine.plans.making import make_plan
from catjac_widgets.language_models.base import Substitution
from catjac_widgets.language_models.esm.adapter import FairEsm
from catjac_widgets.language_models.esm.cuda.fused_steps import steps_for
from catjac_widgets.language_models.esm.launched import LaunchedPasses
from catjac_widgets.language_models.esm.linear_layers import FusedLayers, fast_layers
from catjac_widgets.language_models.esm.numerics.table import NUMERICS as ESM_NUMERICS
from catjac_widgets.proteins.alphabets import ESM_LETTERS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")

RESIDUES = "MKTAYIAKQRQISFVKSHFSRQ"
NUMERICS = [each.name for each in ESM_NUMERICS if each.dtype == "float32"]


def prepared(numerics: str, model: Any = None) -> Any:
    adapter = FairEsm((random_esm2(3, 64, 4) if model is None else model).cuda())
    runner = adapter.prepare(RESIDUES, None, numerics)
    assert isinstance(runner, LaunchedPasses)
    return runner


def changes_at(position: int) -> list[Substitution]:
    return [Substitution(position, letter) for letter in ESM_LETTERS if letter != RESIDUES[position]]


@contextmanager
def refusing_to_wait() -> Iterator[None]:
    """A context in which torch raises an error where something waits for the GPU."""
    with warnings.catch_warnings():
        # It warns that this is a prototype.
        warnings.simplefilter("ignore", UserWarning)
        try:
            torch.cuda.set_sync_debug_mode("error")
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("numerics", NUMERICS)
@pytest.mark.parametrize("make", [random_esm2, random_esm1b])
def test_a_jacobian_equals_that_of_a_cpu(make: Any, numerics: str) -> None:
    exact = catjac.jacobian(RESIDUES, FairEsm(make(3, 64, 4)), cache=False, progress=False)
    found = catjac.jacobian(
        RESIDUES, FairEsm(make(3, 64, 4).cuda()), numerics=numerics, cache=False, progress=False
    )
    if numerics == "exact":
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-4)
    others = exact.pos_in != exact.pos_out
    error = float((np.square(found - exact) * others).sum() / (np.square(exact) * others).sum()) ** 0.5
    assert error < 0.03


@pytest.mark.parametrize("numerics", NUMERICS)
def test_a_graph_is_recorded_and_gives_the_same_bits(numerics: str) -> None:
    runner = prepared(numerics)
    baseline, kept = runner.wild_type(), np.arange(len(RESIDUES))
    made = [runner.launch(changes_at(5), 19, baseline, kept).result().copy() for _ in range(5)]
    assert [graph is not None for graph in runner._graphs.values()] == [True]
    for again in made[1:]:
        np.testing.assert_array_equal(again, made[0])


@pytest.mark.parametrize("numerics", NUMERICS)
def test_a_launch_waits_for_nothing(numerics: str) -> None:
    runner = prepared(numerics)
    baseline, kept = runner.wild_type(), np.arange(len(RESIDUES))
    for _ in range(4):
        runner.launch(changes_at(5), 19, baseline, kept).result()
    with refusing_to_wait():
        launched = [runner.launch(changes_at(k), 19, baseline, kept) for k in (2, 7)]
    for each in launched:
        assert np.isfinite(each.result()).all()


def test_many_batches_keep_their_order() -> None:
    adapter = FairEsm(random_esm2(3, 64, 4).cuda())
    residues = RESIDUES * 6
    plan = make_plan(residues, model=adapter.name, fingerprint=adapter.fingerprint, letters=adapter.letters)
    waiting = FairEsm(random_esm2(3, 64, 4)).prepare(residues)
    for index, row in sweep(adapter.prepare(residues), plan, None, 38):
        letter = adapter.letters[index % 20]
        if letter != residues[index]:
            wanted = waiting.rows([Substitution(index, letter)])[0] - waiting.wild_type()
            np.testing.assert_allclose(row[index % 20], wanted, rtol=0, atol=1e-4)


def test_a_gpu_fuses_projections_and_takes_triton_where_it_is() -> None:
    model = random_esm2(3, 64, 4).cuda()
    assert isinstance(fast_layers(model), FusedLayers)
    pytest.importorskip("triton", reason="there is no Triton, which comes with torch for CUDA")
    assert type(steps_for(torch.device("cuda:0"))).__name__ == "TritonSteps"
