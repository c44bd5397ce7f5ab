"""The cache: lazy opening, where it is, how large it may be, what is evicted, a disk that is full."""

from __future__ import annotations

import errno
import os
import time
import warnings
from pathlib import Path

import forked
import numpy as np
import pytest
import xarray as xr
from cache_counts import Counts
from hypothesis import given
from hypothesis import strategies as st
from sharing import share
from stored_stubs import RESIDUES, L, compute, entry_of
from stubs import PottsModel

from catjac_widgets.engine.api import submit
from catjac_widgets.engine.cache import stored
from catjac_widgets.engine.cache.folder import folders
from catjac_widgets.engine.cache.folder.entry import FolderEntry
from catjac_widgets.engine.cache.info import CacheWarning
from catjac_widgets.engine.cache.store import Cache, cache
from catjac_widgets.engine.compute import memory as resources
from catjac_widgets.errors import ResourceError, UsageError

# ---- lazy


def test_a_lazy_jacobian_is_not_loaded_and_equals_the_other() -> None:
    model = PottsModel()
    whole = compute(model)
    lazy = compute(model, lazy=True)
    assert not lazy.variable._in_memory
    xr.testing.assert_identical(lazy.sel(pos_in=4, pos_out=7).load(), whole.sel(pos_in=4, pos_out=7))
    some = compute(model, lazy=True, positions=[9, 2])
    assert not some.variable._in_memory
    np.testing.assert_array_equal(some.values, whole.sel(pos_in=[9, 2]).values)
    assert not lazy.variable._in_memory


def test_a_large_jacobian_is_lazy_of_itself(monkeypatch: pytest.MonkeyPatch, counts: Counts) -> None:
    monkeypatch.setattr(resources, "LAZY_BYTES", 10_000)
    model = PottsModel()
    made = compute(model)
    assert counts() == (L, 0, 0)
    assert not made.variable._in_memory
    np.testing.assert_array_equal(made.values, compute(model, lazy=False).values)
    assert stored.contacts(made) is not None
    rows: dict[int, np.ndarray] = {}
    job = submit(RESIDUES, model)
    job.add_listener(rows.__setitem__)
    assert not job.result(10).variable._in_memory
    deadline = time.monotonic() + 10
    while len(rows) < L and time.monotonic() < deadline:
        time.sleep(0.01)
    for position, row in rows.items():
        np.testing.assert_array_equal(row, made.sel(pos_in=position).values)
    assert sorted(rows) == list(range(1, L + 1))


def test_a_jacobian_of_dask_is_read_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    from catjac_widgets.analysis.contacts.maps import contacts
    from catjac_widgets.engine import labels

    whole = compute(PottsModel(symmetric=False))
    assert compute(PottsModel(symmetric=False), lazy="dask").chunksizes["pos_in"] == (L,)
    row = 20 * L * 20 * 4
    monkeypatch.setattr(labels, "DASK_BYTES", 3 * row - 1)
    made = compute(PottsModel(symmetric=False), lazy="dask")
    assert made.chunksizes["pos_in"] == (3, 3, 3, 3, 2)
    xr.testing.assert_identical(made.compute(), whole)
    np.testing.assert_allclose(contacts(made), contacts(whole), atol=1e-6)
    np.testing.assert_allclose(made.mean("pos_in"), whole.mean("pos_in"), atol=1e-6)


def test_lazy_needs_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="cache folder"):
        compute(PottsModel(), lazy=True, cache=False)
    monkeypatch.setenv("CATJAC_CACHE", "memory")
    with pytest.raises(UsageError, match="cache folder"):
        compute(PottsModel(), lazy=True)
    with pytest.raises(UsageError, match="'auto'"):
        compute(PottsModel(), lazy="yes")


# ---- where, and how much


def test_in_memory(monkeypatch: pytest.MonkeyPatch, counts: Counts, cache_folder: Path) -> None:
    monkeypatch.setenv("CATJAC_CACHE", "memory")
    model = PottsModel(seed=77)
    first = compute(model)
    first_values = first.values.copy()
    first.values[...] = 0.0  # Whoever changes what they were given does not change what is kept.
    second = compute(model)
    assert counts() == (L, L, 0)
    np.testing.assert_array_equal(second.values, first_values)
    assert not cache_folder.exists()
    info = cache.info()
    assert info.in_memory
    assert info.path is None
    assert info.entries >= 1
    assert stored.contacts(second) is not None
    assert cache.clear() >= 1
    assert cache.info().entries == 0


def test_off(monkeypatch: pytest.MonkeyPatch, counts: Counts, cache_folder: Path) -> None:
    monkeypatch.setenv("CATJAC_CACHE", "off")
    for _ in range(2):
        compute(PottsModel())
    assert counts() == (2 * L, 0, 0)
    assert not cache_folder.exists()
    info = cache.info()
    assert (info.path, info.in_memory, info.entries) == (None, False, 0)
    assert "off" in str(info)


def test_without_a_setting_it_is_the_platform_s_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    import platformdirs

    monkeypatch.delenv("CATJAC_CACHE")
    assert cache.folder is not None
    assert cache.folder.is_relative_to(platformdirs.user_cache_dir("catjac", appauthor=False))


def test_a_folder_that_cannot_be_written_is_said_once_and_rows_stay_in_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, counts: Counts
) -> None:
    (tmp_path / "a file").write_text("not a folder")
    monkeypatch.setenv("CATJAC_CACHE", str(tmp_path / "a file" / "cache"))
    model = PottsModel(seed=78)
    with pytest.warns(CacheWarning, match="cannot be written.*in memory"):
        first = compute(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CacheWarning)
        second = compute(model)
    np.testing.assert_array_equal(first.values, second.values)
    assert counts() == (L, L, 0)
    assert cache.info().in_memory


@pytest.mark.parametrize("lazy", [False, True])
def test_a_full_disk_loses_nothing(monkeypatch: pytest.MonkeyPatch, counts: Counts, lazy: bool) -> None:
    model = PottsModel()
    expected = compute(model, cache=False)
    write = FolderEntry.write
    written: list[int] = []

    def until_full(self: FolderEntry, index: int, row: np.ndarray) -> None:
        if len(written) == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(index)
        write(self, index, row)

    monkeypatch.setattr(FolderEntry, "write", until_full)
    with pytest.warns(CacheWarning, match="No space left.*goes on in memory") as caught:
        made = compute(model, lazy=lazy)
    assert sum(warning.category is CacheWarning for warning in caught) == 1
    np.testing.assert_array_equal(made.values, expected.values)
    assert counts()[0] == 2 * L
    monkeypatch.undo()


def test_what_was_written_before_the_disk_was_full_is_used(
    monkeypatch: pytest.MonkeyPatch, counts: Counts
) -> None:
    model = PottsModel()
    write = FolderEntry.write

    def first_five(self: FolderEntry, index: int, row: np.ndarray) -> None:
        if index >= 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, index, row)

    with monkeypatch.context() as patch:
        patch.setattr(FolderEntry, "write", first_five)
        with pytest.warns(CacheWarning):
            compute(model)
    compute(model)
    assert counts() == (2 * L - 5, 5, 0)


def test_the_least_recently_used_goes_first_and_never_one_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [PottsModel(seed=k) for k in range(6)]
    compute(models[0])
    size = cache.info().size
    monkeypatch.setenv("CATJAC_CACHE_LIMIT", str(int(3.5 * size)))
    for k in (1, 2):
        compute(models[k])
    held = entry_of(RESIDUES, models[0])
    stamps = {k: entry_of(RESIDUES, models[k]).folder for k in range(3)}
    for age, k in enumerate((1, 0, 2)):
        os.utime(stamps[k] / "used", (1000.0 + age, 1000.0 + age))
    cache.hold(held)
    os.utime(stamps[0] / "used", (1.0, 1.0))  # the oldest of all, but in use
    compute(models[3])
    assert [folder.exists() for folder in stamps.values()] == [True, False, True]
    cache.release(held)
    os.utime(stamps[0] / "used", (1.0, 1.0))
    compute(models[4])
    assert [folder.exists() for folder in stamps.values()] == [False, False, True]
    assert cache.info().size <= cache.limit


def test_fits_and_folders_without_a_key_count_and_make_room(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute(PottsModel(seed=0))
    size = cache.info().size
    fit, stray = cache_folder / "potts" / "old.safetensors", cache_folder / "ab" / ("ab" * 32) / "rows"
    for path in (fit, stray):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
        for each in (path, path.parent):
            os.utime(each, (1e9, 1e9))
    assert cache.info().size >= 3 * size
    monkeypatch.setenv("CATJAC_CACHE_LIMIT", str(int(2.5 * size)))
    compute(PottsModel(seed=1))
    # What was not used for longest went, whatever it was; both Jacobians are there.
    assert not fit.exists()
    assert not stray.exists()
    assert cache.info().size <= cache.limit
    assert len(list(cache_folder.rglob("key.json"))) == 2
    fit.write_bytes(b"1")
    cache.clear()
    assert cache.info().size == 0


def test_the_limit_holds_over_several_processes(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compute(PottsModel(seed=0))
    size = cache.info().size
    monkeypatch.setenv("CATJAC_CACHE_LIMIT", str(int(2.2 * size)))
    started = [forked.start(share, "slow", RESIDUES[k:] + RESIDUES[:k], 19) for k in range(1, 5)]
    for _, heard in started:
        assert heard.recv() == "ready"
    for _, heard in started:
        heard.send("go")
    for process in started:
        assert forked.answer(*process)[2].shape == (L, 20, L, 20)
    assert cache.info().size <= cache.limit


def test_a_lazily_opened_entry_is_not_taken_away() -> None:
    lazy = compute(PottsModel(), lazy=True)
    expected = lazy.values.copy()
    cache.clear()
    np.testing.assert_array_equal(lazy.values, expected)


def test_larger_than_the_limit_is_computed_and_not_kept(
    monkeypatch: pytest.MonkeyPatch, counts: Counts
) -> None:
    monkeypatch.setenv("CATJAC_CACHE_LIMIT", "100KB")
    model = PottsModel()
    with pytest.warns(CacheWarning, match="larger than the cache may be"):
        compute(model)
    with pytest.raises(ResourceError, match="CATJAC_CACHE_LIMIT"):
        compute(model, lazy=True)
    assert counts() == (L, 0, 0)


def test_the_default_limit_is_a_tenth_of_the_free_disk_at_most(
    monkeypatch: pytest.MonkeyPatch, cache_folder: Path
) -> None:
    monkeypatch.setattr(folders, "free_disk", lambda folder: 10**10)
    assert Cache().limit == 10**9
    monkeypatch.setattr(folders, "free_disk", lambda folder: 10**13)
    assert Cache().limit == 20 * 10**9


def test_the_first_large_write_says_where_and_how_much(
    monkeypatch: pytest.MonkeyPatch, cache_folder: Path
) -> None:
    from catjac_widgets.engine.cache import store

    monkeypatch.setattr(store, "_LARGE_BYTES", 10_000)
    job = submit(RESIDUES, PottsModel())
    with pytest.warns(CacheWarning, match=r"Writing 314 kB of rows to .*\(limit"):
        job.result(30)
    assert str(cache_folder) in job.notes[0]
    assert submit(RESIDUES, PottsModel(seed=1)).result(30) is not None


def test_info_and_clear() -> None:
    compute(PottsModel(seed=0))
    compute(PottsModel(seed=1))
    info = cache.info()
    assert info.entries == 2
    assert info.size > 2 * L * 20 * L * 20 * 4
    assert "entries" in str(info)
    assert "<table>" in info._repr_html_()
    old = entry_of(RESIDUES, PottsModel(seed=0)).folder
    past = time.time() - 31 * 86400
    os.utime(old / "used", (past, past))
    assert cache.clear(older_than="30d") == 1
    assert not old.exists()
    assert cache.clear(older_than="30d") == 0
    assert cache.clear() == 1
    assert cache.info().entries == 0
    with pytest.raises(UsageError, match="30d"):
        cache.clear(older_than="a month")


@given(
    st.sampled_from(
        [("5GB", 5e9), ("5 gb", 5e9), ("1.5M", 1.5e6), ("123", 123), ("20KB", 2e4), ("2TB", 2e12)]
    )
)
def test_sizes(case: tuple[str, float]) -> None:
    from catjac_widgets.engine.cache.info import parse_size, readable_size

    assert parse_size(case[0], name="X") == case[1]
    assert readable_size(1234) == "1 kB"
    with pytest.raises(UsageError, match="X='much' is not a size"):
        parse_size("much", name="X")
