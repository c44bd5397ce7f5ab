from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from stubs import PottsModel

from catjac_widgets.engine.jobs.passes import in_batches
from catjac_widgets.errors import Cancelled, DeviceError, UsageError


def run_squares(**options):
    parts = []

    def run(part):
        parts.append(part.stop - part.start)
        return np.arange(part.start, part.stop) ** 2

    return in_batches(run, 10, PottsModel(), length=5, progress=False, **options), parts


@pytest.mark.parametrize(("size", "expected"), [(1, [1] * 10), (4, [4, 4, 2]), (64, [10]), (None, [10])])
def test_results_lie_in_order_whatever_the_batch(size, expected):
    found, parts = run_squares(batch_size=size)
    np.testing.assert_array_equal(found, np.arange(10) ** 2)
    assert parts == expected


def test_memory_that_runs_out_halves_the_batch():
    sizes = []

    def run(part):
        sizes.append(part.stop - part.start)
        if sizes[-1] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return np.arange(part.start, part.stop)

    found = in_batches(run, 10, PottsModel(), length=5, batch_size=8, progress=False)
    np.testing.assert_array_equal(found, np.arange(10))
    assert sizes == [8, 4, 2, 2, 2, 2, 2]

    def never(part):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(DeviceError, match="one sequence"):
        in_batches(never, 3, PottsModel(), length=5, progress=False)


def test_it_can_be_stopped():
    stop = threading.Event()
    done = []

    def run(part):
        done.append(part)
        stop.set()
        return np.zeros(part.stop - part.start)

    with pytest.raises(Cancelled, match="after 2 of 10"):
        in_batches(run, 10, PottsModel(), length=5, batch_size=2, progress=False, stop=stop)
    assert len(done) == 1


def test_it_runs_on_the_models_own_thread():
    names = []
    in_batches(
        lambda part: names.append(threading.current_thread().name) or np.zeros(1),
        1,
        PottsModel(),
        length=5,
        progress=False,
    )
    assert names == ["catjac cpu"]


def test_requests_that_make_no_sense():
    with pytest.raises(UsageError, match="batch_size=0"):
        run_squares(batch_size=0)
    with pytest.raises(UsageError, match="nothing to run"):
        in_batches(lambda part: np.zeros(1), 0, PottsModel(), length=5)
