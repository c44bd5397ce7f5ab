"""Scans: maps of one sequence under many masks, a block of masks at a time."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from catjac_widgets.engine.backends.threads import Priority, worker_for
from catjac_widgets.engine.cache.entries import CorruptRowError, Entry
from catjac_widgets.engine.cache.info import CacheWarning
from catjac_widgets.engine.cache.store import cache as the_cache
from catjac_widgets.engine.compute.sweep import OutOfMemory, free_device_memory, on_device
from catjac_widgets.engine.jobs.waiting import INTERRUPT_SECONDS, wait_for
from catjac_widgets.engine.plans.mask_scan import CONTACT_HEAD, MaskScanPlan
from catjac_widgets.errors import Cancelled, DeviceError, ModelError, SequenceError
from catjac_widgets.language_models.base import ContactHead
from catjac_widgets.progress import progress_bar
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.sequences import Sequence

#: On a CPU a block is computed in parts of about this long, between which a drag or a cancellation is heard.
PART_SECONDS = 0.25

BlockListener = Callable[[int, np.ndarray], None]
#: Makes maps (m, L, L) of a loaded model, residues and m masks.
MapMaker = Callable[[Any, Sequence, list[Mask | None]], np.ndarray]


class MaskScan:
    """A scan in the making, a block a step; a `Task` of the worker.

    Parameters
    ----------
    plan
        What is computed.
    model
        A name or path, loaded only if maps are missing, or a language model.
    on_block
        Called on the worker's thread with the number of the first mask and maps (m, L, L) float32, in
        ascending order; what it raises ends the scan.
    make
        Makes the maps; `contact_head_maps` by default.
    use_cache
        Whether maps are taken from the cache and kept there.
    priority
        How urgent it is.

    Attributes
    ----------
    masks_done
        How many maps were passed on.
    masks_computed
        How many maps there are, those of the block in hand included.
    error
        What went wrong, or None.
    notes
        What a person should know although the maps are right.
    """

    def __init__(
        self,
        plan: MaskScanPlan,
        model: Any,
        on_block: BlockListener,
        *,
        make: MapMaker | None = None,
        use_cache: bool = True,
        priority: Priority = Priority.SCREEN,
    ) -> None:
        self.plan, self.priority = plan, priority
        self._make = make or contact_head_maps
        self.masks_done = self.masks_computed = 0
        self.error: BaseException | None = None
        self.notes: list[str] = []
        self._model, self._on_block, self._use_cache = model, on_block, use_cache
        self._keeps = use_cache and not the_cache.is_off
        self._cancelled = False
        self._finished = threading.Event()
        self._steps: Iterator[None] | None = self._work()

    # ---- for whoever started it

    def start(self) -> MaskScan:
        """Queue it: on the model's device, or beside it if all maps are in the cache."""
        entry = the_cache.find(self.plan) if self._use_cache else None
        if entry is not None and len(entry.done()) == self.plan.blocks:
            worker = worker_for("cache")
        else:
            worker = worker_for(_device_of(self._model))
        if worker.owns_this_thread():
            while not self.step():
                pass
        else:
            worker.add(self)
        return self

    def cancel(self) -> None:
        """Stop after the part in hand; blocks done are kept."""
        self._cancelled = True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; False if that took longer than `timeout` seconds."""
        return self._finished.wait(timeout)

    def raise_for_error(self) -> None:
        """Raise what went wrong, if anything did."""
        for note in self.notes:
            warnings.warn(note, CacheWarning, stacklevel=3)
        if self.error is not None:
            raise self.error

    # ---- what drives it

    @property
    def urgency(self) -> Priority:
        """See `Task`."""
        return Priority.DRAG if self._cancelled else self.priority

    @property
    def yields_to_drags(self) -> bool:
        """See `Task`."""
        return not self._cancelled

    def step(self) -> bool:
        """See `Task`."""
        if self._steps is None:
            return True
        try:
            if self._cancelled:
                raise Cancelled(self._stopped("cancelled"))
            next(self._steps)
            return False
        except StopIteration:
            pass
        except Exception as error:
            self.error = error
            self._steps.close()  # type: ignore[attr-defined]
        self._steps = None
        self._finished.set()
        return True

    def _stopped(self, what: str) -> str:
        kept = "they are kept, and calling again continues" if self._keeps else "they are not kept"
        return f"The scan was {what} after {self.masks_done} of {len(self.plan.masks)} masks; {kept}."

    def _work(self) -> Iterator[None]:
        plan = self.plan
        entry = the_cache.open(plan, self.notes.append) if self._use_cache else None
        if entry is not None:
            the_cache.hold(entry)
        keep = entry
        try:
            for index in range(plan.blocks):
                maps = self._read(entry, index)
                if maps is None:
                    if keep is not None and index not in keep.done() and not the_cache.make_room(keep):
                        self.notes.append("The scan is larger than the cache may be and is not kept.")
                        keep, self._keeps = None, False
                    maps = yield from self._compute(index)
                    keep = self._write(keep, index, maps)
                self._on_block(plan.selection(index).start, maps)
                self.masks_done = self.masks_computed = plan.selection(index).stop
                yield
        finally:
            if entry is not None:
                the_cache.release(entry)

    def _read(self, entry: Entry | None, index: int) -> np.ndarray | None:
        if entry is None or not entry.has(index):
            return None
        try:
            maps = entry.read(index)
        except CorruptRowError as error:
            entry.discard(index)
            self.notes.append(f"{error}; it was computed anew.")
            return None
        the_cache.count(rows_read=len(maps))
        return maps

    def _write(self, entry: Entry | None, index: int, maps: np.ndarray) -> Entry | None:
        the_cache.count(rows_computed=len(maps))
        if entry is None:
            return None
        try:
            entry.write(index, maps)
            entry.add_device(str(_device_of(self._model)))
        except OSError as error:
            self._keeps = False
            self.notes.append(
                f"The maps could not be kept ({error.strerror or error}); they are computed on."
            )
            return None
        return entry

    def _compute(self, index: int) -> Generator[None, None, np.ndarray]:
        from catjac_widgets.language_models.registry import resolve_model

        if isinstance(self._model, str | Path):
            self._model = resolve_model(self._model)
            the_cache.count(models_loaded=1)
        chosen = self.plan.selection(index)
        masks: list[Mask | None] = [
            Mask.from_array(row) if row.any() else None for row in self.plan.masks[chosen]
        ]
        size = self._masks_a_part()
        parts: list[np.ndarray] = []
        for first in range(0, len(masks), size):
            if first:
                self.masks_computed = chosen.start + first
                yield
            parts.append(
                _in_parts(
                    lambda part: self._make(self._model, self.plan.sequence, part),
                    masks[first : first + size],
                    self.plan.model,
                )
            )
        maps = np.concatenate(parts)
        if not np.isfinite(maps).all():
            raise ModelError(f"{self.plan.model} gives maps that are not finite.")
        return np.ascontiguousarray(maps, dtype=self.plan.dtype)

    def _masks_a_part(self) -> int:
        """How many masks to compute in one go: a GPU wants them all, on a CPU others wait."""
        if self.plan.kind != CONTACT_HEAD:
            return 1
        if getattr(self._model.device, "type", "cpu") != "cpu":
            return self.plan.chunk_length
        seconds = self._model.seconds_per_sequence(len(self.plan.sequence))
        return max(1, min(self.plan.chunk_length, int(PART_SECONDS / seconds)))


def contact_head_maps(model: Any, sequence: Sequence, masks: list[Mask | None]) -> np.ndarray:
    """Contact probabilities (m, L, L) under each mask, see `ContactHead`."""
    if not isinstance(model, ContactHead):
        raise ModelError(f"{model.name} gives no contact probabilities; use source='jacobian'.")
    return model.contact_probabilities(sequence.residues, masks)


def _in_parts(
    run: Callable[[list[Mask | None]], np.ndarray], masks: list[Mask | None], name: str
) -> np.ndarray:
    """Run masks in one batch, or in halves of it where the device's memory does not suffice."""
    try:
        return on_device(lambda: run(masks))
    except OutOfMemory as error:
        if len(masks) == 1:
            raise DeviceError(
                f"The device has not enough memory for one sequence with {name}; use a smaller model, a "
                "shorter sequence or another device."
            ) from error.__cause__
    free_device_memory()
    half = len(masks) // 2
    return np.concatenate([_in_parts(run, masks[:half], name), _in_parts(run, masks[half:], name)])


def scan_masks(
    sequence: Sequence,
    model: Any,
    masks: np.ndarray,
    on_block: BlockListener,
    *,
    kind: str = CONTACT_HEAD,
    make: MapMaker | None = None,
    most_masks: int = 64,
    cache: bool = True,
    progress: bool = True,
    priority: Priority = Priority.SCREEN,
    stop: threading.Event | None = None,
) -> None:
    """Compute, or read from the cache, the map under each of many masks, and pass them on.

    Parameters
    ----------
    sequence
        L checked residues (`as_sequence` with the model's letters).
    model
        A name, path or model, with a fitted contact head by default. With a name, an answer from the cache
        loads nothing.
    masks
        Bool (n, L), True = hidden.
    on_block
        See `MaskScan`; so no more than a block of maps need be in memory.
    kind, make, most_masks
        For maps other than those of the contact head: what they are (part of the key), the function that
        makes them on the worker's thread, and how many a block may hold.
    cache
        Whether maps are taken from the store and kept there, under one key for all masks together.
    progress
        Show a bar if it takes a while.
    priority
        How urgent it is among other work of the device.
    stop
        Set it from another thread to cancel.

    Raises
    ------
    ModelError
        If the model has no fitted contact head, or gives numbers that are not finite.
    MaskError
        If the masks do not fit the sequence.
    Cancelled
        If `stop` was set; blocks done are kept, and calling again continues.
    DeviceError
        If one sequence is too much for the device, or the device is lost.
    """
    from catjac_widgets.language_models.registry import identify, resolve_model

    resolved = model if isinstance(model, str | Path) else resolve_model(model)
    identity = identify(resolved)
    if kind == CONTACT_HEAD and not identity.has_contact_head:
        raise ModelError(
            f"{identity.name} has no fitted contact head; use source='jacobian', or a model with one."
        )
    if identity.max_residues is not None and len(sequence) > identity.max_residues:
        raise SequenceError(
            f"The sequence has {len(sequence)} residues, but {identity.name} takes at most "
            f"{identity.max_residues}; cut it into domains or choose a model that takes more."
        )
    plan = MaskScanPlan(sequence, np.asarray(masks), identity.name, identity.fingerprint, kind, most_masks)
    scan = MaskScan(plan, resolved, on_block, make=make, use_cache=cache, priority=priority)
    if stop is not None and stop.is_set():
        scan.cancel()  # A short scan could be over before anybody looks again.
    try:
        scan.start()
        _wait(scan, progress, stop)
    except KeyboardInterrupt:
        scan.cancel()
        scan.wait(INTERRUPT_SECONDS)
        raise KeyboardInterrupt(scan._stopped("interrupted")) from None
    scan.raise_for_error()


def _device_of(model: Any) -> Any:
    if isinstance(model, str | Path):
        from catjac_widgets.language_models.devices import choose_device

        return choose_device(None)
    return model.device


def _wait(scan: MaskScan, progress: bool, stop: threading.Event | None) -> None:
    sequence = scan.plan.sequence
    description = f"Maps of {sequence.name or f'{len(sequence)} residues'} under masks, {scan.plan.model}"
    with progress_bar(description, len(scan.plan.masks), unit="mask", shown=progress) as bar:
        wait_for(scan, lambda: bar.show(scan.masks_computed), stop=stop)
