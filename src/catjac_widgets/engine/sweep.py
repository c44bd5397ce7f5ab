"""The sweep: run a plan's substitutions in batches and yield rows. No threads, no store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np

from catjac_widgets.errors import DeviceError, ModelError

if TYPE_CHECKING:
    from catjac_widgets.engine.plan import Plan
    from catjac_widgets.language_models.protocol import Runner, Substitution

Row = tuple[int, np.ndarray]

_OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")
_DEVICE_LOST = ("cuda error", "hip error", "device-side assert", "cudnn error", "mps backend")


def wild_type_logits(runner: Runner, plan: Plan) -> np.ndarray:
    """Logits of the unchanged (or masked) input, shape (L, A), without the linker's residues.

    Raises
    ------
    ModelError
        If the model gives a number that is not finite.
    DeviceError
        If the device has not enough memory, or is lost.
    """
    try:
        logits = on_device(runner.wild_type)[plan.kept].astype(plan.dtype, copy=False)
    except OutOfMemory as error:
        raise DeviceError(_too_large(plan)) from error.__cause__
    if not np.isfinite(logits).all():
        index = int(np.flatnonzero(~np.isfinite(logits).all(axis=1))[0])
        raise ModelError(
            f"{plan.model} gives logits that are not finite at residue {plan.sequence.labels[index]} of the "
            "unchanged sequence; its weights or its number type cannot be used."
        )
    return logits


def sweep(
    runner: Runner,
    plan: Plan,
    rows: Collection[int] | None = None,
    batch_size: int = 95,
    *,
    baseline: np.ndarray | None = None,
) -> Iterator[Row]:
    """Yield (position, row) for the positions asked for, batch after batch.

    Parameters
    ----------
    runner
        The model made ready for the plan's residues and mask.
    plan
        What to run.
    rows
        0-based positions that are still missing; all of the plan's by default. A batch is run whole if any of
        its rows is missing, so that resuming gives the same bits.
    batch_size
        Sequences a batch; halved when the device runs out of memory.
    baseline
        Wild-type logits (L, A); run anew where they are not given.

    Yields
    ------
    position : int
        0-based.
    row : numpy.ndarray
        Mutant minus wild type, shape (A_in, L, A_out), of the plan's dtype.

    Raises
    ------
    ModelError
        If a logit is not finite; the rows yielded so far are good.
    DeviceError
        If one sequence alone is too much for the device, or the device is lost.
    """
    for batch in batches(runner, plan, rows, batch_size, baseline=baseline):
        yield from batch


def batches(
    runner: Runner,
    plan: Plan,
    rows: Collection[int] | None = None,
    batch_size: int = 95,
    *,
    baseline: np.ndarray | None = None,
    out: Callable[[int], np.ndarray] | None = None,
    still_missing: Callable[[int], bool] | None = None,
    on_smaller_batch: Callable[[int], None] | None = None,
) -> Iterator[list[Row]]:
    """Yield the rows of `sweep` batch by batch, with an empty list between the parts of a row that was split.

    Parameters
    ----------
    runner, plan, rows, batch_size, baseline
        See `sweep`.
    out
        Gives the array in which to put the row of a position; a new one by default.
    still_missing
        Asked just before a batch is run, for rows that somebody else may have made meanwhile.
    on_smaller_batch
        Told the new batch size after the device ran out of memory.
    """
    if baseline is None:
        baseline = wild_type_logits(runner, plan)
    pending = set(plan.wanted if rows is None else rows)
    size = max(1, int(batch_size))
    while pending:
        for group in plan.groups(size):
            if still_missing is not None:
                pending.difference_update([index for index in group if not still_missing(index)])
            if not pending.intersection(group):
                continue
            try:
                for made in _run_group(runner, plan, group, pending, size, baseline, out):
                    yield made
                    pending.difference_update(index for index, _ in made)
            except OutOfMemory as error:
                if size == 1:
                    raise DeviceError(_too_large(plan)) from error.__cause__
                size //= 2
                free_device_memory()
                if on_smaller_batch is not None:
                    on_smaller_batch(size)
                break  # Divide all positions anew, so that the batches depend on their size alone.
        else:
            return


def _run_group(
    runner: Runner,
    plan: Plan,
    group: tuple[int, ...],
    pending: set[int],
    size: int,
    baseline: np.ndarray,
    out: Callable[[int], np.ndarray] | None,
) -> Iterator[list[Row]]:
    """Run one group's substitutions, in parts of at most `size`, and yield its pending rows at the end."""
    owners = [(index, substitution) for index in group for substitution in plan.substitutions(index)]
    slots = {letter: slot for slot, letter in enumerate(plan.letters_in)}
    rows: dict[int, np.ndarray] = {}
    for index in group:
        if index in pending:
            row = out(index) if out is not None else np.empty(plan.row_shape, plan.dtype)
            if plan.variant == "full" and not plan.mask.masked[index]:
                row[slots[plan.sequence.residues[index]]] = 0.0
            rows[index] = row
    everything = len(plan.kept) == len(plan.model_residues)
    for start in range(0, len(owners), size):
        part = owners[start : start + size]
        logits = _forward(runner, [substitution for _, substitution in part])
        for k, (index, substitution) in enumerate(part):
            if index in rows:
                mutant = logits[k] if everything else logits[k, plan.kept]
                np.subtract(mutant, baseline, out=rows[index][slots[substitution.letter]])
        if start + size < len(owners):
            yield []
    for index, row in rows.items():
        if not np.isfinite(row).all():
            raise ModelError(_not_finite(plan, index, row))
    yield list(rows.items())


def _too_large(plan: Plan) -> str:
    return (
        f"The device has not enough memory for one sequence of {plan.length} residues with {plan.model}; "
        "use a smaller model, a shorter sequence or another device."
    )


def _not_finite(plan: Plan, index: int, row: np.ndarray) -> str:
    slot = int(np.flatnonzero(~np.isfinite(row).all(axis=(1, 2)))[0])
    return (
        f"{plan.model} gives logits that are not finite for {plan.sequence.labels[index]} → "
        f"{plan.letters_in[slot]}; the rows made before are kept."
    )


class OutOfMemory(Exception):
    """The device ran out of memory; the cause says how."""


def _forward(runner: Runner, substitutions: list[Substitution]) -> np.ndarray:
    return on_device(lambda: runner.rows(substitutions))


def on_device(call: Callable[[], np.ndarray]) -> np.ndarray:
    """Run something on the device, telling apart memory that ran out and a device that went away."""
    try:
        return call()
    except MemoryError as error:
        raise OutOfMemory from error
    except RuntimeError as error:
        text = str(error).lower()
        # torch.OutOfMemoryError by name, so that this module needs no torch.
        if type(error).__name__ == "OutOfMemoryError" or any(words in text for words in _OUT_OF_MEMORY):
            raise OutOfMemory from error
        if any(words in text for words in _DEVICE_LOST):
            reason = str(error).strip().splitlines()[0]
            raise DeviceError(
                f"The device was lost ({reason}); the rows made before are kept: restart the kernel and "
                "call again."
            ) from error
        raise


def free_device_memory() -> None:
    """Give memory that torch holds in reserve back to the device."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
