"""Jacobians of stub models, and their entries on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xarray as xr
from stubs import PottsModel

from catjac_widgets.engine.api import jacobian
from catjac_widgets.engine.cache.folder.entry import FolderEntry
from catjac_widgets.engine.cache.store import cache
from catjac_widgets.engine.plans.request import make_request

RESIDUES = "MKTAYIAKQRQISF"
L = len(RESIDUES)


def entry_of(sequence: str, model: PottsModel, **options: Any) -> FolderEntry:
    plan = make_request(sequence, model, **options).plan
    entry = cache.find(plan)
    assert isinstance(entry, FolderEntry)
    return entry


def chunks(entry: FolderEntry) -> list[Path]:
    return sorted((entry.group / "jacobian").glob("c.*"), key=lambda path: int(path.name.split(".")[1]))


def compute(model: PottsModel, **options: Any) -> xr.DataArray:
    return jacobian(RESIDUES, model, progress=False, **options)
