"""Mask scans: maps of one sequence under many masks, a block of masks at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.engine.backends.threads import worker_for, worker_of
from catjac_widgets.engine.cache.store import cache as the_cache
from catjac_widgets.engine.compute.passes import batches_that_fit
from catjac_widgets.engine.jobs.kept_rows import KeptRows
from catjac_widgets.engine.jobs.loading import AlteredModelCheck, load_for
from catjac_widgets.engine.jobs.waiting import INTERRUPT_SECONDS, wait_for
from catjac_widgets.engine.jobs.work import Work
from catjac_widgets.engine.plans.mask_scan import MapKind, MaskScanPlan
from catjac_widgets.engine.priorities import Priority
from catjac_widgets.errors import ModelError, SequenceError
from catjac_widgets.language_models.identity import not_kept
from catjac_widgets.progress import progress_bar
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.sequences import Sequence

if TYPE_CHECKING:
    from catjac_widgets.language_models.base import LanguageModel

#: On a CPU a block is computed in parts of about this long, between which a drag or a cancellation is heard.
PART_SECONDS = 0.25

BlockListener = Callable[[int, np.ndarray], None]


class MaskScan(Work):
    """A mask scan in the making, a block a step.

    Parameters
    ----------
    plan
        What is computed.
    model
        A name or path, loaded only if maps are missing, or a language model.
    on_block
        Called on the worker's thread with the number of the first mask and maps (m, L, L) float32, in
        ascending order; what it raises ends the scan.
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
    """

    def __init__(
        self,
        plan: MaskScanPlan,
        model: Any,
        on_block: BlockListener,
        *,
        use_cache: bool = True,
        priority: Priority = Priority.SCREEN,
    ) -> None:
        super().__init__(model, priority)
        self.plan = plan
        self.masks_done = self.masks_computed = 0
        self._on_block, self._use_cache = on_block, use_cache
        self._rows = KeptRows(plan, use_cache, self.note, "scan")

    def start(self) -> MaskScan:
        """Queue it: with the worker of the model's device, or beside it if all maps are in the cache."""
        entry = the_cache.find(self.plan) if self._use_cache else None
        answered = entry is not None and len(entry.done()) == self.plan.blocks
        self.start_on(worker_for("cache") if answered else worker_of(self._model))
        return self

    def kept_message(self, what: str) -> str:
        """See `Work`."""
        kept = "they are kept, and calling again continues" if self._rows.keeps else "they are not kept"
        return f"The scan was {what} after {self.masks_done} of {len(self.plan.masks)} masks; {kept}."

    def _work(self) -> Iterator[None]:
        plan = self.plan
        self._rows.open()
        try:
            for index in range(plan.blocks):
                maps = self._rows.read(index)
                if maps is None:
                    maps = yield from self._compute(index)
                else:
                    the_cache.count(rows_read=len(maps))
                self._on_block(plan.selection(index).start, maps)
                self.masks_done = self.masks_computed = plan.selection(index).stop
                yield
        finally:
            self._rows.close()

    def _compute(self, index: int) -> Generator[None, None, np.ndarray]:
        if not self.needs_model:
            self.needs_model = True
            yield  # until here it may have been done beside the device
            self._rows.make_room(self.plan.blocks - index)
            self._model = load_for(self._model, self.plan.model, self.plan.fingerprint)
        model, plan, chosen = self._model, self.plan, self.plan.selection(index)
        masks = [Mask.from_array(row) if row.any() else None for row in plan.masks[chosen]]
        parts: list[np.ndarray] = []
        for part, made in batches_that_fit(
            lambda part: plan.maps.make(model, plan.sequence, masks[part]),
            len(masks),
            self._masks_a_part(model),
            plan.model,
        ):
            parts.append(made)
            if part.stop < len(masks):
                self.masks_computed = chosen.start + part.stop
                yield
        maps = np.concatenate(parts)
        if not np.isfinite(maps).all():
            raise ModelError(f"{plan.model} gives maps that are not finite.")
        AlteredModelCheck(model, plan.model, plan.fingerprint).now()
        maps = np.ascontiguousarray(maps, dtype=plan.dtype)
        the_cache.count(rows_computed=len(maps))
        self._rows.write(index, maps, str(model.device))
        return maps

    def _masks_a_part(self, model: LanguageModel) -> int:
        """How many masks to compute in one go: a GPU wants them all, on a CPU others wait."""
        plan = self.plan
        if plan.maps.slow:
            return 1
        if getattr(model.device, "type", "cpu") != "cpu":
            return plan.chunk_length
        seconds = model.seconds_per_sequence(len(plan.sequence))
        return max(1, min(plan.chunk_length, int(PART_SECONDS / seconds)))


def scan_masks(
    sequence: Sequence,
    model: Any,
    masks: np.ndarray,
    on_block: BlockListener,
    *,
    maps: MapKind,
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
        A name, path or model. With a name, an answer from the cache loads nothing.
    masks
        Bool (n, L), True = hidden.
    on_block
        See `MaskScan`; so no more than a block of maps need be in memory.
    maps
        What the maps are and how they are made.
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
        If the model cannot make such maps, its checkpoint changed meanwhile, or maps are not finite.
    SequenceError
        If the model takes no sequence that long.
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
    maps.check(identity)
    if identity.max_residues is not None and len(sequence) > identity.max_residues:
        raise SequenceError(
            f"The sequence has {len(sequence)} residues, but {identity.name} takes at most "
            f"{identity.max_residues}; cut it into domains or choose a model that takes more."
        )
    plan = MaskScanPlan(sequence, np.asarray(masks), identity.name, identity.fingerprint, maps)
    scan = MaskScan(plan, resolved, on_block, use_cache=cache and not identity.unseen, priority=priority)
    if cache and identity.unseen:
        scan.note(not_kept(identity))
    if stop is not None and stop.is_set():
        scan.cancel()  # A short scan could be over before anybody looks again.
    name = sequence.name or f"{len(sequence)} residues"
    description = f"Maps of {name} under masks, {identity.name}"
    try:
        with progress_bar(description, len(plan.masks), unit="mask", shown=progress) as bar:
            scan.start()
            wait_for(scan, lambda: bar.show(scan.masks_computed), stop=stop)
    except KeyboardInterrupt:
        scan.cancel()
        scan.wait(INTERRUPT_SECONDS)
        raise KeyboardInterrupt(scan.kept_message("interrupted")) from None
    scan.raise_for_error()
