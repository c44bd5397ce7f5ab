"""The categorical Jacobian: how every residue's logits answer to every substitution."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.engine.backends.threads import Worker, worker_of
from catjac_widgets.engine.jobs.job import Job
from catjac_widgets.engine.jobs.waiting import INTERRUPT_SECONDS, wait_for
from catjac_widgets.engine.plans.request import JacobianRequest, make_request
from catjac_widgets.engine.priorities import Priority
from catjac_widgets.errors import ModelError, UsageError
from catjac_widgets.progress import progress_bar

if TYPE_CHECKING:
    import xarray as xr

    from catjac_widgets.language_models.base import LanguageModel
    from catjac_widgets.proteins.masks import Mask
    from catjac_widgets.proteins.sequences import Sequence


def jacobian(
    sequence: Sequence | str | Path,
    model: str | Path | LanguageModel | tuple[Any, Any] = "mini",
    *,
    positions: Iterable[int] | int | None = None,
    mask: Mask | np.ndarray | Iterable[bool] | None = None,
    variant: str = "full",
    numerics: str = "exact",
    batch_size: int | None = None,
    linker: str = "",
    unknown: Mapping[str, str] | None = None,
    cache: bool = True,
    lazy: bool | str = "auto",
    progress: bool = True,
    rows: str | None = None,
) -> xr.DataArray:
    """Compute the categorical Jacobian of a sequence, or read it from the cache.

    ``J[i, a, j, b] = z_jb(x with x_i ← a) − z_jb(x)``: the logits z of residue j for letter b, with letter a
    put at position i, minus those of the wild type x. Positive means that the letter became more favourable.
    The numbers are raw: neither centred nor symmetrised.

    Parameters
    ----------
    sequence
        Residues, pasted FASTA, chains joined by ":", the `pathlib.Path` of a FASTA file, or a `Sequence`.
    model
        A name or checkpoint path, a model of `catjac.load_model` or `catjac.wrap`, or ``(model, alphabet)``.
        With a name, an answer from the cache loads no checkpoint.
    positions
        1-based positions to substitute at; all by default.
    mask
        Which residues the model may not see (`catjac.Mask`, or one bool a residue, True = masked). The
        baseline is then the masked input, and rows at masked positions are NaN.
    variant
        "full" substitutes every letter; "fast" masks each position instead (one pass a position,
        ``aa_in`` is ``["<mask>"]``).
    numerics
        "exact" (float32); "float64" (slow, for checks); or another of those that the model offers
        (``model.numerics``), for fair-esm's models "delta": near-exact and faster, layers multiply
        differences from the wild type in eight bits on a CPU, in bfloat16 on a GPU ("delta-int8",
        "delta-bfloat16" and "delta-float16" ask for one kind). How far approximate numerics are off is
        measured on 2 % of the rows if 64 or more are asked for, and stands in the attribute
        ``numerics_error`` as a share of the Jacobian's size; else that says "not estimated". "delta" was not
        tried on pretrained ESM-2.
    batch_size
        Sequences run at once; chosen from the device's memory by default and halved when that runs out.
    linker
        Residues put between chains for the model, for instance ``"G" * 25``; their rows and columns are
        dropped.
    unknown
        What to put for letters that the model does not know, for instance ``{"U": "C"}``.
    cache
        Whether rows are kept for, and taken from, other calls.
    lazy
        Whether to return an array that reads from the cache folder when it is used; "auto": above 1 GB;
        "dask": one of dask's arrays that does, in chunks of 64 MB or more.
    progress
        Whether to show a progress bar (on stderr, if it takes longer than half a second).
    rows
        Deprecated: rows are those of visible positions.

    Returns
    -------
    xarray.DataArray
        "jacobian", dims (pos_in, aa_in, pos_out, aa_out), float32 (float64 for that numerics), shape
        (positions, A, L, A), in logits. Positions are 1-based, letters in the model's order; chain, number,
        wild_type and residue ride along on both sides, and `wild_type_logits` (pos_out, aa_out) is the
        baseline.

    Raises
    ------
    SequenceError, MaskError, UsageError
        If the request makes no sense.
    ModelError
        If the model cannot be found, loaded or run.
    ResourceError
        If it would take more memory, disk or time than is sensible; says how much.
    Cancelled
        If a colleague cancels the work. An interrupt (Ctrl-C, the notebook's stop button) raises
        KeyboardInterrupt; the rows done are kept in both cases, and calling again continues.

    References
    ----------
    Zhang, Wayment-Steele, Brixi, Wang, Kern, Ovchinnikov: Protein language models learn evolutionary
    statistics of interacting sequence motifs. PNAS 121 (2024) e2406285121.
    """
    _refuse_rows(rows)
    request = make_request(
        sequence,
        model,
        positions=positions,
        mask=mask,
        variant=variant,
        numerics=numerics,
        batch_size=batch_size,
        linker=linker,
        unknown=unknown,
        cache=cache,
        lazy=lazy,
    )
    return run_request(request, progress=progress)


def run_request(request: JacobianRequest, *, progress: bool = True) -> xr.DataArray:
    """Compute what was asked for, or read it from the cache, and wait for it; see `jacobian`."""
    job = Job(request, Priority.SCREEN)
    worker: Worker | None = None
    try:
        if not job.read_here():
            worker = worker_of(request.model)
            job.start_on(worker)
            _wait(job, progress)
    except KeyboardInterrupt:
        job.cancel()
        if worker is None:
            job.step()
        else:
            job.wait(INTERRUPT_SECONDS)
        done = job.progress
        if done.state == "done":
            return job.result()
        raise KeyboardInterrupt(job.kept_message("interrupted")) from None
    return job.result()


def submit(
    sequence: Sequence | str | Path,
    model: str | Path | LanguageModel | tuple[Any, Any] = "mini",
    *,
    positions: Iterable[int] | int | None = None,
    mask: Mask | np.ndarray | Iterable[bool] | None = None,
    variant: str = "full",
    numerics: str = "exact",
    batch_size: int | None = None,
    linker: str = "",
    unknown: Mapping[str, str] | None = None,
    cache: bool = True,
    lazy: bool | str = "auto",
    rows: str | None = None,
    priority: Priority = Priority.BACKGROUND,
) -> Job:
    """Compute a categorical Jacobian in the background.

    Parameters
    ----------
    priority
        How urgent it is among other work of the same device.
    sequence, model, positions, mask, variant, numerics, batch_size, linker, unknown, cache, lazy, rows
        See `jacobian`.

    Returns
    -------
    Job
        With ``progress``, ``partial``, ``cancel()`` and ``result()``.

    Raises
    ------
    CatjacError
        As `jacobian`, for what can be told before the work starts; the rest is raised by ``result()``.
    """
    _refuse_rows(rows)
    request = make_request(
        sequence,
        model,
        positions=positions,
        mask=mask,
        variant=variant,
        numerics=numerics,
        batch_size=batch_size,
        linker=linker,
        unknown=unknown,
        cache=cache,
        lazy=lazy,
    )
    return submit_request(request, priority)


def submit_request(request: JacobianRequest, priority: Priority = Priority.BACKGROUND) -> Job:
    """Compute what was asked for in the background; see `submit`."""
    job = Job(request, priority)
    job.start()
    return job


def _refuse_rows(rows: str | None) -> None:
    """Take note of an option of version 0.1 that never did anything else than its default."""
    if rows is None:
        return
    if rows not in ("visible", "all"):
        raise UsageError(f"rows={rows!r} is unknown; leave it out.")
    if rows == "all":
        raise ModelError(
            "No model offers rows='all' (substitutions at masked positions, with the number of masks held "
            "constant); leave it out."
        )
    warnings.warn("rows='visible' is how it always is; leave it out.", DeprecationWarning, stacklevel=3)


def _wait(job: Job, progress: bool) -> None:
    """Wait for a job, with a bar once it has taken a while; interruptible."""
    name = job.plan.sequence.name or f"{job.plan.length} residues"
    total = len(job.plan.wanted)
    with progress_bar(f"Jacobian of {name}, {job.plan.model}", total, unit="row", shown=progress) as bar:

        def look() -> None:
            now = job.progress
            waiting = now.state == "running" and now.rows_done == 0
            bar.show(now.rows_done, note=now.message if waiting else "")

        wait_for(job, look)
