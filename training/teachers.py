"""Fits one Potts model a family and keeps it on disk, so that a second run finds it there."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from . import families
from .potts import Potts, fit
from .recipe import TRAINED

ITERATIONS, ITERATIONS_UNTRAINED = 60, 30
"""Models of families that nothing is trained on are for comparison only."""


def teacher_path(cache: Path, identifier: str) -> Path:
    """Where a family's teacher is kept."""
    return cache / "teachers" / f"{identifier}.npz"


def fit_one(folder: Path, record: dict, cache: Path) -> str:
    """Fits and stores one teacher unless it is stored already; returns the family's id."""
    torch.set_num_threads(1)
    path = teacher_path(cache, record["id"])
    if not path.exists():
        iterations = ITERATIONS if record["id"] in TRAINED else ITERATIONS_UNTRAINED
        fit(families.load(folder, record), iterations).save(path)
    return record["id"]


def fit_all(folder: Path, records: Sequence[dict], cache: Path, processes: int) -> None:
    """Fits the missing teachers, `processes` at a time."""
    missing = [record for record in records if not teacher_path(cache, record["id"]).exists()]
    if not missing:
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(fit_one, folder, record, cache) for record in missing]
        for number, job in enumerate(jobs, 1):
            print(f"teacher {number} of {len(jobs)}: {job.result()}", flush=True)


def load_teacher(cache: Path, identifier: str) -> Potts:
    """Read a fitted teacher."""
    return Potts.load(teacher_path(cache, identifier))
