"""Gathering: fetch a request's rows from the cache, compute the rest, keep them, and store the summaries.

All of one Jacobian's work, as a generator that stops between batches. It knows neither threads nor
priorities; a job drives it on a worker's thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.engine.cache.entries import CorruptRowError
from catjac_widgets.engine.cache.store import cache
from catjac_widgets.engine.compute import memory as resources
from catjac_widgets.engine.compute.error_check import estimated_error
from catjac_widgets.engine.compute.sweep import batches, wild_type_logits
from catjac_widgets.engine.jobs.loading import AlteredModelCheck, load_for
from catjac_widgets.engine.jobs.rows import Rows
from catjac_widgets.errors import CacheError
from catjac_widgets.language_models.progress import watched

if TYPE_CHECKING:
    from catjac_widgets.engine.plans.request import JacobianRequest

#: How often rows that were damaged while others were computed are computed again in one piece of work.
_ATTEMPTS = 3

#: Rows are read from the cache for about this long before something more urgent gets its turn.
READING_SECONDS = 0.02


class Gathering:
    """The work on one request.

    Parameters
    ----------
    request
        What is wanted; a model given by name is loaded only if rows are missing.
    rows
        Where rows go.
    on_row
        Told the 0-based position of each row that is there, with the row if it is at hand.
    on_note
        Told what a person should know.
    on_wait
        Called now and then while a model is made ready (`message` says how far it is); an exception that it
        raises ends the work.

    Attributes
    ----------
    message
        What is going on, in words.
    needs_model
        Whether the work has come to where a model is needed.
    seconds_a_row
        Seconds that a row takes, as far as known.
    waits
        Whether another process computes all that is still missing, so that the next step can wait a little.
    """

    def __init__(
        self,
        request: JacobianRequest,
        rows: Rows,
        *,
        on_row: Callable[[int, np.ndarray | None], None],
        on_note: Callable[[str], None],
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        self.request, self.rows = request, rows
        self.message = "waiting for its turn"
        self.needs_model = False
        self.seconds_a_row: float | None = None
        self.waits = False
        self._on_row, self._on_note, self._on_wait = on_row, on_note, on_wait

    def work(self) -> Iterator[None]:
        """Do everything, stopping between batches.

        Yields
        ------
        None
            Wherever something more urgent may come in between.

        Raises
        ------
        ModelError, DeviceError, ResourceError
            See `sweep` and `resources`.
        CacheError
            If what was written to the cache was never what is read there.
        """
        self.message = "looking into the cache"
        self.rows.open()
        yield
        yield from self._read_rows()
        for _ in range(_ATTEMPTS):
            try:
                if not self.rows.complete:
                    self.needs_model = True
                    yield
                    yield from self._compute()
                yield from self._summarise()
            except CorruptRowError as error:
                # One that stayed on disk, and is read only now.
                self._on_note(f"A row in the cache was corrupt and is computed again ({error}).")
                self.rows.look_again()
            if self.rows.complete:
                break
        else:
            raise CacheError(
                "Rows of the Jacobian were damaged in the cache as fast as they were computed; look at its "
                "disk, or set CATJAC_CACHE to another folder."
            )
        self.message = "done"

    def _read_rows(self) -> Iterator[None]:
        """Take the rows that are in the cache already."""
        self.message = "reading the cache"
        until = time.monotonic() + READING_SECONDS
        for index in self.rows.kept():
            self._take(index)
            if time.monotonic() > until:
                yield
                until = time.monotonic() + READING_SECONDS

    def _take(self, index: int) -> bool:
        """Take one row from the cache; False if it is corrupt."""
        try:
            row = self.rows.take(index)
        except CorruptRowError:
            return False
        self._on_row(index, row)
        return True

    # ---- computing

    def _model_comes(self, what: str, share: float) -> None:
        self.message = f"{what}, {share:.0%}"
        self._on_wait()

    def _compute(self) -> Iterator[None]:
        plan, rows = self.request.plan, self.rows
        self.message = f"loading {plan.model}"
        yield
        with watched(self._model_comes):
            model = load_for(self.request.model, plan.model, plan.fingerprint)
        missing = [index for index in plan.wanted if index not in rows.done]
        self.seconds_a_row = resources.check_time(plan, len(missing), model) / max(1, len(missing))
        self.message = f"preparing {plan.model}"
        yield
        check = AlteredModelCheck(model, plan.model, plan.fingerprint, self.rows.forget)
        runner = model.prepare(plan.model_residues, plan.model_mask, plan.numerics.name)
        if rows.baseline is None:
            baseline = wild_type_logits(runner, plan)
            # What is kept beside rows cannot be taken back.
            check.now()
            rows.baseline = baseline
            rows.keep_beside("wild_type_logits", rows.baseline)
        batch_size = resources.choose_batch_size(plan, model, self.request.batch_size)
        with check:
            if missing:
                rows.add_device(str(model.device))
                self.message = "computing"
                yield
                yield from self._sweep(runner, missing, batch_size, check)
            error = None
            if plan.is_approximate and rows.numerics_error is None:
                error = yield from self._estimated_error(runner, batch_size)
        if error is not None:
            rows.numerics_error = error
            rows.keep_beside("numerics_error", np.array([error], dtype=plan.dtype))

    def _sweep(
        self, runner: Any, missing: list[int], batch_size: int, check: AlteredModelCheck
    ) -> Iterator[None]:
        rows_in_batches = batches(
            runner,
            self.request.plan,
            missing,
            batch_size,
            baseline=self.rows.baseline,
            out=self.rows.slot,
            claim=self.rows.claim,
            still_missing=self._still_missing,
            on_smaller_batch=self._smaller_batch,
        )
        spent, measured = 0.0, False
        while True:
            started = time.monotonic()
            try:
                made = next(rows_in_batches)
            except StopIteration:
                return
            self.waits = made is None
            self.message = "waiting for rows that another process computes" if made is None else "computing"
            if made is None:
                spent = 0.0
                yield
                continue
            for index, row in made:
                cache.count(rows_computed=1)
                check.made.append(index)
                self.rows.put(index, row)
                self._on_row(index, row)
            self.rows.give_back(index for index, _ in made)
            check.now_and_then()
            # What ran between two batches of ours was more urgent, and is not our time.
            spent += time.monotonic() - started
            if made:
                latest, spent = spent / len(made), 0.0
                known = self.seconds_a_row if measured else latest
                self.seconds_a_row, measured = 0.7 * (known or latest) + 0.3 * latest, True
            yield

    def _estimated_error(self, runner: Any, batch_size: int) -> Generator[None, None, float | None]:
        """Compute a few of the rows exactly, once a protein, to say how far the approximate ones are."""
        sample = self.rows.error_sample
        if not sample:
            return None
        self.message = "comparing a few rows with exact ones"
        last: float | None = None
        for last in estimated_error(runner.exact, self.request.plan, sample, self.rows.row, batch_size):  # noqa: B007 - the last is wanted
            yield
        return last

    def _still_missing(self, index: int) -> bool:
        """Whether a row is still to be computed; another process or job may have made it meanwhile."""
        if index not in self.rows.done and (self.rows.missing(index) or not self._take(index)):
            return True
        self.rows.give_back([index])
        return False

    def _smaller_batch(self, size: int) -> None:
        self._on_note(f"The device ran out of memory; going on with {size} sequences a batch.")

    # ---- at the end

    def _summarise(self) -> Iterator[None]:
        """Store what can be said of the completed rows beside them."""
        accumulator = self.rows.summaries()
        if accumulator is None:
            return
        self.message = accumulator.description
        for made in accumulator.finish(self.rows.row):
            for name, values in (made or {}).items():
                self.rows.keep_beside(name, values)
            yield
