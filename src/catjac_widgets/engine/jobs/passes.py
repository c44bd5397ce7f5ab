"""Many forward passes on the thread of the model's device, with progress and a way to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from catjac_widgets.engine.compute.memory import LARGEST_BATCH
from catjac_widgets.engine.compute.passes import batches_that_fit
from catjac_widgets.engine.jobs.steps import results_of
from catjac_widgets.engine.plans.request import check_batch_size
from catjac_widgets.errors import Cancelled, UsageError
from catjac_widgets.progress import progress_bar

_BATCH_BYTES = 512 * 2**20


def in_batches(
    run: Callable[[slice], np.ndarray],
    count: int,
    model: Any,
    *,
    length: int,
    batch_size: int | None = None,
    description: str = "Passes",
    progress: bool = True,
    stop: threading.Event | None = None,
) -> np.ndarray:
    """Run many inputs through a model, a batch at a time, and lay the results one after another.

    Parameters
    ----------
    run
        Called on the device's thread with the inputs' slice; its result has them along the first axis.
    count
        How many inputs there are.
    model
        A `LanguageModel`.
    length
        Residues of an input, for the size of a batch.
    batch_size
        Inputs a batch; chosen by default, and halved where the device's memory does not suffice.
    description
        What the bar says.
    progress
        Show a bar if it takes a while.
    stop
        Set it from another thread to cancel.

    Returns
    -------
    np.ndarray
        First axis `count` long.

    Raises
    ------
    UsageError
        For a batch size below 1, or where there is nothing to run.
    Cancelled
        If `stop` was set; nothing is kept.
    DeviceError
        If one input is too much for the device, or the device is lost.
    """
    batch_size = check_batch_size(batch_size)
    if count < 1:
        raise UsageError("There is nothing to run through the model.")
    size = batch_size or max(1, min(LARGEST_BATCH, _BATCH_BYTES // max(1, model.row_bytes(length))))
    found: list[np.ndarray] = []
    batches = results_of(batches_that_fit(run, count, size, model.name), model)
    with progress_bar(description, count, unit="pass", shown=progress) as bar:
        done = 0
        while done < count:
            if stop is not None and stop.is_set():
                raise Cancelled(f"Stopped after {done} of {count} passes; they are not kept.")
            part, made = next(batches)
            found.append(made)
            bar.advance(part.stop - done)
            done = part.stop
    return np.concatenate(found)
