"""The store: what is on disk, what counts as done, and rows that are damaged or made by several at once."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import forked
import numpy as np
import pytest
import xarray as xr
import zarr
from cache_counts import Counts
from oracles import order_a
from sharing import share
from stored_stubs import RESIDUES, L, chunks, compute, entry_of
from stubs import BatchDependentModel, FailingModel, PottsModel

from catjac_widgets.engine.api import submit
from catjac_widgets.engine.cache import stored
from catjac_widgets.engine.cache.info import CacheWarning
from catjac_widgets.engine.cache.store import cache
from catjac_widgets.proteins.masks import Mask

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


def test_devices_are_remembered_by_name() -> None:
    model = PottsModel()
    compute(model, positions=[1])
    entry = entry_of(RESIDUES, model)
    entry.add_device("cuda:1")
    assert entry.devices() == ("cpu", "cuda:1")
    assert compute(model).attrs["devices"] == "cpu, cuda:1"


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
        row = entry.read(4).copy()
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
    kept = stored.contacts(whole)
    assert kept is not None
    expected = order_a(whole.values)
    np.testing.assert_allclose(kept.values, expected, atol=1e-5 * np.abs(expected).max())
    assert stored.contacts(entry.plan) is not None
    # Arithmetic may keep the attributes; the numbers decide.
    assert stored.contacts((2 * whole).assign_attrs(whole.attrs)) is None
    assert stored.contacts(whole.isel(pos_in=slice(3))) is None


# ---- several at once


def test_processes_may_write_the_same_rows(cache_folder: Path) -> None:
    def computed_by(number: int) -> list[tuple[int, int, np.ndarray]]:
        processes = [forked.start(share, "batch-dependent", 3 * RESIDUES, 38) for _ in range(number)]
        for _, pipe in processes:
            pipe.send("go")
        assert [forked.answer(*process) for process in processes] == ["ready"] * number
        return [forked.answer(*process) for process in processes]

    together = computed_by(3)
    for computed, read, values in together:
        np.testing.assert_array_equal(values, together[0][2])
        assert computed + read == 3 * L
    # And a process that begins afterwards computes nothing.
    ((computed, read, values),) = computed_by(1)
    assert (computed, read) == (0, 3 * L)
    np.testing.assert_array_equal(values, together[0][2])


def test_two_jobs_for_the_same_rows_share_them(counts: Counts) -> None:
    model = PottsModel()
    jobs = [submit(RESIDUES, model, batch_size=19) for _ in range(3)]
    results = [job.result(30) for job in jobs]
    assert counts() == (L, 2 * L, 0)
    assert model.sequences_run == 19 * L
    for result in results[1:]:
        np.testing.assert_array_equal(result.values, results[0].values)
