"""Gathering: fetch a plan's rows from the cache, compute the rest, keep them, and store the summaries.

All of one Jacobian's work, as a generator that stops between batches. It knows neither threads nor
priorities; a job drives it on a worker's thread.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.engine.cache import folders
from catjac_widgets.engine.cache.entries import CorruptRowError, Entry
from catjac_widgets.engine.cache.folder_entry import FolderEntry
from catjac_widgets.engine.cache.store import LIMIT_VARIABLE, cache
from catjac_widgets.engine.compute import memory as resources
from catjac_widgets.engine.compute.error_check import estimated_error, sampled_rows
from catjac_widgets.engine.compute.summaries import Accumulator
from catjac_widgets.engine.compute.sweep import batches, wild_type_logits
from catjac_widgets.engine.jobs.loading import load_for
from catjac_widgets.engine.labels import label_jacobian
from catjac_widgets.errors import UsageError
from catjac_widgets.language_models.progress import watched

if TYPE_CHECKING:
    import xarray as xr

    from catjac_widgets.engine.plans.jacobian import Plan

#: Rows are read from the cache for about this long before something more urgent gets its turn.
READING_SECONDS = 0.02


class Gathering:
    """The rows of one plan, as they come together.

    Parameters
    ----------
    plan
        What is wanted.
    model
        A name or path, loaded only if rows are missing, or a language model.
    batch_size
        Sequences a batch; chosen from the device's memory by default.
    use_cache
        Whether rows are taken from the cache and kept there.
    lazy
        Whether rows stay on disk; "auto" where they take more than 1 GB.
    on_row
        Told the 0-based position of each row that is there, with the row if it is at hand.
    on_note
        Told what a person should know.
    on_wait
        Called now and then while a model is made ready (`message` says how far it is); an exception that it
        raises ends the work.

    Raises
    ------
    ResourceError
        If the rows fit neither into memory nor on disk.
    UsageError
        If `lazy` is asked for without a cache folder.
    """

    def __init__(
        self,
        plan: Plan,
        model: Any,
        *,
        batch_size: int | None = None,
        use_cache: bool = True,
        lazy: bool | str = "auto",
        on_row: Callable[[int, np.ndarray | None], None],
        on_note: Callable[[str], None],
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        self.plan = plan
        #: 0-based positions whose row is there.
        self.done: set[int] = set()
        #: What is going on, in words.
        self.message = "waiting for its turn"
        #: Whether the work has come to where a model is needed.
        self.needs_model = False
        #: Seconds that a row takes, as far as known.
        self.seconds_a_row: float | None = None
        self._model = model
        self._batch_size = batch_size
        self._use_cache = use_cache
        self._on_row, self._on_note, self._on_wait = on_row, on_note, on_wait
        #: Guards what `partial` looks at from other threads.
        self._lock = threading.RLock()
        self._entry: Entry | None = None
        self._data: np.ndarray | None = None
        self._baseline: np.ndarray | None = None
        self._numerics_error: float | None = None
        self._devices: set[str] = set()
        self._accumulator: Accumulator | None = None
        self._slots = {position - 1: slot for slot, position in enumerate(plan.positions)}
        self._lazy = self._decide_lazy(lazy)

    # ---- what others look at

    @property
    def keeps_rows(self) -> bool:
        """Whether rows done so far will be there for the next call."""
        return self._entry is not None

    def row(self, index: int) -> np.ndarray:
        """Row of a 0-based position that is done."""
        with self._lock:
            if self._data is not None:
                return self._data[self._slots[index]]
            assert self._entry is not None
            return self._entry.read(index)

    def partial(self) -> xr.DataArray:
        """Label what is there so far; the rest is NaN."""
        with self._lock:
            if self._data is None and isinstance(self._entry, FolderEntry):
                return self._label(self._entry.lazy(), complete=False)
            values = self._empty()
            if self._data is not None:
                for index in list(self.done):
                    values[self._slots[index]] = self._data[self._slots[index]]
            return self._label(values, complete=False)

    def result(self) -> xr.DataArray:
        """Label the complete rows."""
        if self._data is not None:
            return self._label(self._data, complete=True)
        assert isinstance(self._entry, FolderEntry)
        return self._label(self._entry.lazy(), complete=True)

    def close(self, *, complete: bool) -> None:
        """Let the entry go; one that a lazy result reads from is held as long as the process lives."""
        self._accumulator = None
        if self._entry is not None and not (complete and self._data is None):
            cache.release(self._entry)

    def _label(self, values: Any, *, complete: bool) -> xr.DataArray:
        return label_jacobian(
            values,
            self.plan,
            wild_type_logits=self._baseline,
            numerics_error=self._numerics_error,
            devices=sorted(self._devices),
            complete=complete,
        )

    def _empty(self) -> np.ndarray:
        return np.full((len(self.plan.positions), *self.plan.row_shape), np.nan, dtype=self.plan.dtype)

    # ---- the work

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
        """
        self._open()
        yield
        yield from self._read_rows()
        if len(self.done) < len(self.plan.wanted) or self._baseline is None:
            self.needs_model = True
            yield
            yield from self._compute()
        yield from self._summarise()
        self.message = "done"

    def _decide_lazy(self, lazy: bool | str) -> bool:
        plan = self.plan
        if lazy not in (True, False, "auto"):
            raise UsageError(f"lazy={lazy!r} is unknown; use 'auto', True or False.")
        folder = cache.entry_folder(plan) if self._use_cache else None
        if lazy is True and folder is None:
            raise UsageError(
                "lazy=True reads the Jacobian from the cache folder, but there is none; "
                "leave out cache=False and set CATJAC_CACHE to a folder that can be written."
            )
        if (
            lazy is not False
            and folder is not None
            and (lazy is True or plan.result_bytes > resources.LAZY_BYTES)
        ):
            entry = cache.find(plan)
            if entry is None or not entry.done().issuperset(plan.wanted):
                resources.check_disk(plan, cache.limit, folders.free_disk(folder))
            return True
        resources.check_memory(plan)
        return False

    def _open(self) -> None:
        plan = self.plan
        self.message = "looking into the cache"
        entry = cache.open(plan, self._on_note) if self._use_cache else None
        if entry is not None:
            for note in entry.notes:
                self._on_note(note)
            cache.hold(entry)
            with self._lock:
                self._entry = entry
            if not entry.done().issuperset(plan.wanted):
                self._make_room(entry)
            self._baseline = entry.read_beside("wild_type_logits")
            self._devices.update(entry.devices())
            if plan.is_approximate and (known := entry.read_beside("numerics_error")) is not None:
                self._numerics_error = float(known[0])
        if not (self._lazy and isinstance(self._entry, FolderEntry)):
            if self._lazy:
                resources.check_memory(plan)
            self._data = self._empty()
        visible = sum(not masked for masked in plan.mask.masked)
        if self._entry is not None and sum(not plan.mask.masked[index] for index in plan.wanted) == visible:
            self._accumulator = Accumulator(plan)

    def _make_room(self, entry: Entry) -> None:
        if cache.make_room(entry):
            message = cache.where_message(self.plan)
            if message is not None:
                self._on_note(message)
            return
        self._on_note(
            f"The Jacobian is larger than the cache may be ({cache.limit / 1e9:.2g} GB) and is not kept; "
            f"set {LIMIT_VARIABLE} to more."
        )
        cache.release(entry)
        with self._lock:
            self._entry = None

    def _read_rows(self) -> Iterator[None]:
        """Take the rows that are in the cache already."""
        if self._entry is None:
            return
        self.message = "reading the cache"
        until = time.monotonic() + READING_SECONDS
        for index in sorted(self._entry.done().intersection(self._slots)):
            self._take(index)
            if time.monotonic() > until:
                yield
                until = time.monotonic() + READING_SECONDS

    def _take(self, index: int) -> bool:
        """Take one row from the cache; False if it is corrupt and has to be computed again.

        A row that stays on disk is not read, only its size was looked at.
        """
        assert self._entry is not None
        row = None
        if self._data is not None:
            try:
                row = self._data[self._slots[index]]
                row[...] = self._entry.read(index)
            except CorruptRowError as error:
                self._entry.discard(index)
                self._on_note(f"A row in the cache was corrupt and is computed again ({error}).")
                return False
        cache.count(rows_read=1)
        self._there(index, row)
        return True

    def _there(self, index: int, row: np.ndarray | None) -> None:
        with self._lock:
            self.done.add(index)
        self._on_row(index, row)

    # ---- computing

    def _model_comes(self, what: str, share: float) -> None:
        self.message = f"{what}, {share:.0%}"
        self._on_wait()

    def _compute(self) -> Iterator[None]:
        plan = self.plan
        self.message = f"loading {plan.model}"
        yield
        with watched(self._model_comes):
            model = load_for(self._model, plan.model, plan.fingerprint)
        missing = [index for index in plan.wanted if index not in self.done]
        self.seconds_a_row = resources.check_time(plan, len(missing), model) / max(1, len(missing))
        self.message = f"preparing {plan.model}"
        yield
        runner = model.prepare(plan.model_residues, plan.model_mask, plan.numerics.name)
        baseline = self._baseline
        if baseline is None:
            baseline = self._baseline = wild_type_logits(runner, plan)
            self._keep(functools.partial(_write_beside, name="wild_type_logits", values=baseline))
        device = str(model.device)
        self._devices.add(device)
        self._keep(lambda entry: entry.add_device(device))
        self.message = "computing"
        yield
        batch_size = resources.choose_batch_size(plan, model, self._batch_size)
        rows_in_batches = batches(
            runner,
            plan,
            missing,
            batch_size,
            baseline=baseline,
            out=None if self._data is None else self._slot,
            still_missing=self._still_missing,
            on_smaller_batch=self._smaller_batch,
        )
        spent, measured = 0.0, False
        while True:
            started = time.monotonic()
            made = next(rows_in_batches, None)
            if made is None:
                break
            for index, row in made:
                self._computed(index, row)
            # What ran between two batches of ours was more urgent, and is not our time.
            spent += time.monotonic() - started
            if made:
                latest, spent = spent / len(made), 0.0
                known = self.seconds_a_row if measured else latest
                self.seconds_a_row, measured = 0.7 * known + 0.3 * latest, True
            yield
        if plan.is_approximate and self._numerics_error is None:
            yield from self._estimate_error(runner, missing, batch_size)

    def _estimate_error(self, runner: Any, computed: list[int], batch_size: int) -> Iterator[None]:
        """Compute a few of the rows exactly, once a protein, to say how far the approximate ones are."""
        sample = sampled_rows(computed)
        if not sample:
            return
        self.message = "comparing a few rows with exact ones"
        for error in estimated_error(runner.exact, self.plan, sample, self.row, batch_size):
            yield
            self._numerics_error = error
        values = np.array([self._numerics_error], dtype=self.plan.dtype)
        self._keep(functools.partial(_write_beside, name="numerics_error", values=values))

    def _computed(self, index: int, row: np.ndarray) -> None:
        cache.count(rows_computed=1)
        if self._accumulator is not None:
            self._accumulator.add(index, row)
        self._keep(lambda entry: entry.write(index, row))
        if self._lazy and self._data is not None:
            self._data[self._slots[index]] = row  # The disk is full: rows do not stay there any more.
        self._there(index, row)

    def _slot(self, index: int) -> np.ndarray:
        assert self._data is not None
        return self._data[self._slots[index]]

    def _still_missing(self, index: int) -> bool:
        """Whether a row is still to be computed; another process or job may have made it meanwhile."""
        if index in self.done:
            return False
        if self._entry is None or not self._entry.has(index):
            return True
        return not self._take(index)

    def _smaller_batch(self, size: int) -> None:
        self._on_note(f"The device ran out of memory; going on with {size} sequences a batch.")

    # ---- keeping

    def _keep(self, write: Callable[[Entry], None]) -> None:
        """Write to the entry; where that fails, go on in memory."""
        entry = self._entry
        if entry is None:
            return
        try:
            write(entry)
            if isinstance(entry, FolderEntry):
                entry.touch()
        except OSError as error:
            self._on_note(
                f"The cache folder cannot be written any more ({error.strerror or error}); "
                "the Jacobian goes on in memory, and its further rows are not kept after this."
            )
            if self._data is None:
                self._bring_to_memory(entry)
            self._accumulator = None
            cache.release(entry)
            with self._lock:
                self._entry = None

    def _bring_to_memory(self, entry: Entry) -> None:
        resources.check_memory(self.plan)
        data = self._empty()
        for index in self.done:
            data[self._slots[index]] = entry.read(index)
        with self._lock:
            self._data = data

    def _summarise(self) -> Iterator[None]:
        """Store the contact map, block norms and means beside the completed rows."""
        entry, accumulator = self._entry, self._accumulator
        if entry is None or accumulator is None or entry.read_beside("contacts") is not None:
            return
        self.message = "making the contact map"
        try:
            for made in accumulator.finish(self.row):
                for name, values in (made or {}).items():
                    self._keep(functools.partial(_write_beside, name=name, values=values))
                yield
        except CorruptRowError as error:
            self._on_note(f"A row in the cache was corrupt; the next call computes it again ({error}).")


def _write_beside(entry: Entry, name: str, values: np.ndarray) -> None:
    entry.write_beside(name, values)
