"""Rows kept with fewer bits: how they are rounded, that nobody takes them for exact, and what they cost."""

from __future__ import annotations

import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import zarr
from cache_counts import Counts
from hypothesis import given
from hypothesis import strategies as st
from stored_stubs import RESIDUES, L, chunks, compute, entry_of
from stubs import PottsModel

from catjac_widgets.analysis.contacts.maps import contacts
from catjac_widgets.engine.cache import stored
from catjac_widgets.engine.cache.chunked.chunks import ChunkForm
from catjac_widgets.engine.cache.chunked.digests import chunk_digest
from catjac_widgets.engine.cache.store import cache
from catjac_widgets.engine.plans.request import make_request
from catjac_widgets.engine.rounding import largest_error, round_to_bits
from catjac_widgets.errors import UsageError
from catjac_widgets.installation import environment

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.fixture
def ten_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATJAC_CACHE_BITS", "10")


def rounded(value: float, bits: int, dtype: str = "f4") -> float:
    values = np.array([value], dtype)
    round_to_bits(values, bits)
    return float(values[0])


@given(finite, st.integers(1, 22))
def test_it_is_the_nearest_with_so_many_bits(value: float, bits: int) -> None:
    made = rounded(value, bits)
    tiny = 2.0**-126
    if abs(value) >= tiny and abs(value) < 2.0**127:
        # The oracle works with fractions: the two neighbours on the grid, and Python's ties to even.
        step = Fraction(2) ** (int(np.frexp(value)[1]) - 1 - bits)
        assert Fraction(made) == round(Fraction(value) / step) * step
        assert abs(Fraction(made) - Fraction(value)) <= Fraction(largest_error(bits)) * abs(Fraction(value))
    assert np.isfinite(made)
    assert abs(made - value) <= max(largest_error(bits) * abs(value), 1.2e-38)
    assert rounded(made, bits) == made


@given(st.floats(2.0**-14, 65504, width=32))
def test_ten_bits_are_those_of_float16(value: float) -> None:
    assert rounded(value, 10) == float(np.float32(np.float16(value))) or value > 65488


@pytest.mark.parametrize("value", [65505.0, 1e5, -3e38, float(np.finfo(np.float32).max), 1e-30, 0.0])
def test_what_float16_cannot_hold_is_neither_infinite_nor_lost(value: float) -> None:
    made = rounded(value, 10)
    assert np.isfinite(made)
    assert abs(made - value) <= 2.0**-11 * abs(value)


def test_doubles_are_rounded_too() -> None:
    assert rounded(1 + 2.0**-11 + 2.0**-40, 10, "f8") == 1 + 2.0**-10
    assert rounded(1 + 2.0**-11, 10, "f8") == 1.0


def test_what_is_returned_is_what_is_kept(
    ten_bits: None, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = PottsModel(symmetric=False)
    exact = compute(model, cache=False)
    first = compute(model)
    error = np.abs(first.values - exact.values) / np.maximum(np.abs(exact.values), 1e-30)
    assert 1e-5 < error.max() <= first.attrs["storage_error"] == 2.0**-11
    assert first.attrs["storage"] == "rows rounded to 10 bits"
    before = counts()[0]
    for lazy in (False, True):
        again = compute(model, lazy=lazy)
        np.testing.assert_array_equal(again.values, first.values)
        assert again.attrs == first.attrs
    assert counts()[0] == before
    # What lies beside is that of the rounded rows, and says so.
    kept = stored.stored(first, "contacts")
    assert kept is not None
    fresh = contacts(first.copy(data=first.values.copy()), allow_partial=True)
    np.testing.assert_allclose(kept.values, fresh.values, atol=1e-5)
    assert kept.attrs["storage"] == contacts(first).attrs["storage"] == "rows rounded to 10 bits"
    assert "storage" not in exact.attrs


def test_rounded_rows_never_answer_an_exact_request(
    counts: Counts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = PottsModel(symmetric=False)
    keys = set()
    for number, bits in enumerate(("", "10", "7")):
        monkeypatch.setenv("CATJAC_CACHE_BITS", bits)
        keys.add(make_request(RESIDUES, model).plan.key)
        compute(model)
        assert counts()[0] == (number + 1) * L
    assert len(keys) == 3
    monkeypatch.delenv("CATJAC_CACHE_BITS")
    exact = compute(model)
    assert "storage" not in exact.attrs
    np.testing.assert_array_equal(exact.values, compute(model, cache=False).values)
    # Without the option the key is that of every version before.
    assert "bits" not in make_request(RESIDUES, model).plan.key_content


def test_it_takes_less_and_zarr_reads_it(ten_bits: None, monkeypatch: pytest.MonkeyPatch) -> None:
    model = PottsModel(symmetric=False)
    made = compute(model)
    entry = entry_of(RESIDUES, model)
    size = sum(path.stat().st_size for path in chunks(entry))
    assert size < 0.7 * made.nbytes
    group = zarr.open_group(str(entry.group), mode="r")
    np.testing.assert_array_equal(group["jacobian"][:], made.values)


@pytest.mark.parametrize("length", [100, -3, "other"])
def test_a_hostile_chunk_is_not_unpacked(length: int | str, ten_bits: None, counts: Counts) -> None:
    """Its checksum and digest are right, as anybody can make them; its header lies."""
    model = PottsModel(symmetric=False)
    whole = compute(model)
    entry = entry_of(RESIDUES, model)
    path = chunks(entry)[4]
    content = bytearray(path.read_bytes()[:-4])
    if isinstance(length, int):
        content[4:8] = (int.from_bytes(content[4:8], "little") + length).to_bytes(4, "little")
    else:
        content[20:-1] = bytes(len(content) - 21)
    import google_crc32c

    hostile = bytes(content) + google_crc32c.value(bytes(content)).to_bytes(4, "little")
    path.write_bytes(hostile)
    digest = chunk_digest(entry.plan.key, "jacobian", 4, hostile)
    (entry.folder / "digests" / f"jacobian.4.{digest}").touch()
    before = counts()[0]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        np.testing.assert_array_equal(compute(model).values, whole.values)
    assert counts()[0] == before + 1
    assert any("is damaged: it" in str(each.message) for each in told)


def test_large_numbers_come_back_from_a_packed_chunk() -> None:
    form = ChunkForm((1, 3, 7), np.dtype("f4"), packed=True)
    values = np.random.default_rng(0).normal(size=form.shape).astype("f4") * 1e30
    round_to_bits(values, 10)
    np.testing.assert_array_equal(form.array(form.content(values)), values)


@pytest.mark.parametrize("setting", ["0", "23", "ten", "-1", "1.5", "9" * 400, "float16"])
def test_a_number_of_bits_that_makes_no_sense_is_refused(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATJAC_CACHE_BITS", setting)
    with pytest.raises(UsageError, match=r"CATJAC_CACHE_BITS=.* is no number of bits"):
        compute(PottsModel())
    assert [finding.name for finding in environment()] == ["CATJAC_CACHE_BITS"]


def test_it_works_where_nothing_is_on_disk(ten_bits: None, monkeypatch: pytest.MonkeyPatch) -> None:
    model = PottsModel(symmetric=False)
    kept = compute(model)
    monkeypatch.setenv("CATJAC_CACHE", "memory")
    cache.clear()
    first, again = compute(model), compute(model)
    np.testing.assert_array_equal(first.values, kept.values)
    np.testing.assert_array_equal(again.values, kept.values)
