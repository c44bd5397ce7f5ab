"""A preview in the background: steps on the thread of the model's device, before rows and behind drags."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.analysis.previews.preview import approximate_jacobians
from catjac_widgets.engine.backends.threads import Priority, worker_for
from catjac_widgets.engine.plans.request import device_name
from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.registry import resolve_model

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

Come = Callable[[int, np.ndarray], None]


class PreviewTask:
    """Approximates a plan's Jacobian in steps (see `catjac_widgets.engine.backends.threads.Task`).

    Parameters
    ----------
    plan, model
        What to approximate; a model given by name is loaded in the first step.
    come
        Called on the worker's thread with how many letters of each position were run, and the Jacobian
        (L, A, L, A), float32, NaN where masked.
    missing
        Rows that are still to be computed exactly.
    """

    urgency = Priority.SCREEN
    yields_to_drags = True

    def __init__(self, plan: Plan, model: Any, come: Come, missing: int) -> None:
        self._plan, self._model, self._come, self._missing = plan, model, come, missing
        self._cancelled = False
        self._steps = self._work()

    def cancel(self) -> None:
        """Stop after the step in hand; nothing comes any more."""
        self._cancelled = True

    def step(self) -> bool:
        """Do one step; True when there is nothing more to do."""
        if self._cancelled:
            return True
        try:
            next(self._steps)
        except StopIteration:
            return True
        except ModelError as error:
            _LOG.debug("no preview: %s", error)
            return True
        except Exception:
            # A first impression only: what fails here will fail in the job, which says why.
            _LOG.exception("the preview failed")
            return True
        return False

    def _work(self) -> Iterator[None]:
        model = resolve_model(self._model)
        yield
        if expected_seconds(self._plan, model, self._missing) < WORTH_SECONDS:
            return
        for step in approximate_jacobians(self._plan, model):
            if step is not None and not self._cancelled:
                self._come(*step)
            yield


def expected_seconds(plan: Plan, model: LanguageModel, rows: int) -> float:
    """Tell how long some rows of a plan will take, by running the wild type a few times."""
    tokens = model.encode(plan.model_residues, plan.model_mask).repeat(_TIMED_SEQUENCES, 1)
    began = time.perf_counter()
    model.logits(tokens)
    return (time.perf_counter() - began) / _TIMED_SEQUENCES * plan.substitutions_per_row * rows


def start_preview(job: Job, come: Come) -> PreviewTask | None:
    """Queue a preview before the rows of a job, if it may be worth it.

    Parameters
    ----------
    job
        Whose Jacobian to approximate.
    come
        See `PreviewTask`.

    Returns
    -------
    PreviewTask or None
        None for the fast variant, where enough rows lie in the cache, and for a name whose model has no
        contact head: that one is left to the job to load, which says how far it is.
    """
    request, plan = job.request, job.plan
    by_name = isinstance(request.model, str | Path)
    if plan.variant != "full" or (by_name and not request.identity.has_contact_head):
        return None
    missing = len(plan.wanted) - job.rows_in_cache
    if missing <= (1 - ENOUGH_ROWS) * len(plan.wanted):
        return None
    task = PreviewTask(plan, request.model, come, missing)
    worker_for(device_name(request.model)).add(task)
    return task
