"""A job whose rows come when the test says so, and a Jacobian with couplings as a protein has them."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import xarray as xr

from catjac_widgets.block_math.centring import letter_centred_norms
from catjac_widgets.engine.jobs.job import Progress
from catjac_widgets.engine.labels import label_jacobian
from catjac_widgets.engine.plans.jacobian import Plan
from catjac_widgets.engine.plans.making import make_plan
from catjac_widgets.errors import Cancelled
from catjac_widgets.proteins.alphabets import ESM_LETTERS, MASK_LETTER
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Sequence

RESIDUES = "MKWVTFISLLFLFSSAYSRGVFRRDAHKSEVAHRFKDLGEENFKALVLIAFAQYLQQC"


def plan_of(sequence: Sequence, **options: Any) -> Plan:
    return make_plan(
        sequence, model="stub", fingerprint="stub:1", letters=ESM_LETTERS, max_residues=None, **options
    )


def made_up_jacobian(plan: Plan, seed: int = 0) -> np.ndarray:
    """Couplings along two hairpins and a helix, on top of noise; zero where the wild type is put."""
    length, rng = plan.length, np.random.default_rng(seed)
    strength = np.zeros((length, length))
    for first, last in ((4, length // 2), (length // 4, length - 4)):
        for k in range((last - first) // 2):
            i, j = first + k, last - k
            strength[i, j] = strength[j, i] = 1.2 if k % 2 else 0.6
    for i in range(length - 4):
        strength[i, i + 4] = strength[i + 4, i] = 0.35
    letters_in, letters_out = len(plan.letters_in), len(plan.letters)
    shape = (length, letters_in, length, letters_out)
    J = 0.05 * rng.standard_normal(shape)
    pattern = rng.standard_normal((length, letters_in, length, letters_out))
    J += strength[:, None, :, None] * pattern
    J[np.arange(length), :, np.arange(length), :] *= 3
    if letters_in > 1:
        for i, letter in enumerate(plan.sequence.residues):
            J[i, plan.letters.index(letter)] = 0
    return J.astype(np.float32)


class StagedJob:
    """Behaves as `catjac_widgets.engine.jobs.job.Job`; `give`, `finish`, `fail` are the test's."""

    def __init__(self, plan: Plan, J: np.ndarray | None = None) -> None:
        self.plan = plan
        self.J = made_up_jacobian(plan) if J is None else J
        self.error: BaseException | None = None
        self.cancelled = 0
        self._rows: set[int] = set()
        self._state = "queued"
        self._message = f"loading {plan.model}"
        self._listeners: list[Any] = []
        self._ended = threading.Event()

    # ---- the test's

    def give(self, *positions: int) -> None:
        self._state, self._message = "running", "computing"
        for position in positions:
            self._rows.add(position)
            for norms, _ in self._listeners:
                norms(position, letter_centred_norms(self.J[position - 1]))
        self._changed()

    def finish(self) -> None:
        self.give(
            *(
                p
                for p in range(1, self.plan.length + 1)
                if p not in self._rows and not self.plan.mask.masked[p - 1]
            )
        )
        self._state = "done"
        self._changed()

    def fail(self, error: BaseException) -> None:
        self.error, self._state = error, "failed"
        self._changed()

    def _changed(self) -> None:
        if self._state in ("done", "cancelled", "failed"):
            self._ended.set()
        for _, change in self._listeners:
            change(self)

    # ---- the job's

    @property
    def progress(self) -> Progress:
        total = len(self.plan.wanted)
        left = None if not self._rows else (total - len(self._rows)) * 0.4
        return Progress(self._state, len(self._rows), total, 4.2, left, self._message)

    @property
    def partial(self) -> Any:
        values = np.full_like(self.J, np.nan)
        for position in self._rows:
            values[position - 1] = self.J[position - 1]
        return label_jacobian(values, self.plan, complete=self._state == "done")

    def row(self, position: int) -> np.ndarray | None:
        return self.J[position - 1] if position in self._rows else None

    def wait(self, timeout: float | None = None) -> bool:
        return self._ended.wait(timeout)

    def result(self, timeout: float | None = None) -> Any:
        if self.error is not None:
            raise self.error
        assert self._state == "done"
        return self.partial

    def cancel(self) -> None:
        self.cancelled += 1
        if self._state in ("queued", "running"):
            self.error, self._state = Cancelled("stopped"), "cancelled"
            self._changed()

    def add_listener(self, norms: Any = None, change: Any = None) -> None:
        self._listeners.append((norms, change))
        for position in sorted(self._rows):
            norms(position, letter_centred_norms(self.J[position - 1]))
        change(self)


__all__ = ["MASK_LETTER", "RESIDUES", "StagedJob", "made_up_jacobian", "plan_of"]


def jacobian_of(**options: Any) -> xr.DataArray:
    """Give the finished Jacobian of a plan with those options."""
    job = StagedJob(plan_of(options.pop("sequence", as_sequence(RESIDUES, name="made up")), **options))
    job.finish()
    return job.partial
