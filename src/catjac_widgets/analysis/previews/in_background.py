"""A preview beside a job in the background: whether it is worth it, and its steps."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from catjac_widgets.analysis.previews.preview import approximate_jacobians
from catjac_widgets.engine.jobs.steps import SteppedTask
from catjac_widgets.errors import ModelError

if TYPE_CHECKING:
    from catjac_widgets.engine.jobs.job import Job
    from catjac_widgets.engine.plans.jacobian import Plan
    from catjac_widgets.language_models.base import LanguageModel

_LOG = logging.getLogger("catjac")

#: A Jacobian that is expected sooner needs no preview.
WORTH_SECONDS = 2.0

#: With more than this share of its rows there, a map needs none either.
ENOUGH_ROWS = 0.5

#: Sequences by which the time of a Jacobian is judged.
_TIMED_SEQUENCES = 4


def expected_seconds(plan: Plan, model: LanguageModel, rows: int) -> float:
    """Tell how long some rows of a plan will take, by running the wild type a few times."""
    tokens = model.encode(plan.model_residues, plan.model_mask).repeat(_TIMED_SEQUENCES, 1)
    began = time.perf_counter()
    model.logits(tokens)
    return (time.perf_counter() - began) / _TIMED_SEQUENCES * plan.substitutions_per_row * rows


def preview_steps(plan: Plan, model: LanguageModel, missing: int) -> Iterator[tuple[int, np.ndarray] | None]:
    """Approximate a plan's Jacobian in steps, if the exact one takes so long that this is worth it.

    Parameters
    ----------
    plan, model
        See `approximate_jacobians`.
    missing
        Rows that are still to be computed exactly.

    Yields
    ------
    See `approximate_jacobians`; nothing for a model that offers no preview.
    """
    if expected_seconds(plan, model, missing) < WORTH_SECONDS:
        return
    try:
        steps = approximate_jacobians(plan, model)
    except ModelError as error:
        _LOG.debug("no preview: %s", error)
        return
    yield from steps


def start_preview(
    job: Job,
    on_preview: Callable[[int, np.ndarray], object],
    on_error: Callable[[Exception], object] | None = None,
) -> SteppedTask[tuple[int, np.ndarray]] | None:
    """Queue a preview before the rows of a job, if it may be worth it.

    Parameters
    ----------
    job
        Whose Jacobian to approximate; a model given by name is loaded in the first step.
    on_preview
        Called on the device's thread with how many letters of each position were run, and the Jacobian
        (L, A, L, A), float32, NaN where masked.
    on_error
        Called there with what went wrong. It is logged where nobody is to be told: a preview is a first
        impression only, and what fails in it will fail in the job, which says why.

    Returns
    -------
    SteppedTask or None
        Its ``cancel()`` ends it. None for the fast variant, where enough rows lie in the cache, and for a
        name whose model has no contact head: that one is left to the job to load, which says how far it is.
    """
    request, plan = job.request, job.plan
    by_name = isinstance(request.model, str | Path)
    if plan.variant != "full" or (by_name and not request.identity.has_contact_head):
        return None
    missing = len(plan.wanted) - job.rows_in_cache
    if missing <= (1 - ENOUGH_ROWS) * len(plan.wanted):
        return None
    return SteppedTask(
        lambda loaded: preview_steps(plan, loaded, missing),
        request.model,
        lambda made: on_preview(*made),
        on_error=on_error,
    ).start()
