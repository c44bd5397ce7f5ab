"""The rows of one Jacobian as they come together: in memory, or in a cache entry that is read when used."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.block_math.centring import letter_centred_norms
from catjac_widgets.block_math.summaries import Accumulator
from catjac_widgets.engine.cache.entries import CorruptRowError, Entry
from catjac_widgets.engine.cache.store import LIMIT_VARIABLE, cache
from catjac_widgets.engine.compute import memory as resources
from catjac_widgets.engine.compute.error_check import sampled_rows
from catjac_widgets.engine.jobs.lazy_requests import stay_on_disk
from catjac_widgets.engine.labels import in_dask, label_jacobian
from catjac_widgets.engine.rounding import round_to_bits
from catjac_widgets.errors import CacheError
from catjac_widgets.language_models.identity import not_kept

if TYPE_CHECKING:
    import xarray as xr

    from catjac_widgets.engine.plans.request import JacobianRequest


class Rows:
    """Where the rows of a request are, and which of them are there.

    Parameters
    ----------
    request
        What is asked for.
    on_note
        Told what a person should know.

    Attributes
    ----------
    done
        0-based positions whose row is there.
    found
        The entry that was in the cache at the start, if there was one; it is looked for once.
    baseline
        Logits of the wild type (L, A_out), None where they are not known.
    numerics_error
        How far approximate numerics are from exact ones, None where that was not measured.

    Raises
    ------
    ResourceError, UsageError
        See `stay_on_disk`.
    """

    def __init__(self, request: JacobianRequest, on_note: Callable[[str], None]) -> None:
        self.request, self.plan = request, request.plan
        self.done: set[int] = set()
        self.found: Entry | None = None
        self.baseline: np.ndarray | None = None
        self.numerics_error: float | None = None
        self._on_note = on_note
        self._in_cache: set[int] | None = None
        #: Guards what `partial` looks at from other threads.
        self._lock = threading.RLock()
        self._entry: Entry | None = None
        #: Whether there is no room in the cache, so that the entry is only read from.
        self._reads_only = False
        self._data: np.ndarray | None = None
        self._devices: set[str] = set()
        self._accumulator: Accumulator | None = None
        self._norms: dict[int, np.ndarray] = {}
        self._slots = {position - 1: slot for slot, position in enumerate(self.plan.positions)}
        self._lazy = stay_on_disk(request, lambda: self.answered, self._there)

    # ---- what is known without reading a row

    @property
    def in_cache(self) -> set[int]:
        """0-based positions that were asked for and whose row the cache had when it was looked at first."""
        if self._in_cache is None:
            self.found = cache.find(self.plan) if self.request.uses_cache else None
            self._in_cache = set() if self.found is None else self.found.done() & set(self.plan.wanted)
        return self._in_cache

    @property
    def answered(self) -> bool:
        """Whether, by all that is known, the cache answers the request without the model."""
        if len(self.in_cache) < len(self.plan.wanted) or self.found is None:
            return False
        return not self._error_is_open or self.found.read_beside("numerics_error") is not None

    @property
    def complete(self) -> bool:
        """Whether nothing is left for the model to do."""
        everything = len(self.done) == len(self.plan.wanted) and self.baseline is not None
        return everything and not self._error_is_open

    @property
    def _error_is_open(self) -> bool:
        """Whether the error of approximate numerics is still to be measured."""
        return self.plan.is_approximate and self.numerics_error is None and bool(self.error_sample)

    @property
    def error_sample(self) -> list[int]:
        """0-based positions to compute exactly too; chosen by the request, whatever was done before."""
        return sampled_rows(list(self.plan.wanted))

    @property
    def keeps(self) -> bool:
        """Whether rows done so far will be there for the next call."""
        return self._entry is not None and not self._reads_only

    @property
    def in_memory(self) -> bool:
        """Whether rows lie in memory."""
        return self._data is not None

    def _there(self) -> tuple[int, int]:
        """How many rows the entry has, and how many of those asked for are missing."""
        missing = len(self.plan.wanted) - len(self.in_cache)
        return 0 if self.found is None else len(self.found.done()), missing

    # ---- opening

    def open(self) -> None:
        """Open the entry, and take from it what lies beside the rows."""
        plan, known = self.plan, self.in_cache
        if self.request.cache and not self.request.uses_cache:
            self._on_note(not_kept(self.request.identity))
        entry = cache.open(plan, self._on_note, self.found) if self.request.uses_cache else None
        if entry is not None:
            for note in entry.notes:
                self._on_note(note)
            cache.hold(entry)
            with self._lock:
                self._entry = entry
            if len(known) < len(plan.wanted):
                self._make_room(entry, len(plan.wanted) - len(known))
            self.baseline = entry.read_beside("wild_type_logits")
            self._devices.update(entry.devices())
            if plan.is_approximate and (error := entry.read_beside("numerics_error")) is not None:
                self.numerics_error = float(error[0])
        if self._lazy and (not self.keeps or not entry or not entry.store.reads_lazily):
            resources.check_memory(plan)
            self._lazy = False
        if not self._lazy:
            self._data = self._empty()
        if (
            self.keeps
            and self._entry is not None
            and len(plan.wanted) == len(plan.runnable)
            and not _summarised(self._entry)
        ):
            self._accumulator = Accumulator(
                plan.row_shape,
                plan.mask.array,
                plan.dtype,
                one_sided=plan.causal,
                apc=plan.apc,
                alphabets=plan.blocks,
            )

    def _make_room(self, entry: Entry, missing: int) -> None:
        reason = cache.make_room(entry, missing)
        if not reason:
            message = cache.where_message(self.plan, missing)
            if message is not None:
                self._on_note(message)
            return
        self._on_note(f"The Jacobian {reason} and is not kept; set {LIMIT_VARIABLE} to more.")
        if entry.done():
            self._reads_only = True
            return
        cache.give_up(entry)
        with self._lock:
            self._entry = None

    def _empty(self) -> np.ndarray:
        return np.full((len(self.plan.positions), *self.plan.row_shape), np.nan, dtype=self.plan.dtype)

    # ---- rows come

    def kept(self) -> list[int]:
        """0-based positions in the entry that were asked for, ascending."""
        return [] if self._entry is None else sorted(self._entry.done().intersection(self._slots))

    def take(self, index: int) -> np.ndarray | None:
        """Take one row from the entry, and return it where it was read.

        A row that stays on disk is not read, only its size was looked at.

        Raises
        ------
        CorruptRowError
            If it is corrupt and has to be computed again; it was discarded, and a note was made.
        """
        assert self._entry is not None
        row = None
        if self._data is not None:
            try:
                row = self._data[self._slots[index]]
                row[...] = self._entry.read(index)
            except CorruptRowError as error:
                self._on_note(f"A row in the cache was corrupt and is computed again ({error}).")
                raise
            cache.count(rows_read=1)
            if self._accumulator is not None:
                self._accumulator.add(index, row)
        with self._lock:
            self.done.add(index)
        return row

    def slot(self, index: int) -> np.ndarray:
        """Where to put the row of a position; a new array where rows do not stay in memory."""
        if self._data is None:
            return np.empty(self.plan.row_shape, self.plan.dtype)
        return self._data[self._slots[index]]

    def put(self, index: int, row: np.ndarray) -> None:
        """Take a row that was computed, and keep it; one that is kept with fewer bits is rounded in place."""
        if self.plan.rows_bits is not None:
            round_to_bits(row, self.plan.rows_bits)
        if self._accumulator is not None:
            self._accumulator.add(index, row)
        self.keep(lambda entry: entry.write(index, row))
        if self._data is not None and not np.may_share_memory(self._data, row):
            # The disk is full: rows do not stay there any more.
            self._data[self._slots[index]] = row
        with self._lock:
            self.done.add(index)

    def forget(self, indices: Iterable[int]) -> None:
        """Take back rows of some positions that turned out to be wrong, also from the entry."""
        with self._lock:
            for index in indices:
                self.done.discard(index)
                if self._entry is not None:
                    self._entry.discard(index)

    def look_again(self) -> None:
        """Check all rows that lie in the entry only, because one of them turned out to be damaged."""
        entry = self._entry
        if self._data is not None or entry is None:
            return
        for index in sorted(self.done):
            with contextlib.suppress(CorruptRowError):
                entry.read(index)
        with self._lock:
            self.done &= entry.done()

    def missing(self, index: int) -> bool:
        """Whether a row is neither here nor in the entry, where others may put it too."""
        return index not in self.done and (self._entry is None or not self._entry.has(index))

    def claim(self, indices: list[int]) -> bool:
        """Claim rows to compute; False if another process computes one of them now."""
        return self._entry is None or self._reads_only or self._entry.claim(indices)

    def give_back(self, indices: Iterable[int]) -> None:
        """Give up claims at rows that are done."""
        if self._entry is not None:
            self._entry.give_back(indices)

    # ---- keeping

    def keep(self, write: Callable[[Entry], None]) -> None:
        """Write to the entry; where that fails, go on in memory."""
        entry = self._entry
        if entry is None or self._reads_only:
            return
        try:
            write(entry)
            entry.store.touch(self.plan.key)
        except OSError as error:
            self._on_note(
                f"The cache cannot be written any more ({error.strerror or error}); "
                "the Jacobian goes on in memory, and its further rows are not kept after this."
            )
            if self._data is None:
                self._bring_to_memory(entry)
            self._accumulator = None
            cache.release(entry)
            with self._lock:
                self._entry = None

    def keep_beside(self, name: str, values: np.ndarray) -> None:
        """Keep an array beside the rows."""
        self.keep(lambda entry: entry.write_beside(name, values))

    def add_device(self, name: str) -> None:
        """Note where rows are computed."""
        self._devices.add(name)
        self.keep(lambda entry: entry.add_device(name))

    def _bring_to_memory(self, entry: Entry) -> None:
        resources.check_memory(self.plan)
        data, sound = self._empty(), set()
        for index in sorted(self.done):
            try:
                data[self._slots[index]] = entry.read(index)
                sound.add(index)
            except CorruptRowError as error:
                self._on_note(f"A row in the cache was corrupt and is computed again ({error}).")
        with self._lock:
            self._data, self.done = data, sound

    def summaries(self) -> Accumulator | None:
        """Return what gathers the arrays beside a complete Jacobian; None where they are there."""
        entry, accumulator = self._entry, self._accumulator
        if entry is None or accumulator is None:
            return None
        return None if _summarised(entry) else accumulator

    def close(self, *, complete: bool) -> None:
        """Let the entry go; an array that reads from it holds it for as long as there is one."""
        with self._lock:
            self._accumulator = None
        if self._entry is not None:
            cache.release(self._entry)

    # ---- what others look at

    def row(self, index: int) -> np.ndarray:
        """Row (A_in, L, A_out) of a 0-based position that is done; not to be changed."""
        with self._lock:
            if self._data is not None:
                return self._data[self._slots[index]]
            assert self._entry is not None
            return self._entry.read(index)

    def look_at(self, index: int) -> np.ndarray | None:
        """Row of a 0-based position that somebody asks for, None where it is not there; counted if read."""
        if index not in self.done:
            return None
        if not self.in_memory:
            cache.count(rows_read=1)
        return self.row(index)

    def norms(self, index: int) -> np.ndarray:
        """Norms (L,) of the blocks of a row that is done, centred over its letters; computed once."""
        with self._lock:
            known = None if self._accumulator is None else self._accumulator.norms(index)
            if known is None and not self._norms and self._entry is not None:
                stored = self._entry.read_beside("block_norms")
                if stored is not None:
                    self._norms = dict(enumerate(stored))
            if known is None:
                known = self._norms.get(index)
            if known is None:
                known = letter_centred_norms(self.row(index), self.plan.blocks).astype(self.plan.dtype)
                self._norms[index] = known
            return known

    def partial(self) -> xr.DataArray:
        """Label what is there so far; the rest is NaN."""
        with self._lock:
            if self._data is None and self._entry is not None and self._lazy:
                return self._label(self._entry.lazy(frozenset(self.done)), complete=False)
            values = self._empty()
            if self._data is not None:
                for index in list(self.done):
                    values[self._slots[index]] = self._data[self._slots[index]]
            return self._label(values, complete=False)

    def result(self) -> xr.DataArray:
        """Label the complete rows.

        Raises
        ------
        CacheError
            If rows that lie in the entry only are not there any more.
        """
        made = self._whole()
        return in_dask(made) if self.request.lazy == "dask" else made

    def _whole(self) -> xr.DataArray:
        if self._data is not None:
            return self._label(self._data, complete=True)
        assert self._entry is not None
        gone = set(self.plan.wanted) - self._entry.done()
        if gone:
            raise CacheError(
                f"Row {min(gone) + 1} of the Jacobian vanished from {self._entry.store.name} while others "
                "were computed; call again to have it computed anew."
            )
        return self._label(self._entry.lazy(frozenset(self.done)), complete=True)

    def _label(self, values: Any, *, complete: bool) -> xr.DataArray:
        return label_jacobian(
            values,
            self.plan,
            wild_type_logits=self.baseline,
            numerics_error=self.numerics_error,
            devices=sorted(self._devices),
            complete=complete,
        )


def _summarised(entry: Entry) -> bool:
    """Whether all that can be said of complete rows lies beside them."""
    names = [name for name in entry.plan.beside_shapes if name not in ("wild_type_logits", "numerics_error")]
    return all(entry.read_beside(name) is not None for name in names)
