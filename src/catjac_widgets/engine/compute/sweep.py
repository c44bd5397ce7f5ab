"""The sweep: run a plan's substitutions in batches and yield rows. No threads, no store.

Where a runner can launch a batch without waiting for it, the next is under way before the last is fetched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from catjac_widgets.errors import DeviceError, ModelError
from catjac_widgets.language_models.base import LaunchingRunner

if TYPE_CHECKING:
    from catjac_widgets.engine.plans.jacobian import Plan
    from catjac_widgets.language_models.base import Runner, Substitution

T = TypeVar("T")

Row = tuple[int, np.ndarray]

#: Subtracts the baseline from the logits of the k-th sequence of a batch, into an array (L, A).
Put = Callable[[int, np.ndarray], None]

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
        yield from batch or ()


def batches(
    runner: Runner,
    plan: Plan,
    rows: Collection[int] | None = None,
    batch_size: int = 95,
    *,
    baseline: np.ndarray | None = None,
    out: Callable[[int], np.ndarray] | None = None,
    claim: Callable[[list[int]], bool] | None = None,
    still_missing: Callable[[int], bool] | None = None,
    on_smaller_batch: Callable[[int], None] | None = None,
) -> Iterator[list[Row] | None]:
    """Yield the rows of `sweep` batch by batch, with an empty list between the parts of a row that was split.

    None is yielded where all that is still missing was claimed by somebody else: look again in a while.

    Parameters
    ----------
    runner, plan, rows, batch_size, baseline
        See `sweep`.
    out
        Gives the array in which to put the row of a position; a new one by default.
    claim
        Asked for the rows of a batch before it is run; where it says False, the batch is left for later.
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
        parts = _parts(plan, size, pending, out, claim, still_missing)
        try:
            for made in _run(runner, plan, parts, size, baseline):
                pending.difference_update(index for index, _ in made)
                yield made
            if pending:
                yield None
            continue
        except OutOfMemory as error:
            if size == 1:
                raise DeviceError(_too_large(plan)) from error.__cause__
        # Divide all positions anew, so that the batches depend on their size alone.
        size //= 2
        free_device_memory()
        if on_smaller_batch is not None:
            on_smaller_batch(size)


@dataclass
class _Part:
    """Sequences that share a batch, and where what comes of them goes."""

    #: 0-based position and substitution of each sequence.
    owners: list[tuple[int, Substitution]]
    #: Rows to fill, by position, those of all parts of a group; other sequences only keep the batch whole.
    rows: dict[int, np.ndarray] = field(default_factory=dict)
    #: Whether it is the last of its group, so that the group's rows are complete with it.
    last: bool = True


def _parts(
    plan: Plan,
    size: int,
    pending: set[int],
    out: Callable[[int], np.ndarray] | None,
    claim: Callable[[list[int]], bool] | None,
    still_missing: Callable[[int], bool] | None,
) -> Iterator[_Part]:
    """Divide the groups that hold a pending row into parts of at most `size` sequences."""
    for group in plan.groups(size):
        wanted = sorted(pending.intersection(group))
        if not wanted:
            continue
        claimed = claim is None or claim(wanted)
        if still_missing is not None:
            # After it was claimed: whoever had it before may have made it.
            pending.difference_update([index for index in wanted if not still_missing(index)])
        if not claimed:
            continue
        rows: dict[int, np.ndarray] = {}
        for index in pending.intersection(group):
            rows[index] = out(index) if out is not None else np.empty(plan.row_shape, plan.dtype)
            rows[index][plan.unchanged(index)] = 0.0
        if rows:
            owners = [(index, substitution) for index in group for substitution in plan.substitutions(index)]
            for start in range(0, len(owners), size):
                yield _Part(owners[start : start + size], rows, start + size >= len(owners))


def _run(
    runner: Runner, plan: Plan, parts: Iterator[_Part], size: int, baseline: np.ndarray
) -> Iterator[list[Row]]:
    """Run parts in their order, one ahead where the runner can, and yield the rows that each completes."""
    under_way: deque[tuple[_Part, Callable[[], Put]]] = deque()
    ahead = 1 if isinstance(runner, LaunchingRunner) else 0
    # What a full batch has: whole rows where they fit.
    whole = size // plan.substitutions_per_row * plan.substitutions_per_row or size
    failure: OutOfMemory | None = None
    for part in parts:
        try:
            under_way.append((part, _start(runner, plan, part, whole, baseline)))
        except OutOfMemory as error:
            # What is under way has its memory and is good.
            failure = error
            break
        if len(under_way) > ahead:
            yield _fetch(plan, *under_way.popleft())
    while under_way:
        yield _fetch(plan, *under_way.popleft())
    if failure is not None:
        raise failure


def _start(runner: Runner, plan: Plan, part: _Part, size: int, baseline: np.ndarray) -> Callable[[], Put]:
    """Start a part; the returned function waits for it."""
    substitutions = [substitution for _, substitution in part.owners]
    if isinstance(runner, LaunchingRunner):
        launched = on_device(lambda: runner.launch(substitutions, size, baseline, plan.kept))

        def wait() -> Put:
            effects = on_device(launched.result)
            return lambda k, out: np.copyto(out, effects[k])

        return wait
    logits = on_device(lambda: runner.rows(substitutions))
    everything = len(plan.kept) == len(plan.model_residues)

    def put(k: int, out: np.ndarray) -> None:
        np.subtract(logits[k] if everything else logits[k, plan.kept], baseline, out=out)

    return lambda: put


def _fetch(plan: Plan, part: _Part, wait: Callable[[], Put]) -> list[Row]:
    """Wait for a part, put it into its rows, and return those that are complete."""
    slots = {letter: slot for slot, letter in enumerate(plan.letters_in)}
    put = wait()
    for k, (index, substitution) in enumerate(part.owners):
        if index in part.rows:
            put(k, part.rows[index][slots[substitution.letter]])
    if not part.last:
        return []
    for index, row in part.rows.items():
        if not np.isfinite(row).all():
            raise ModelError(_not_finite(plan, index, row))
        if plan.causal:
            # Nothing changes at the residue itself and before it; what batches differ in there is rounding.
            row[:, : index + 1] = 0.0
    return sorted(part.rows.items())


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


def on_device(call: Callable[[], T]) -> T:
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
