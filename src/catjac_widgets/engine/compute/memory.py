"""What a request would take, in memory and time, told before it starts."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import ResourceError, UsageError
from catjac_widgets.input_files import shown
from catjac_widgets.language_models.devices import physical_memory

if TYPE_CHECKING:
    from catjac_widgets.engine.plans.jacobian import Plan
    from catjac_widgets.language_models.base import LanguageModel

#: Above this, a Jacobian is opened from the cache without being loaded.
LAZY_BYTES = 10**9

#: Less is read without asking how much memory is free.
_ALWAYS_READ = 64 * 2**20

HOURS_VARIABLE = "CATJAC_MAX_HOURS"
DEFAULT_MAX_HOURS = 24.0

#: A single pass that is expected to take longer is run only for those who say how long all may take.
LONGEST_PASS_SECONDS = 300.0

#: Sequences a batch at most where the device is no GPU; beyond it small models gain nothing.
LARGEST_BATCH = 128

#: A batch on a CPU takes about this long where `_CPU_BATCH_TOKENS` allow it: so long may a drag have to wait.
_CPU_BATCH_SECONDS = 0.08

#: Of one thread, by the second.
_CPU_OPERATIONS = 4e10

#: From so many tokens a thread on, larger batches are hardly faster; a row's 19 sequences are split beyond.
_CPU_BATCH_TOKENS = 750

#: Memory that the passes of one batch may take on a CPU, where it is also everybody else's.
_CPU_BATCH_BYTES = 512 * 2**20

#: Tokens that keep a GPU's multiprocessors busy, at least and at most: many for a narrow model, whose
#: products are small; for a wide one as many as `_GPU_BATCH_OPERATIONS` allow, so that a batch stays short.
_GPU_BATCH_TOKENS = 2**13, 2**16
_GPU_BATCH_OPERATIONS = 2e13


def total_memory() -> int:
    """Bytes of memory that there are, see `physical_memory`; a guess where nobody tells."""
    return physical_memory() or 8 * 2**30


def available_memory() -> int:
    """Bytes of memory that can be had now without swapping."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        return min(int(fields["MemAvailable"].split()[0]) * 1024, total_memory())
    except (OSError, KeyError, ValueError):
        return total_memory() // 2


def check_memory(plan: Plan) -> None:
    """Refuse a Jacobian that would not fit into memory.

    Raises
    ------
    ResourceError
        With the size, what is available, and what to do.
    """
    needed, available = plan.result_bytes, available_memory()
    if needed > 0.8 * available:
        raise ResourceError(
            f"The Jacobian takes {_gigabytes(needed)} of memory but {_gigabytes(available)} are free; "
            "pass lazy=True to read it from the cache piece by piece, positions= for some rows, "
            "or variant='fast' for a twentieth of it."
        )


def check_selection(nbytes: int) -> None:
    """Refuse to read more of a Jacobian on disk than fits into memory.

    Raises
    ------
    ResourceError
        With the size, what is available, and what to do.
    """
    if nbytes < _ALWAYS_READ:
        return
    available = available_memory()
    if nbytes > 0.8 * available:
        raise ResourceError(
            f"What was selected of the Jacobian takes {_gigabytes(nbytes)} of memory but "
            f"{_gigabytes(available)} are free; select less, or ask for it with lazy='dask', which takes "
            "means and sums piece by piece."
        )


def check_disk(plan: Plan, there: int, missing: int, limit: int | None, free: int | None) -> None:
    """Refuse a Jacobian that has to lie on disk and would not fit there.

    Parameters
    ----------
    there, missing
        Rows that are on disk, and that will be written.
    limit, free
        Bytes that all may take, and that are free; None where there is no limit, or nobody can tell.

    Raises
    ------
    ResourceError
        With the size, the limit, and what to do.
    """
    whole, needed = (there + missing) * plan.row_bytes, missing * plan.row_bytes
    if limit is not None and whole > limit:
        raise ResourceError(
            f"The Jacobian takes {_gigabytes(whole)} on disk but the cache may hold {_gigabytes(limit)}; "
            "set CATJAC_CACHE_LIMIT to more, or use positions= or variant='fast'."
        )
    if free is not None and needed > free:
        raise ResourceError(
            f"The Jacobian takes {_gigabytes(needed)} more on disk but {_gigabytes(free)} are free; "
            "free some space, set CATJAC_CACHE to a larger disk, or use positions= or variant='fast'."
        )


def check_time(plan: Plan, rows: int, model: LanguageModel) -> float:
    """Estimate the seconds that `rows` rows take; refuse more time, or memory for a pass, than is sensible.

    Raises
    ------
    ResourceError
        With the estimate, and what to do.
    """
    _check_pass(plan, model)
    sequences = rows * plan.substitutions_per_row
    one = model.seconds_per_sequence(len(plan.model_residues))
    seconds = sequences * one
    if rows and one > LONGEST_PASS_SECONDS and not os.environ.get(HOURS_VARIABLE, "").strip():
        raise ResourceError(
            f"One pass over {plan.length} residues takes about {one / 60:.0f} minutes with {plan.model} on "
            f"{model.device}, and cannot be stopped in between; use a part of the sequence or a smaller "
            f"model, or set {HOURS_VARIABLE} to the hours that all may take."
        )
    allowed = allowed_hours()
    if seconds > allowed * 3600:
        raise ResourceError(
            f"The Jacobian needs about {seconds / 3600:.0f} hours with {plan.model} on {model.device} "
            f"({sequences:,} sequences); use variant='fast', positions=, a smaller model or a GPU, or allow "
            f"more with {HOURS_VARIABLE}."
        )
    return seconds


def _check_pass(plan: Plan, model: LanguageModel) -> None:
    """Refuse a sequence of which not even one would fit through the model."""
    length = len(plan.model_residues)
    needed = model.row_bytes(length)
    present = _gpu_memory(model.device) if model.device.type == "cuda" else available_memory()
    if needed > present:
        raise ResourceError(
            f"One pass of {length:,} residues through {plan.model} takes {_gigabytes(needed)} of memory and "
            f"{model.device} has {_gigabytes(present)}; cut the sequence into domains."
        )


def allowed_hours() -> float:
    """Tell how many hours a Jacobian may be estimated to take.

    Raises
    ------
    UsageError
        If the environment variable is no number above 0 ("inf" is one).
    """
    setting = os.environ.get(HOURS_VARIABLE, "").strip()
    try:
        hours = float(setting or DEFAULT_MAX_HOURS)
    except ValueError:
        hours = math.nan
    if not hours > 0:
        raise UsageError(
            f"{HOURS_VARIABLE}={shown(setting)!r} is no number of hours; write for instance 48, or unset it."
        )
    return hours


def choose_batch_size(plan: Plan, model: LanguageModel, asked: int | None = None) -> int:
    """Sequences a batch: what was asked, or what fits the device, in whole rows where that is possible.

    It depends on the model, the device's total memory and torch's threads, not on what is free or how fast it
    was just now, so that a resumed sweep makes the same batches.
    """
    if asked is not None:
        return asked
    device, length = model.device, len(plan.model_residues)
    whole, run = plan.substitutions_per_row, (length + 2) * model.tokens_per_residue
    operations = 2.0 * max(1, model.parameters)  # a token
    # Numerics that are faster than float32 run as many more sequences in the same time.
    factor = plan.numerics.batch_factor if device.type in plan.numerics.devices else 1
    if device.type == "cuda":
        fewest, most = _GPU_BATCH_TOKENS
        tokens = min(most, max(fewest, int(factor * _GPU_BATCH_OPERATIONS / operations)))
        size, budget = max(whole, tokens // run), _gpu_memory(device) // 3
    elif device.type == "cpu":
        threads = _threads()
        faster = factor * threads
        # A sequence is one thread's: none shall be idle while others end.
        least = -(-max(1, faster * _CPU_BATCH_TOKENS // run) // threads) * threads
        least = min(max(whole, threads), least)
        quick = int(faster * _CPU_BATCH_SECONDS * _CPU_OPERATIONS / (operations * run))
        size, budget = min(LARGEST_BATCH, max(least, quick)), min(total_memory() // 8, _CPU_BATCH_BYTES)
    else:
        size, budget = LARGEST_BATCH, min(total_memory() // 8, 4 * 2**30)
    size = min(size, max(1, int(budget // max(1, model.row_bytes(length)))))
    return size // whole * whole if size >= whole else size


def _threads() -> int:
    """How many threads run passes on a CPU."""
    import torch

    return torch.get_num_threads()


def _gpu_memory(device: Any) -> int:
    """Bytes of memory that a GPU has."""
    import torch

    return int(torch.cuda.get_device_properties(device).total_memory)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
