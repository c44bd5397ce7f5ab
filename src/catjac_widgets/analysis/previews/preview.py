"""Contact maps that come at once and become exact: contact head, preview, rows of the Jacobian."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from catjac_widgets.analysis import labels
from catjac_widgets.analysis.contacts.head import KIND, contact_head
from catjac_widgets.analysis.contacts.maps import contacts
from catjac_widgets.engine.jobs.job import Job
from catjac_widgets.engine.jobs.steps import results_of
from catjac_widgets.engine.labels import as_approximate, label_jacobian
from catjac_widgets.engine.plans.request import JacobianRequest, make_request
from catjac_widgets.engine.priorities import Priority
from catjac_widgets.errors import ModelError, UsageError
from catjac_widgets.language_models.base import FirstOrderModel
from catjac_widgets.language_models.registry import resolve_model
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.sequences import Sequence

if TYPE_CHECKING:
    from catjac_widgets.engine.plans.jacobian import Plan

#: What the attribute `numerics` of a map says that has approximate rows.
APPROXIMATE = "approximate"

#: An approximate Jacobian larger than this is not made: it lies in memory as a whole.
MOST_PREVIEW_BYTES = 512 * 2**20

#: Letters that may be run at each position: all but the wild type's.
MOST_LETTERS = 19

#: Letters of each position that are run where nobody says how many.
LETTERS = 3

#: A preview that takes longer than this, by the model's rough estimate, shows a map for every letter.
SHOW_EACH_SECONDS = 10.0

#: How long to wait between looks at the sweep, in seconds.
_LOOK_SECONDS = 0.02


def preview(
    sequence: Sequence | str | Path,
    model: Any = "mini",
    *,
    letters: int = LETTERS,
    mask: Mask | np.ndarray | Iterable[bool] | None = None,
    linker: str = "",
    unknown: Mapping[str, str] | None = None,
    cache: bool = True,
    frames: int = 8,
) -> Iterator[xr.DataArray]:
    """Give contact maps in order of their cost, from one pass of the model to the exact Jacobian.

    First the contact head, where the model has a fitted one; then approximations of the Jacobian: the direct
    effects of the mutated residue on each other, to first order, for all letters; then the same corrected by
    a few letters of every position that run through the whole model (in bfloat16 where the processor
    multiplies those faster); then exact rows in place of approximate ones as they arrive. All maps are of one
    definition, that of `contacts`. A Jacobian that lies in the cache is given at once and alone. Leaving the
    loop early (or closing the generator) cancels what is under way; exact rows that are done are kept in the
    cache.

    Parameters
    ----------
    sequence, model, mask, linker, unknown, cache
        As for `jacobian`.
    letters
        How many letters of each position are run, 0 to 19; what they cost and give is measured in
        ``benchmarks/preview.csv``.
    frames
        At most so many maps with exact rows; the last is the complete one.

    Yields
    ------
    xr.DataArray
        float32 (contact head) or float64, dims (pos_i, pos_j), shape (L, L), symmetric; coordinates as of
        `contacts`; NaN where masked, or, without a preview, where no row has come. Attributes say what it is:
        ``label`` ("contact head", "preview, first order", "preview, 3 letters", "Jacobian, 63 %",
        "Jacobian"), ``quantity`` ("contact probability" or "contact score"), ``numerics`` of what comes from
        a Jacobian ("exact", or "approximate" as long as some rows are), and, where the model has no preview,
        ``note``: why.

    Raises
    ------
    UsageError
        If `letters` or `frames` is out of range; at once.
    SequenceError, MaskError, ModelError, ResourceError, Cancelled
        As `jacobian`.

    Notes
    -----
    Rank correlation with the exact map depends on the model; ``benchmarks/preview.py`` measures it, and the
    share of the exact Jacobian's time.

    References
    ----------
    Zhang et al. (2024), PNAS 121, e2406285121 (the Jacobian and its map); Rao et al. (2021), ICLR (the
    contact head). The approximation is that of the package
    `catjac_widgets.language_models.esm.first_order`.
    """
    if (
        isinstance(letters, bool)
        or not isinstance(letters, int | np.integer)
        or not 0 <= letters <= MOST_LETTERS
    ):
        raise UsageError(f"letters={letters!r} is none of 0 to {MOST_LETTERS} letters of each position.")
    if isinstance(frames, bool) or not isinstance(frames, int | np.integer) or frames < 1:
        raise UsageError(f"frames={frames!r} is no number of maps; give 1 or more.")
    request = make_request(sequence, model, mask=mask, linker=linker, unknown=unknown, cache=cache)
    return _frames(request, int(letters), int(frames))


def _frames(request: JacobianRequest, letters: int, frames: int) -> Iterator[xr.DataArray]:
    plan, model = request.plan, request.model
    job = Job(request, Priority.SCREEN)
    approximate: np.ndarray | None = None
    note = ""
    if job.answered:
        frames = 1
    else:
        if request.identity.has_contact_head:
            head = contact_head(plan.sequence, model, plan.mask)
            yield _said(head, KIND, "contact probability")
        loaded = resolve_model(model)
        try:
            # On the device's thread, where other work goes in between.
            for number, approximate in results_of(approximate_jacobians(plan, loaded, letters), loaded):
                yield _said(preview_map(plan, approximate), preview_label(number))
        except ModelError as error:
            note = f"{error} These are exact rows only."
    job.start()
    try:
        yield from exact_frames(plan, job, approximate, frames, note)
    finally:
        job.cancel()


def preview_label(number: int) -> str:
    """Say how many letters of each position were run for a preview."""
    return f"preview, {number} letter{'' if number == 1 else 's'}" if number else "preview, first order"


def approximate_jacobians(
    plan: Plan, model: Any, letters: int = LETTERS
) -> Iterator[tuple[int, np.ndarray] | None]:
    """Approximate a plan's Jacobian in steps; to be driven on the thread of the model's device.

    Parameters
    ----------
    plan
        Whose residues, linker and mask.
    model
        A loaded model.
    letters
        How many letters of each position are run; where that takes long, each is told.

    Yields
    ------
    None between steps, and (letters run, Jacobian (L, A, L, A)), float32; rows of masked residues are NaN.

    Raises
    ------
    ModelError
        At once, if the model offers no preview, or not for so long a sequence.
    """
    if not isinstance(model, FirstOrderModel):
        raise ModelError(f"{plan.model} offers no preview.")
    if plan.store_bytes > MOST_PREVIEW_BYTES:
        raise ModelError(
            f"A preview of {plan.length} residues would take {plan.store_bytes / 2**30:.1f} GB of memory."
        )
    residues = plan.model_residues
    seconds = letters * len(residues) * model.seconds_per_sequence(len(residues))  # type: ignore[attr-defined]
    stages = range(1, letters + 1) if seconds > SHOW_EACH_SECONDS else [letters] * bool(letters)
    return _of_plan(plan, model.first_order(residues, plan.model_mask, stages))


def _of_plan(
    plan: Plan, steps: Iterator[tuple[int, np.ndarray] | None]
) -> Iterator[tuple[int, np.ndarray] | None]:
    for step in steps:
        if step is not None:
            number, values = step
            if len(plan.kept) < values.shape[0]:
                values = values[plan.kept][:, :, plan.kept]
            values[plan.mask.array] = np.nan
            step = number, values
        yield step


def preview_map(plan: Plan, values: np.ndarray) -> xr.DataArray:
    """Contact map, as of `contacts`, of an approximate Jacobian (L, A, L, A), NaN where masked."""
    return contacts(label_jacobian(values, plan, complete=False, approximation=APPROXIMATE))


def exact_frames(
    plan: Plan, job: Job, approximate: np.ndarray | None, frames: int, note: str
) -> Iterator[xr.DataArray]:
    """Yield maps as exact rows take the place of approximate ones, the last as `contacts` gives it."""
    shown = 0
    while not job.wait(_LOOK_SECONDS):
        now = job.progress
        stage = now.rows_done * frames // now.rows_total
        if stage <= shown or now.rows_done == now.rows_total:
            continue
        shown = stage
        J = job.partial
        present = labels.rows_present(J)
        label = f"Jacobian, {100 * int(present.sum()) // now.rows_total} %"
        if approximate is not None:
            missing = [index for index in plan.wanted if not present[index]]
            J = J.copy(data=np.array(J.values))
            J.values[missing] = approximate[missing]
            J = as_approximate(J, APPROXIMATE)
        elif present.sum() < 2:
            continue
        yield _said(contacts(J, allow_partial=True), label, note=note)
    yield _said(contacts(job.result()), "Jacobian", note=note)


def _said(found: xr.DataArray, label: str, quantity: str = "contact score", note: str = "") -> xr.DataArray:
    more = {"note": note} if note else {}
    return found.assign_attrs(kind=label, label=label, quantity=quantity, **more)
