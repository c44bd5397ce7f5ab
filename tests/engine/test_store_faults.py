"""Nothing that happens to a store becomes a wrong number: what was damaged is computed anew, or said."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from cache_counts import Counts
from checkpoints import random_esm2
from stored_stubs import RESIDUES, L, chunks, compute, entry_of
from stubs import PottsModel

from catjac_widgets.analysis.contacts.maps import contacts
from catjac_widgets.analysis.summaries import epistasis, sensitivity
from catjac_widgets.engine.api import jacobian
from catjac_widgets.engine.cache import stored
from catjac_widgets.engine.cache.chunked.chunks import ChunkForm
from catjac_widgets.engine.cache.folder.entry import FolderEntry
from catjac_widgets.engine.cache.folder.files import FolderFiles
from catjac_widgets.engine.cache.info import CacheWarning
from catjac_widgets.engine.cache.store import cache
from catjac_widgets.engine.compute.error_check import sampled_rows
from catjac_widgets.errors import CacheError
from catjac_widgets.language_models.registry import wrap

pytestmark = pytest.mark.filterwarnings("ignore::catjac_widgets.engine.cache.info.CacheWarning")


def swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def swap_two_rows(entry: FolderEntry, foreign: FolderEntry) -> None:
    swap(chunks(entry)[2], chunks(entry)[9])


def copy_a_row(entry: FolderEntry, foreign: FolderEntry) -> None:
    shutil.copy(chunks(entry)[2], chunks(entry)[9])


def a_row_of_another_model(entry: FolderEntry, foreign: FolderEntry) -> None:
    shutil.copy(chunks(foreign)[5], chunks(entry)[5])


def a_row_of_another_model_with_its_digest(entry: FolderEntry, foreign: FolderEntry) -> None:
    shutil.copy(chunks(foreign)[5], chunks(entry)[5])
    for mark in (foreign.folder / "digests").glob("jacobian.5.*"):
        shutil.copy(mark, entry.folder / "digests")


def the_rows_of_another_model(entry: FolderEntry, foreign: FolderEntry) -> None:
    shutil.rmtree(entry.group)
    shutil.copytree(foreign.group, entry.group)


def the_whole_entry_of_another_model(entry: FolderEntry, foreign: FolderEntry) -> None:
    shutil.rmtree(entry.folder)
    shutil.copytree(foreign.folder, entry.folder)


def infinities_with_a_good_checksum(entry: FolderEntry, foreign: FolderEntry) -> None:
    row = np.full((1, *entry.plan.row_shape), np.inf, np.float32)
    chunks(entry)[3].write_bytes(ChunkForm(row.shape, row.dtype).content(row))


def other_numbers_with_a_good_checksum(entry: FolderEntry, foreign: FolderEntry) -> None:
    row = 1.5 * entry.read(3)[None]
    chunks(entry)[3].write_bytes(ChunkForm(row.shape, row.dtype).content(row))


def beside(entry: FolderEntry, name: str) -> Path:
    return next((entry.group / name).glob("c.*"))


def foreign_wild_type_logits(entry: FolderEntry, foreign: FolderEntry) -> None:
    shutil.copy(beside(foreign, "wild_type_logits"), beside(entry, "wild_type_logits"))


def contacts_and_norms_swapped(entry: FolderEntry, foreign: FolderEntry) -> None:
    swap(beside(entry, "contacts"), beside(entry, "block_norms"))


def not_a_number_in_the_contacts(entry: FolderEntry, foreign: FolderEntry) -> None:
    values = np.full((L, L), np.nan, np.float32)
    beside(entry, "contacts").write_bytes(ChunkForm(values.shape, values.dtype).content(values))


def all_digests_gone(entry: FolderEntry, foreign: FolderEntry) -> None:
    shutil.rmtree(entry.folder / "digests")


FAULTS: list[Callable[[FolderEntry, FolderEntry], None]] = [
    swap_two_rows,
    copy_a_row,
    a_row_of_another_model,
    a_row_of_another_model_with_its_digest,
    the_rows_of_another_model,
    the_whole_entry_of_another_model,
    infinities_with_a_good_checksum,
    other_numbers_with_a_good_checksum,
    foreign_wild_type_logits,
    contacts_and_norms_swapped,
    not_a_number_in_the_contacts,
    all_digests_gone,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("lazy", [False, True])
def test_what_lies_in_the_wrong_place_is_not_believed(
    fault: Callable[[FolderEntry, FolderEntry], None], lazy: bool
) -> None:
    model = PottsModel(symmetric=False)
    whole, other = compute(model), compute(PottsModel(seed=9, symmetric=False))
    expected = contacts(whole.copy(data=whole.values.copy()).drop_attrs(), allow_partial=True).values
    assert not np.allclose(whole.values, other.values)
    fault(entry_of(RESIDUES, model), entry_of(RESIDUES, PottsModel(seed=9, symmetric=False)))
    again = compute(model, lazy=lazy)
    for _ in range(L + 1):
        try:
            np.testing.assert_array_equal(again.values, whole.values)
            break
        except CacheError:
            # A lazy array said which row it is; the next call makes it anew.
            compute(model, lazy=lazy)
    else:
        pytest.fail("a row never became readable")
    np.testing.assert_array_equal(again.wild_type_logits, whole.wild_type_logits)
    np.testing.assert_allclose(contacts(compute(model, lazy=lazy)).values, expected, atol=1e-5)
    kept = stored.contacts(entry_of(RESIDUES, model).plan)
    assert kept is None or np.allclose(kept.values, expected, atol=1e-5)


def test_a_missing_row_of_an_open_array_is_an_error_and_heals(counts: Counts) -> None:
    model = PottsModel()
    whole = compute(model)
    lazy = compute(model, lazy=True)
    entry = entry_of(RESIDUES, model)
    chunks(entry)[4].unlink()
    for use in (
        lambda: lazy.values,
        lambda: lazy.sel(pos_in=5).values,
        lambda: contacts(lazy.drop_attrs(), allow_partial=True),
        lambda: epistasis(lazy),
    ):
        with pytest.raises(CacheError, match=r"Residue 5 .*again"):
            use()
    np.testing.assert_array_equal(lazy.sel(pos_in=[4, 6]), whole.sel(pos_in=[4, 6]))
    compute(model)
    assert counts()[0] == L + 1
    np.testing.assert_array_equal(lazy.values, whole.values)


def test_a_damaged_row_of_an_open_array_heals_with_the_next_call(counts: Counts) -> None:
    model = PottsModel()
    whole = compute(model)
    lazy = compute(model, lazy=True)
    content = bytearray(chunks(entry_of(RESIDUES, model))[4].read_bytes())
    content[100] ^= 1
    chunks(entry_of(RESIDUES, model))[4].write_bytes(content)
    shutil.rmtree(entry_of(RESIDUES, model).group / "block_norms" / "c.0.0", ignore_errors=True)
    (entry_of(RESIDUES, model).group / "block_norms" / "c.0.0").unlink(missing_ok=True)
    with pytest.raises(CacheError, match="Residue 5"):
        sensitivity(lazy)
    with pytest.raises(CacheError, match="Residue 5"):
        _ = lazy.values
    compute(model, lazy=True)
    assert counts()[0] == L + 1
    np.testing.assert_array_equal(lazy.values, whole.values)
    xr.testing.assert_allclose(sensitivity(lazy), sensitivity(whole), atol=1e-5)


def test_a_row_that_cannot_be_read_now_is_not_deleted(
    monkeypatch: pytest.MonkeyPatch, counts: Counts
) -> None:
    model = PottsModel()
    whole = compute(model)
    lazy = compute(model, lazy=True)
    read = Path.read_bytes

    def too_many(path: Path) -> bytes:
        if path.name == "c.4.0.0.0":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", too_many)
        with pytest.raises(CacheError, match=r"Residue 5 .*Too many open files"):
            _ = lazy.values
    np.testing.assert_array_equal(lazy.values, whole.values)
    assert counts()[0] == L


def test_a_damaged_row_on_a_disk_that_is_full_is_computed_anew(
    counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that were to stay on disk come to memory, where the damage of one is found late."""
    model = PottsModel(seed=0)
    whole = compute(model, cache=False)
    compute(model, positions=range(1, 8))
    entry = entry_of(RESIDUES, model)
    swap(chunks(entry)[2], chunks(entry)[4])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FolderFiles, "write", full)
    np.testing.assert_array_equal(compute(model, lazy=True), whole)


def test_a_damaged_row_that_an_error_is_measured_on_is_computed_anew() -> None:
    """Approximate rows that stay on disk are read again to be compared with exact ones."""
    residues, model = 5 * RESIDUES, wrap(random_esm2(2, 32, 4))
    options: dict[str, Any] = {"numerics": "delta-bfloat16", "progress": False}
    whole = jacobian(residues, model, cache=False, **options)
    (sampled,) = sampled_rows(list(range(len(residues))))
    jacobian(residues, model, positions=range(sampled - 1, sampled + 4), **options)
    entry = entry_of(residues, model, numerics="delta-bfloat16")
    swap(*(entry.group / "jacobian" / f"c.{row}.0.0.0" for row in (sampled, sampled + 1)))
    made = jacobian(residues, model, lazy=True, **options)
    np.testing.assert_array_equal(made, whole)
    assert made.attrs["numerics_error"] == whole.attrs["numerics_error"]


def test_a_disk_that_keeps_something_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    write = FolderFiles.write
    monkeypatch.setattr(
        FolderFiles, "write", lambda files, name, content: write(files, name, content[:-1] + b"\0")
    )
    options: dict[str, Any] = {"numerics": "delta-bfloat16", "lazy": True, "progress": False}
    with pytest.raises(CacheError, match="damaged in the cache as fast as they were computed"):
        jacobian(5 * RESIDUES, wrap(random_esm2(1, 16, 2)), **options)


def test_a_deleted_folder_is_an_error_and_never_nan(cache_folder: Path) -> None:
    lazy = compute(PottsModel(), lazy=True)
    shutil.rmtree(cache_folder)
    with pytest.raises(CacheError, match=r"Residue 1 .*not there any more"):
        _ = lazy.values


def test_an_open_array_is_not_evicted_and_a_dropped_one_is(
    monkeypatch: pytest.MonkeyPatch, cache_folder: Path
) -> None:
    import gc

    first = compute(PottsModel(seed=0), lazy=True)
    expected = compute(PottsModel(seed=0), cache=False).values
    size = cache.info().size
    monkeypatch.setenv("CATJAC_CACHE_LIMIT", str(int(1.5 * size)))
    with pytest.warns(CacheWarning, match="in use"):
        compute(PottsModel(seed=1))
    np.testing.assert_array_equal(first.values, expected)
    del first
    gc.collect()
    compute(PottsModel(seed=2))
    info = cache.info()
    assert info.entries == 1
    assert info.size <= 1.5 * size


def test_the_limit_holds_while_lazy_arrays_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    compute(PottsModel(seed=100))
    size = cache.info().size
    monkeypatch.setenv("CATJAC_CACHE_LIMIT", str(int(3.2 * size)))
    for seed in range(12):
        assert np.isfinite(compute(PottsModel(seed=seed), lazy=True).sel(pos_in=3).values).all()
        assert cache.info().size <= 3.2 * size


def test_an_open_array_can_be_pickled_and_copied() -> None:
    whole = compute(PottsModel())
    lazy = compute(PottsModel(), lazy=True)
    for other in (pickle.loads(pickle.dumps(lazy)), lazy.copy(deep=True), lazy.copy()):
        np.testing.assert_array_equal(other.values, whole.values)


@pytest.mark.parametrize("index", [0, -1, slice(2, 9, 3), [5, 2, 2], slice(0, 0), np.arange(L) % 2 == 0])
def test_an_open_array_is_indexed_as_numpy_is(index: object) -> None:
    whole = compute(PottsModel(symmetric=False))
    lazy = compute(PottsModel(symmetric=False), lazy=True)
    for key in (
        {"pos_in": index},
        {"pos_in": index, "pos_out": index},
        {"pos_in": index, "aa_in": [3, 1], "pos_out": index, "aa_out": 7},
        {"pos_out": index, "aa_in": slice(None, None, -1)},
    ):
        xr.testing.assert_identical(lazy.isel(key).load(), whole.isel(key))
    assert not lazy.variable._in_memory


# ---- one bad entry, one full moment


@pytest.mark.parametrize("name", ["key.json", "arrays.zarr", "arrays.zarr/zarr.json", "digests", "."])
def test_one_bad_entry_does_not_switch_the_folder_off(name: str, counts: Counts) -> None:
    model = PottsModel()
    whole = compute(model)
    entry = entry_of(RESIDUES, model)
    path = entry.folder / name
    if path.is_dir():
        shutil.rmtree(path)
        path.write_text("a file where a folder should be")
    else:
        path.unlink()
        path.mkdir()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        np.testing.assert_array_equal(compute(model).values, whole.values)
    assert [str(each.message) for each in told if each.category is CacheWarning]
    computed = counts()[0]
    compute(model)
    compute(PottsModel(seed=1))
    compute(PottsModel(seed=1))
    assert counts()[0] == computed + L
    info = cache.info()
    assert (info.entries, info.in_memory) == (2, False)
    assert not list(entry.folder.parent.glob(".removed*"))


def test_a_folder_that_can_be_written_again_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counts: Counts
) -> None:
    blocker = tmp_path / "a file"
    blocker.write_text("")
    monkeypatch.setenv("CATJAC_CACHE", str(blocker / "cache"))
    with pytest.warns(CacheWarning, match="cannot be written.*in memory"):
        compute(PottsModel(seed=0))
    assert cache.info().in_memory
    compute(PottsModel(seed=0))
    assert counts() == (L, L, 0)
    blocker.unlink()
    compute(PottsModel(seed=1))
    info = cache.info()
    assert (info.in_memory, info.entries, info.path) == (False, 2, blocker / "cache")


def test_an_entry_of_a_later_version_is_left_alone_and_said(counts: Counts) -> None:
    model = PottsModel()
    whole = compute(model)
    path = entry_of(RESIDUES, model).group / "zarr.json"
    text = path.read_text().replace('"catjac_format": 2', '"catjac_format": 3')
    path.write_text(text)
    with pytest.warns(CacheWarning, match="later version of catjac.*upgrade"):
        again = compute(model)
    np.testing.assert_array_equal(again.values, whole.values)
    assert counts()[0] == 2 * L
    assert path.read_text() == text
