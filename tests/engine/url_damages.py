"""A cache at a URL, and what can happen to its objects; each damage says how many rows are computed anew."""

from __future__ import annotations

from typing import Any

import fsspec
import numpy as np
import xarray as xr
from stubs import PottsModel

from catjac_widgets.engine.api import jacobian
from catjac_widgets.engine.cache.chunked.chunks import ChunkForm
from catjac_widgets.engine.cache.chunked.digests import chunk_digest
from catjac_widgets.engine.plans.request import make_request

#: Short, because each row at a URL takes several requests.
RESIDUES = "MKTAYIA"
L = len(RESIDUES)


def compute(model: PottsModel, **options: Any) -> xr.DataArray:
    return jacobian(RESIDUES, model, progress=False, **options)


def entry_folder(url: str, seed: int = 0) -> tuple[fsspec.AbstractFileSystem, str]:
    files, root = fsspec.core.url_to_fs(url)
    key = make_request(RESIDUES, PottsModel(seed=seed, symmetric=False)).plan.key
    return files, f"{root}/{key[:2]}/{key}"


def row_of(url: str, index: int, seed: int = 0) -> tuple[fsspec.AbstractFileSystem, str]:
    files, folder = entry_folder(url, seed)
    return files, f"{folder}/arrays.zarr/jacobian/c.{index}.0.0.0"


def model(seed: int = 0) -> PottsModel:
    return PottsModel(seed=seed, symmetric=False)


def flip(url: str) -> int:
    files, path = row_of(url, 3)
    content = bytearray(files.cat_file(path))
    content[100] ^= 4
    files.pipe_file(path, bytes(content))
    return 1


def cut(url: str) -> int:
    files, path = row_of(url, 3)
    files.pipe_file(path, files.cat_file(path)[:-9])
    return 1


def empty(url: str) -> int:
    files, path = row_of(url, 3)
    files.pipe_file(path, b"")
    return 1


def swap(url: str) -> int:
    (files, one), (_, other) = row_of(url, 3), row_of(url, 5)
    first, second = files.cat_file(one), files.cat_file(other)
    files.pipe_file(one, second)
    files.pipe_file(other, first)
    return 2


def foreign(url: str) -> int:
    compute(model(9))
    (files, there), (_, here) = row_of(url, 3, seed=9), row_of(url, 3)
    files.pipe_file(here, files.cat_file(there))
    return 1


def missing(url: str) -> int:
    files, path = row_of(url, 3)
    files.rm_file(path)
    return 1


def not_finite(url: str) -> int:
    """A row of NaN with its checksum and its digest, as a broken program might have written it."""
    plan = make_request(RESIDUES, model()).plan
    form = ChunkForm((1, *plan.row_shape), plan.dtype)
    content = form.content(np.full(form.shape, np.nan, np.float32))
    files, path = row_of(url, 3)
    files.pipe_file(path, content)
    digest = chunk_digest(plan.key, "jacobian", 3, content)
    files.pipe_file(f"{entry_folder(url)[1]}/digests/jacobian.3.{digest}", b"")
    return 1


def digests_gone(url: str) -> int:
    files, folder = entry_folder(url)
    files.rm(f"{folder}/digests", recursive=True)
    return L


def key_altered(url: str) -> int:
    files, folder = entry_folder(url)
    files.pipe_file(f"{folder}/key.json", b'{"sequence": "another"}')
    return 0


def all_gone(url: str) -> int:
    files, folder = entry_folder(url)
    files.rm(folder, recursive=True)
    return L


DAMAGES = [flip, cut, empty, swap, foreign, missing, not_finite, digests_gone, key_altered, all_gone]
