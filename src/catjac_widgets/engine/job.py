"""Jobs: a Jacobian that is computed in the background, a batch at a time, and can be watched and stopped."""

from __future__ import annotations

import logging
import shutil
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.engine import resources
from catjac_widgets.engine.entries import CorruptRowError, Entry, FolderEntry
from catjac_widgets.engine.labels import label_jacobian
from catjac_widgets.engine.store import CacheWarning, cache
from catjac_widgets.engine.summaries import Accumulator
from catjac_widgets.engine.sweep import batches, wild_type_logits
from catjac_widgets.engine.worker import Priority, Worker, worker_for
from catjac_widgets.errors import Cancelled, ModelError, UsageError

if TYPE_CHECKING:
    import xarray as xr

    from catjac_widgets.engine.plan import Plan
    from catjac_widgets.language_models.protocol import LanguageModel

_LOG = logging.getLogger("catjac")

#: Rows are read from the cache for about this long before something more urgent gets its turn.
_READING_SECONDS = 0.02

RowListener = Callable[[int, np.ndarray], None]
ChangeListener = Callable[["Job"], None]

#: Models that this process has loaded by name, to count each once.
_LOADED_MODELS: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes
    ----------
    state
        "queued", "running", "done", "cancelled" or "failed".
    rows_done, rows_total
        Rows that are there (computed or read), and rows asked for.
    seconds
        Since the job was first served.
    seconds_left
        An estimate; None while nothing is known.
    message
        What is going on, or went wrong, in words.
    """

    state: str
    rows_done: int
    rows_total: int
    seconds: float
    seconds_left: float | None
    message: str

    @property
    def fraction(self) -> float:
        """Rows done over rows asked for."""
        return self.rows_done / self.rows_total if self.rows_total else 1.0


@dataclass
class _Listener:
    row: RowListener | None
    change: ChangeListener | None
    #: 0-based positions it has still to be told; live rows queue up behind those replayed.
    pending: deque[int] = field(default_factory=deque)


class Job:
    """One Jacobian in the making.

    Made by `catjac.submit`. All its work happens on the worker's thread of the model's device.

    Attributes
    ----------
    plan
        What is computed: sequence, mask, variant, letters, positions.
    priority
        How urgent it is; see `raise_priority`.
    error
        What went wrong, or None.
    """

    def __init__(
        self,
        plan: Plan,
        model: Any,
        *,
        batch_size: int | None = None,
        use_cache: bool = True,
        lazy: bool | str = "auto",
        priority: Priority = Priority.BACKGROUND,
    ) -> None:
        self.plan = plan
        self.priority = Priority(priority)
        self.error: BaseException | None = None
        self._model = model
        self._batch_size = batch_size
        self._use_cache = use_cache
        self._lock = threading.RLock()
        self._finished = threading.Event()
        self._cancelled = False
        self._state = "queued"
        self._message = "waiting for its turn"
        self._notes: list[str] = []
        self._untold: list[str] = []
        self._started: float | None = None
        self._ended: float | None = None
        self._seconds_a_row: float | None = None
        self._listeners: list[_Listener] = []
        self._worker: Worker | None = None
        self._needs_model = False
        self._entry: Entry | None = None
        self._data: np.ndarray | None = None
        self._done: set[int] = set()
        self._baseline: np.ndarray | None = None
        self._devices: set[str] = set()
        self._accumulator: Accumulator | None = None
        self._result: xr.DataArray | None = None
        self._slots = {position - 1: slot for slot, position in enumerate(plan.positions)}
        self._lazy = self._decide_lazy(lazy)
        self._steps: Iterator[None] | None = self._work()

    # ---- what a person uses

    @property
    def progress(self) -> Progress:
        """How far it is, now."""
        with self._lock:
            done, total = len(self._done), len(self.plan.wanted)
            left: float | None = None
            if self._state in ("done", "cancelled", "failed"):
                left = 0.0 if self._state == "done" else None
            elif self._seconds_a_row is not None:
                left = self._seconds_a_row * (total - done)
            seconds = 0.0 if self._started is None else (self._ended or time.monotonic()) - self._started
            return Progress(self._state, done, total, seconds, left, self._message)

    @property
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._finished.is_set()

    @property
    def partial(self) -> xr.DataArray:
        """The Jacobian so far; rows that are still to come are NaN and the attribute ``complete`` is 0."""
        if self._result is not None:
            return self._result
        with self._lock:
            if self._data is None and isinstance(self._entry, FolderEntry):
                return self._label(self._entry.lazy(), complete=False)
            values = np.full((len(self.plan.positions), *self.plan.row_shape), np.nan, dtype=self.plan.dtype)
            if self._data is not None:
                for index in self._done:
                    values[self._slots[index]] = self._data[self._slots[index]]
            return self._label(values, complete=False)

    def row(self, position: int) -> np.ndarray | None:
        """Row (A_in, L, A_out) of a 1-based position, None where it is not there yet; not to be changed."""
        index = position - 1
        with self._lock:
            if index not in self._done:
                return None
            return self._row(index)

    def cancel(self) -> None:
        """Stop after the batch in flight; its rows are kept."""
        self._cancelled = True
        if self._worker is not None:
            self._worker.wake()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; False if that took longer than `timeout` seconds."""
        return self._finished.wait(timeout)

    def result(self, timeout: float | None = None) -> xr.DataArray:
        """Wait for the Jacobian.

        Raises
        ------
        Cancelled
            If somebody cancelled it.
        CatjacError
            What went wrong, as a typed error.
        TimeoutError
            If it takes longer than `timeout` seconds; the job goes on.
        """
        if self._worker is not None and self._worker.owns_this_thread() and not self._finished.is_set():
            raise UsageError(
                "job.result() was called on the thread that computes the job; wait for it elsewhere."
            )
        if not self._finished.wait(timeout):
            raise TimeoutError(f"The Jacobian was not ready after {timeout:g} s; the job goes on.")
        self._tell()
        if self.error is not None:
            raise self.error
        assert self._result is not None
        return self._result

    def add_listener(self, row: RowListener | None = None, change: ChangeListener | None = None) -> None:
        """Be told of rows and changes, on the worker's thread; rows that are there already are replayed first.

        Parameters
        ----------
        row
            Called with the 1-based position and the row (A_in, L, A_out), which it must not change.
        change
            Called with the job when its state, progress or message changed, and once after the replay.
        """
        with self._lock:
            listener = _Listener(row, change, deque(sorted(self._done)) if row is not None else deque())
            self._listeners.append(listener)
        worker = self._worker or worker_for("cache")
        worker.add(_Replay(self, listener))

    def raise_priority(self, priority: Priority) -> None:
        """Make it at least that urgent."""
        self.priority = min(self.priority, Priority(priority))
        if self._worker is not None:
            self._worker.wake()

    def __repr__(self) -> str:
        progress = self.progress
        name = self.plan.sequence.name or f"{self.plan.length} residues"
        return (
            f"<Job: {self.plan.variant} Jacobian of {name} with {self.plan.model}, {progress.state}, "
            f"{progress.rows_done} of {progress.rows_total} rows>"
        )

    # ---- what the worker uses

    @property
    def urgency(self) -> Priority:
        """Ending a cancelled job and reading from the cache go before other sweeps."""
        if self._cancelled:
            return Priority.DRAG
        return self.priority if self._needs_model else min(self.priority, Priority.SCREEN)

    @property
    def yields_to_drags(self) -> bool:
        """A sweep waits while somebody drags, unless that is what it is for."""
        return self._needs_model and not self._cancelled and self.priority > Priority.DRAG

    def start_on(self, worker: Worker) -> None:
        """Queue it."""
        self._worker = worker
        worker.add(self)

    def read_here(self) -> bool:
        """Do the steps that need no model on the caller's thread; True if that was all."""
        while not self._needs_model and not self._finished.is_set():
            self.step()
        return self._finished.is_set()

    def step(self) -> bool:
        """See `Task`."""
        if self._finished.is_set() or self._steps is None:
            return True
        if self._started is None:
            self._started = time.monotonic()
            self._state = "running"
        try:
            if self._cancelled:
                raise Cancelled(self._kept_message("cancelled"))
            next(self._steps)
        except StopIteration:
            self._end("done", "done")
        except Cancelled as error:
            self.error = error
            self._end("cancelled", str(error))
        except Exception as error:
            self.error = error
            self._end("failed", str(error))
        else:
            self._changed()
            return False
        return True

    def _end(self, state: str, message: str) -> None:
        self._steps = None
        self._accumulator = None
        with self._lock:
            self._state, self._message, self._ended = state, message, time.monotonic()
            entry = self._entry
            # A Jacobian that is read from the folder piece by piece keeps its entry from eviction while we live.
            if entry is not None and not (self._data is None and state == "done"):
                cache.release(entry)
        self._finished.set()
        self._changed()

    def _kept_message(self, what: str) -> str:
        done, total = len(self._done), len(self.plan.wanted)
        kept = (
            "they are kept, and calling again continues"
            if self._entry is not None
            else "calling again starts anew"
        )
        return f"The Jacobian was {what} after {done} of {total} rows; {kept}."

    # ---- the work itself

    def _work(self) -> Iterator[None]:
        self._open()
        yield
        yield from self._read_rows()
        if len(self._done) < len(self.plan.wanted) or self._baseline is None:
            self._needs_model = True
            yield
            yield from self._compute()
        yield from self._summarise()
        values: Any = self._data
        if values is None:
            assert isinstance(self._entry, FolderEntry)
            values = self._entry.lazy()
        self._result = self._label(values, complete=True)

    def _decide_lazy(self, lazy: bool | str) -> bool:
        if lazy not in (True, False, "auto"):
            raise UsageError(f"lazy={lazy!r} is unknown; use 'auto', True or False.")
        folder = cache.entry_folder(self.plan) if self._use_cache else None
        wanted = lazy is True or (lazy == "auto" and self.plan.result_bytes > resources.LAZY_BYTES)
        if wanted and folder is not None and cache.folder is not None:
            missing = cache.find(self.plan) is None
            if missing:
                resources.check_disk(self.plan, cache.limit, _free_disk(cache.folder))
            return True
        if lazy is True:
            raise UsageError(
                "lazy=True reads the Jacobian from the cache folder, but there is none; "
                "leave out cache=False and set CATJAC_CACHE to a folder that can be written."
            )
        resources.check_memory(self.plan)
        return False

    def _open(self) -> None:
        plan = self.plan
        self._message = "looking into the cache"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", CacheWarning)
            entry = cache.open(plan) if self._use_cache else None
        for warning in caught:
            self._note(str(warning.message))
        if entry is not None:
            for note in entry.notes:
                self._note(note)
            cache.hold(entry)
            self._entry = entry
            done = entry.done()
            if isinstance(entry, FolderEntry) and not done.issuperset(plan.wanted):
                if not cache.make_room(entry):
                    self._note(
                        f"The Jacobian is larger than the cache may be ({cache.limit / 1e9:.2g} GB) and is not kept; "
                        "set CATJAC_CACHE_LIMIT to more."
                    )
                    cache.release(entry)
                    self._entry = None
                elif (message := cache.where_message(entry)) is not None:
                    self._message = message
                    _LOG.info(message)
            self._baseline = entry.read_beside("wild_type_logits")
            self._devices.update(entry.devices())
        if not (self._lazy and isinstance(self._entry, FolderEntry)):
            if self._lazy:
                resources.check_memory(plan)
            self._data = np.full((len(plan.positions), *plan.row_shape), np.nan, dtype=plan.dtype)
        visible = int(np.count_nonzero(~plan.mask.array))
        if self._entry is not None and sum(not plan.mask.masked[index] for index in plan.wanted) == visible:
            self._accumulator = Accumulator(plan)

    def _read_rows(self) -> Iterator[None]:
        """Take the rows that are in the cache already."""
        if self._entry is None:
            return
        self._message = "reading the cache"
        found = [index for index in sorted(self._entry.done()) if index in self._slots]
        until = time.monotonic() + _READING_SECONDS
        for index in found:
            if self._data is None:
                self._take(index)
            else:
                self._read_row(index)
            if time.monotonic() > until:
                yield
                until = time.monotonic() + _READING_SECONDS

    def _read_row(self, index: int) -> bool:
        """Take one row from the cache into memory; False if it is corrupt and has to be computed again."""
        assert self._entry is not None
        try:
            row = self._entry.read(index)
        except CorruptRowError as error:
            self._entry.discard(index)
            self._note(f"A row in the cache was corrupt and is computed again ({error}).")
            return False
        self._take(index, row)
        return True

    def _take(self, index: int, row: np.ndarray | None = None) -> None:
        """Count a row that came from the cache; without `row` it stays on disk."""
        cache.count(rows_read=1)
        if row is not None and self._data is not None:
            self._data[self._slots[index]] = row
        self._deliver(index, row)

    def _compute(self) -> Iterator[None]:
        plan = self.plan
        self._message = f"loading {plan.model}"
        self._changed()
        model = self._load()
        missing = [index for index in plan.wanted if index not in self._done]
        self._seconds_a_row = resources.check_time(plan, len(missing), model) / max(1, len(missing))
        self._message = "preparing the model"
        yield
        runner = model.prepare(plan.model_residues, plan.model_mask, plan.numerics)
        if self._baseline is None:
            self._baseline = wild_type_logits(runner, plan)
            self._keep(lambda entry: entry.write_beside("wild_type_logits", self._baseline))  # type: ignore[arg-type]
        device = str(model.device)
        self._devices.add(device)
        self._keep(lambda entry: entry.add_device(device))
        self._message = "computing"
        yield
        started = time.monotonic()
        for rows in batches(
            runner,
            plan,
            missing,
            resources.choose_batch_size(plan, model, self._batch_size),
            baseline=self._baseline,
            out=None if self._data is None else self._slot,
            still_missing=self._still_missing,
            on_smaller_batch=self._smaller_batch,
        ):
            for index, row in rows:
                cache.count(rows_computed=1)
                if self._accumulator is not None:
                    self._accumulator.add(index, row)
                self._keep(lambda entry, index=index, row=row: entry.write(index, row))  # type: ignore[misc]
                self._deliver(index, row)
            now = time.monotonic()
            if rows:
                measured = (now - started) / len(rows)
                first = len(missing) - len(rows) == len(plan.wanted) - len(self._done)
                known = measured if first or self._seconds_a_row is None else self._seconds_a_row
                self._seconds_a_row = 0.7 * known + 0.3 * measured
                started = now
            if isinstance(self._entry, FolderEntry):
                self._entry.touch()
            yield
            if rows:
                started = time.monotonic()  # Whatever was more urgent in between is not this job's time.

    def _load(self) -> LanguageModel:
        from pathlib import Path

        from catjac_widgets.language_models.protocol import LanguageModel
        from catjac_widgets.language_models.registry import resolve_model

        if isinstance(self._model, LanguageModel):
            return self._model
        model = resolve_model(self._model)
        if isinstance(self._model, str | Path):
            if _LOADED_MODELS.get(id(model)) is not model:
                _LOADED_MODELS[id(model)] = model
                cache.count(models_loaded=1)
            if model.fingerprint != self.plan.fingerprint:
                raise ModelError(
                    f"The checkpoint of {self.plan.model} changed while it was read; call again."
                )
        return model

    def _slot(self, index: int) -> np.ndarray:
        assert self._data is not None
        return self._data[self._slots[index]]

    def _still_missing(self, index: int) -> bool:
        """Whether a row is still to be computed; another process or job may have made it meanwhile."""
        if index in self._done:
            return False
        if self._entry is None or not self._entry.has(index):
            return True
        if self._data is None:
            self._take(index)
            return False
        return not self._read_row(index)

    def _smaller_batch(self, size: int) -> None:
        self._note(f"The device ran out of memory; going on with {size} sequences a batch.")

    def _keep(self, write: Callable[[Entry], None]) -> None:
        """Write to the entry; where that fails, go on in memory."""
        if self._entry is None:
            return
        try:
            write(self._entry)
        except OSError as error:
            entry = self._entry
            self._note(
                f"The cache folder cannot be written any more ({error.strerror or error}); "
                "the Jacobian goes on in memory and is not kept after this."
            )
            if self._data is None:
                resources.check_memory(self.plan)
                data = np.full(
                    (len(self.plan.positions), *self.plan.row_shape), np.nan, dtype=self.plan.dtype
                )
                for index in self._done:
                    data[self._slots[index]] = entry.read(index)
                self._data = data
            self._accumulator = None
            cache.release(entry)
            self._entry = None

    def _summarise(self) -> Iterator[None]:
        """Store the contact map, block norms and means beside the completed rows."""
        if (
            self._entry is None
            or self._accumulator is None
            or self._entry.read_beside("contacts") is not None
        ):
            return
        self._message = "making the contact map"
        try:
            for made in self._accumulator.finish(self._row):
                if made is not None:
                    for name, values in made.items():
                        self._keep(lambda entry, name=name, values=values: entry.write_beside(name, values))  # type: ignore[misc]
                yield
        except CorruptRowError as error:
            self._note(f"A row in the cache was corrupt and will be computed again ({error}).")

    def _row(self, index: int) -> np.ndarray:
        if self._data is not None:
            return self._data[self._slots[index]]
        assert self._entry is not None
        return self._entry.read(index)

    def _label(self, values: Any, *, complete: bool) -> xr.DataArray:
        return label_jacobian(
            values,
            self.plan,
            wild_type_logits=self._baseline,
            devices=sorted(self._devices),
            complete=complete,
        )

    # ---- telling

    def _note(self, text: str) -> None:
        """Remember something that a person should know; `result` passes it on as a warning."""
        if text not in self._notes:
            self._notes.append(text)
            self._untold.append(text)
            self._message = text

    def _tell(self) -> None:
        while self._untold:
            warnings.warn(self._untold.pop(0), CacheWarning, stacklevel=3)

    def _deliver(self, index: int, row: np.ndarray | None = None) -> None:
        with self._lock:
            self._done.add(index)
            ready = []
            for listener in self._listeners:
                if listener.row is None:
                    continue
                if listener.pending:
                    listener.pending.append(index)
                else:
                    ready.append(listener)
        for listener in ready:
            self._call_row(listener, index, row)

    def _call_row(self, listener: _Listener, index: int, row: np.ndarray | None = None) -> None:
        assert listener.row is not None
        try:
            listener.row(index + 1, self._row(index) if row is None else row)
        except Exception:
            _LOG.exception("a row listener failed")

    def _changed(self, listeners: list[_Listener] | None = None) -> None:
        for listener in list(self._listeners) if listeners is None else listeners:
            if listener.change is not None and not listener.pending:
                try:
                    listener.change(self)
                except Exception:
                    _LOG.exception("a change listener failed")


class _Replay:
    """Tells one listener what it has missed, on the worker's thread."""

    urgency = Priority.SCREEN
    yields_to_drags = False

    def __init__(self, job: Job, listener: _Listener) -> None:
        self.job, self.listener = job, listener

    def step(self) -> bool:
        until = time.monotonic() + _READING_SECONDS
        pending = self.listener.pending
        while pending:
            self.job._call_row(self.listener, pending[0])
            pending.popleft()
            if time.monotonic() > until:
                break
        if pending:
            return False
        self.job._changed([self.listener])
        return True


def _free_disk(folder: Any) -> int:
    for existing in (folder, *folder.parents):
        if existing.exists():
            return shutil.disk_usage(existing).free
    return 0
