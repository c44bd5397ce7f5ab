"""The store: what is on disk, what counts as done, what is evicted, and when it cannot be written."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from conftest import Counts
from hypothesis import given
from hypothesis import strategies as st
from oracles import order_a
from stubs import BatchDependentModel, FailingModel, PottsModel

from catjac_widgets.engine import folders, resources
from catjac_widgets.engine.cache_info import CacheWarning
from catjac_widgets.engine.folder_entry import FolderEntry
from catjac_widgets.engine.jacobians import jacobian, plan_for, submit
from catjac_widgets.engine.store import Cache, cache
from catjac_widgets.engine.stored import stored_contacts
from catjac_widgets.errors import ResourceError, UsageError
from catjac_widgets.masks import Mask

RESIDUES = "MKTAYIAKQRQISF"
L = len(RESIDUES)


def entry_of(sequence: str, model: PottsModel, **options: Any) -> FolderEntry:
    plan, _ = plan_for(sequence, model, **options)
    entry = cache.find(plan)
    assert isinstance(entry, FolderEntry)
    return entry


def chunks(entry: FolderEntry) -> list[Path]:
    return sorted((entry.group / "jacobian").glob("c.*"), key=lambda path: int(path.name.split(".")[1]))


def compute(model: PottsModel, **options: Any) -> xr.DataArray:
    return jacobian(RESIDUES, model, progress=False, **options)


# ---- what is on disk


def test_an_entry_is_a_zarr_group_that_anybody_can_read(cache_folder: Path) -> None:
    model = PottsModel()
    made = compute(model)
    entry = entry_of(RESIDUES, model)
    assert entry.folder.is_relative_to(cache_folder)
    group = zarr.open_group(str(entry.group), mode="r")
    rows = group["jacobian"]
    assert isinstance(rows, zarr.Array)
    assert rows.metadata.zarr_format == 3
    assert rows.chunks == (1, 20, L, 20)
    assert rows.shards is None
    assert np.isnan(rows.fill_value)
    assert [type(codec).__name__ for codec in rows.metadata.codecs] == ["BytesCodec", "Crc32cCodec"]
    np.testing.assert_array_equal(rows[...], made.values)
    np.testing.assert_array_equal(group["wild_type_logits"][...], made.wild_type_logits.values)
    assert json.loads((entry.folder / "key.json").read_text())["sequence"] == RESIDUES
    assert len(chunks(entry)) == L
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened = xr.open_zarr(entry.group, consolidated=False, chunks=None)
    assert opened.jacobian.dims == ("pos_in", "aa_in", "pos_out", "aa_out")


def test_masked_positions_have_no_chunk() -> None:
    model = PottsModel()
    mask = Mask.hiding(RESIDUES, [(2, 4)])
    made = compute(model, mask=mask)
    present = [int(path.name.split(".")[1]) for path in chunks(entry_of(RESIDUES, model, mask=mask))]
    assert present == [0, *range(4, L)]
    lazy = compute(model, mask=mask, lazy=True)
    np.testing.assert_array_equal(lazy.values, made.values)
    assert np.isnan(lazy.values[1:4]).all()


def test_a_row_that_equals_the_fill_value_is_written_all_the_same() -> None:
    model = PottsModel()
    compute(model, positions=[1])
    entry = entry_of(RESIDUES, model)
    entry.write(5, np.full(entry.plan.row_shape, np.nan, dtype=np.float32))
    assert len(chunks(entry)) == 2


# ---- asking again


def test_asking_again_computes_nothing(counts: Counts) -> None:
    model = PottsModel()
    first = compute(model)
    assert counts() == (L, 0, 0)
    ran, prepared = model.sequences_run, model.prepared
    second = compute(model)
    assert counts() == (L, L, 0)
    assert (model.sequences_run, model.prepared) == (ran, prepared)
    xr.testing.assert_identical(first, second)


def test_a_subset_computes_the_subset_and_is_part_of_the_whole(counts: Counts) -> None:
    model = PottsModel()
    some = compute(model, positions=[3, 9, 4])
    assert counts() == (3, 0, 0)
    compute(model, positions=[9, 3])
    assert counts() == (3, 2, 0)
    whole = compute(model)
    assert counts() == (L, 5, 0)
    np.testing.assert_array_equal(some.values, whole.sel(pos_in=[3, 9, 4]).values)


def test_variants_masks_and_models_have_entries_of_their_own() -> None:
    for k, options in enumerate(
        ({}, {"variant": "fast"}, {"mask": Mask.hiding(RESIDUES, [(1, 2)])}, {"numerics": "float64"})
    ):
        compute(PottsModel(), **options)
        assert cache.info().entries == k + 1
    compute(PottsModel(seed=1))
    assert cache.info().entries == 5


def test_cache_false_keeps_nothing_and_reads_nothing(counts: Counts, cache_folder: Path) -> None:
    compute(PottsModel(), cache=False)
    assert not cache_folder.exists()
    compute(PottsModel())
    compute(PottsModel(), cache=False)
    assert counts() == (3 * L, 0, 0)


# ---- interrupted, and corrupt


def test_a_sweep_that_failed_goes_on_where_it_stopped_with_the_same_bits(counts: Counts) -> None:
    class Fragile(BatchDependentModel, FailingModel):
        pass

    model = Fragile(10, "W")
    model.broken = False
    whole = compute(model, cache=False, batch_size=57)
    model.broken = True
    with pytest.raises(Exception, match="Q11 → W"):
        compute(model, batch_size=57)
    assert counts() == (L + 9, 0, 0)
    model.broken = False
    resumed = compute(model, batch_size=57)
    assert counts() == (L + 9 + 5, 9, 0)
    np.testing.assert_array_equal(resumed.values, whole.values)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "remove", "not finite"])
def test_a_damaged_row_is_computed_again(damage: str, counts: Counts) -> None:
    model = PottsModel()
    whole = compute(model)
    entry = entry_of(RESIDUES, model)
    chunk = chunks(entry)[4]
    content = bytearray(chunk.read_bytes())
    if damage == "flip":
        content[777] ^= 4
        chunk.write_bytes(content)
    elif damage == "cut":
        chunk.write_bytes(content[:1000])
    elif damage == "empty":
        chunk.write_bytes(b"")
    elif damage == "remove":
        chunk.unlink()
    else:
        row = entry.read(4)
        row[3, 3, 3] = np.nan
        entry.write(4, row)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        again = compute(model)
    told = [str(warning.message) for warning in caught if warning.category is CacheWarning]
    # A row that is missing, or was cut short by a crash, is simply not done; one that lies is worth a word.
    assert len(told) == (damage in ("flip", "not finite"))
    assert all("corrupt" in text and "computed again" in text for text in told)
    assert counts() == (L + 1, L - 1, 0)
    np.testing.assert_array_equal(again.values, whole.values)
    compute(model)
    assert counts() == (L + 1, L - 1 + L, 0)


@pytest.mark.parametrize("name", ["zarr.json", "jacobian/zarr.json", "contacts/zarr.json"])
@pytest.mark.parametrize("content", ["{}", "not JSON", None])
def test_metadata_is_compared_with_the_key_and_put_right(
    name: str, content: str | None, counts: Counts
) -> None:
    model = PottsModel()
    whole = compute(model)
    entry = entry_of(RESIDUES, model)
    path = entry.group / name
    before = path.read_text()
    if content is None:
        path.write_text(
            before.replace('"float32"', '"float64"').replace('"catjac_key": "', '"catjac_key": "0')
        )
        assert path.read_text() != before
    else:
        path.write_text(content)
    with pytest.warns(CacheWarning, match="altered"):
        again = compute(model)
    assert path.read_text() == before
    np.testing.assert_array_equal(again.values, whole.values)
    assert counts() == (L, L, 0)


def test_a_damaged_summary_or_baseline_is_made_again() -> None:
    model = PottsModel()
    whole = compute(model)
    entry = entry_of(RESIDUES, model)
    for name in ("contacts", "wild_type_logits"):
        chunk = entry.group / name / "c.0.0"
        content = bytearray(chunk.read_bytes())
        content[10] ^= 1
        chunk.write_bytes(content)
    xr.testing.assert_identical(compute(model), whole)
    assert entry_of(RESIDUES, model).read_beside("contacts") is not None


def test_the_summaries_lie_beside_a_completed_jacobian() -> None:
    model = PottsModel()
    compute(model, positions=range(1, 8))
    entry = entry_of(RESIDUES, model)
    assert entry.read_beside("contacts") is None
    whole = compute(model)
    kept = stored_contacts(whole)
    assert kept is not None
    expected = order_a(whole.values)
    np.testing.assert_allclose(kept.values, expected, atol=1e-5 * np.abs(expected).max())
    assert stored_contacts(entry.plan) is not None
    # Arithmetic may keep the attributes; the numbers decide.
    assert stored_contacts((2 * whole).assign_attrs(whole.attrs)) is None
    assert stored_contacts(whole.isel(pos_in=slice(3))) is None


# ---- several at once


WRITER = """
import sys, numpy as np
sys.path.insert(0, sys.argv[1])
from stubs import BatchDependentModel
from catjac_widgets.engine.jacobians import jacobian
from catjac_widgets.engine.store import cache
made = jacobian("MKTAYIAKQRQISF" * 3, BatchDependentModel(), progress=False, batch_size=38)
info = cache.info()
print(info.rows_computed, info.rows_read, float(np.abs(made.values).sum()))
"""


def test_processes_may_write_the_same_rows(cache_folder: Path) -> None:
    tests = str(Path(__file__).parents[1])
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, tests], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = []
    for process in running:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        answers.append(out.split())
    assert len({answer[2] for answer in answers}) == 1
    assert all(int(computed) + int(read) == 42 for computed, read, _ in answers)
    # And a fresh process computes nothing.
    out = subprocess.run(
        [sys.executable, "-c", WRITER, tests], capture_output=True, text=True, check=True
    ).stdout
    assert out.split() == ["0", "42", answers[0][2]]


def test_two_jobs_for_the_same_rows_share_them(counts: Counts) -> None:
    model = PottsModel()
    jobs = [submit(RESIDUES, model, batch_size=19) for _ in range(3)]
    results = [job.result(30) for job in jobs]
    assert counts() == (L, 2 * L, 0)
    assert model.sequences_run == 19 * L
    for result in results[1:]:
        np.testing.assert_array_equal(result.values, results[0].values)


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
    assert stored_contacts(made) is not None
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
    assert stored_contacts(second) is not None
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


def test_an_entry_that_another_process_uses_is_kept_and_marks_of_the_dead_are_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compute(PottsModel(seed=0))
    folder = entry_of(RESIDUES, PottsModel(seed=0)).folder
    me = folders.process_name()
    host = me.rpartition("-")[0]
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = folder / "in_use" / f"{host}-{child.pid}"
    mark.touch()
    monkeypatch.setenv("CATJAC_CACHE_LIMIT", str(int(1.2 * cache.info().size)))
    compute(PottsModel(seed=1))
    assert folder.exists()
    child.communicate(b"\n", timeout=30)
    compute(PottsModel(seed=2))
    assert not folder.exists()


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
    from catjac_widgets.engine import store

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
    from catjac_widgets.engine.cache_info import parse_size, readable_size

    assert parse_size(case[0], name="X") == case[1]
    assert readable_size(1234) == "1 kB"
    with pytest.raises(UsageError, match="X='much' is not a size"):
        parse_size("much", name="X")
