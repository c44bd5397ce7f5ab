"""One battery of checks over every store: in memory, a folder, a URL, and one that only this test knows."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from cache_counts import Counts
from stored_stubs import RESIDUES, L, compute
from stubs import PottsModel

from catjac_widgets.engine.cache import stored
from catjac_widgets.engine.cache.entries import CorruptRowError, Entry, EntrySummary, Kept, Store
from catjac_widgets.engine.cache.folder.store import FolderStore
from catjac_widgets.engine.cache.memory import MemoryStore
from catjac_widgets.engine.cache.remote import store as remote_store
from catjac_widgets.engine.cache.store import cache
from catjac_widgets.engine.plans.request import make_request


class BytesEntry(Entry):
    """Keeps everything as the bytes of npy files in a dictionary, as an object store would."""

    def __init__(self, plan: Kept, store: Store, objects: dict[str, bytes]) -> None:
        super().__init__(plan, store)
        self.objects = objects

    def _put(self, name: str, values: np.ndarray) -> None:
        buffer = io.BytesIO()
        np.save(buffer, values)
        self.objects[name] = buffer.getvalue()

    def done(self) -> set[int]:
        return {int(name.partition("/")[2]) for name in self.objects if name.startswith("row/")}

    def read(self, index: int) -> np.ndarray:
        try:
            return np.load(io.BytesIO(self.objects[f"row/{index}"]))
        except ValueError as error:
            raise CorruptRowError(str(error)) from error

    def write(self, index: int, row: np.ndarray) -> None:
        self._put(f"row/{index}", row)

    def discard(self, index: int) -> None:
        self.objects.pop(f"row/{index}", None)

    def read_beside(self, name: str) -> np.ndarray | None:
        found = self.objects.get(f"beside/{name}")
        return None if found is None else np.load(io.BytesIO(found))

    def write_beside(self, name: str, values: np.ndarray) -> None:
        self._put(f"beside/{name}", np.asarray(values, dtype=self.plan.dtype))

    def devices(self) -> tuple[str, ...]:
        return tuple(sorted(name.partition("/")[2] for name in self.objects if name.startswith("device/")))

    def add_device(self, name: str) -> None:
        self.objects[f"device/{name}"] = b""


class BytesStore(Store):
    """Another backend: no more than the verbs of `Store`."""

    name = "a dictionary"

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, bytes]] = {}
        self.times: dict[str, float] = {}
        self.users: list[str] = []

    def find(self, plan: Kept) -> Entry | None:
        bucket = self.buckets.get(plan.key)
        return None if bucket is None else BytesEntry(plan, self, bucket)

    def open(self, plan: Kept, found: Entry | None = None) -> Entry:
        self.touch(plan.key)
        return BytesEntry(plan, self, self.buckets.setdefault(plan.key, {}))

    def entries(self) -> Iterable[EntrySummary]:
        return [
            EntrySummary(key, self.times[key], sum(map(len, bucket.values())))
            for key, bucket in self.buckets.items()
        ]

    def remove(self, key: str) -> None:
        del self.buckets[key]

    def touch(self, key: str) -> None:
        self.times[key] = time.time()

    def hold(self, key: str) -> None:
        self.users.append(key)

    def release(self, key: str) -> None:
        self.users.remove(key)

    def in_use(self, key: str) -> bool:
        return key in self.users

    def default_limit(self, taken: int) -> int:
        return 10**9

    def close(self) -> None:
        self.users.clear()


@pytest.fixture(params=["memory", "folder", "url", "url on disk", "bytes"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Each store in turn, as the one that the cache uses."""
    monkeypatch.setattr(remote_store, "_TOUCH_SECONDS", 0.0)
    made: Store
    if request.param == "memory":
        made = MemoryStore()
    elif request.param == "folder":
        made = FolderStore(tmp_path / "a folder")
    elif request.param == "url":
        made = remote_store.RemoteStore(f"memory://{tmp_path}")
    elif request.param == "url on disk":
        made = remote_store.RemoteStore(f"file://{tmp_path}/objects")
    else:
        made = BytesStore()
    cache.use(made)
    yield made
    cache.use(None)


def a_plan(seed: int = 0) -> Kept:
    return make_request(RESIDUES, PottsModel(seed=seed)).plan


def a_row(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(20, L, 20)).astype(np.float32)


def test_rows_come_back_bit_by_bit(store: Store) -> None:
    assert store.find(a_plan()) is None
    entry = store.open(a_plan())
    assert (entry.done(), entry.has(3), entry.store, entry.plan.key) == (set(), False, store, a_plan().key)
    row = a_row()
    entry.write(3, row)
    kept = row.copy()
    row[...] = 0.0  # whoever changes what they gave does not change what is kept
    again = store.find(a_plan())
    assert again is not None
    assert (again.done(), again.has(3), again.has(4)) == ({3}, True, False)
    np.testing.assert_array_equal(again.read(3), kept)
    assert again.read(3).dtype == np.float32
    again.discard(3)
    again.discard(3)
    assert store.open(a_plan()).done() == set()


def test_arrays_beside_and_devices(store: Store) -> None:
    entry = store.open(a_plan())
    assert entry.read_beside("wild_type_logits") is None
    entry.write_beside("wild_type_logits", np.arange(L * 20.0).reshape(L, 20))
    entry.add_device("cuda:1")
    entry.add_device("cpu")
    again = store.open(a_plan(), store.find(a_plan()))
    np.testing.assert_array_equal(again.read_beside("wild_type_logits"), np.arange(L * 20.0).reshape(L, 20))
    assert again.read_beside("contacts") is None
    assert again.devices() == ("cpu", "cuda:1")


def test_entries_are_listed_used_held_and_removed(store: Store) -> None:
    first, second = store.open(a_plan(0)), store.open(a_plan(1))
    first.write(0, a_row())
    listed = {summary.key: summary for summary in store.entries()}
    assert set(listed) == {a_plan(0).key, a_plan(1).key}
    assert listed[first.plan.key].size >= a_row().nbytes > listed[second.plan.key].size
    before = listed[second.plan.key].used
    time.sleep(0.02)
    store.touch(second.plan.key)
    assert {summary.key: summary.used for summary in store.entries()}[second.plan.key] > before
    store.hold(first.plan.key)
    store.hold(first.plan.key)
    store.release(first.plan.key)
    assert store.in_use(first.plan.key)
    assert not store.in_use(second.plan.key)
    store.release(first.plan.key)
    assert not store.in_use(first.plan.key)
    found = store.find(a_plan(1))
    store.remove(second.plan.key)
    assert store.find(a_plan(1)) is None
    # Who found it before opens a new one.
    assert store.open(a_plan(1), found).done() == set()


def test_the_engine_computes_once_and_reads_then(store: Store, counts: Counts) -> None:
    model = PottsModel(symmetric=False)
    some = compute(model, positions=[3, 9, 4])
    assert counts() == (3, 0, 0)
    whole = compute(model)
    assert counts() == (L, 3, 0)
    np.testing.assert_array_equal(some.values, whole.sel(pos_in=[3, 9, 4]).values)
    again = compute(model)
    assert counts() == (L, 3 + L, 0)
    np.testing.assert_array_equal(again.values, whole.values)
    assert again.attrs == whole.attrs
    plan = make_request(RESIDUES, model).plan
    for name in ("contacts", "block_norms", "mean_over_pos_in", "mean_over_pos_out"):
        kept = stored.stored(again, name)
        assert kept is not None
        assert kept.dims == plan.beside_shapes[name][1]
        assert stored.stored(plan, name) is not None
    np.testing.assert_allclose(stored.mean_over_pos_in(again), whole.mean("pos_in"), atol=1e-5)
    np.testing.assert_allclose(stored.mean_over_pos_out(again), whole.mean("pos_out"), atol=1e-5)
    assert stored.block_norms(2 * again) is None
    assert not any(store.in_use(summary.key) for summary in store.entries())


def test_the_least_recently_used_makes_room(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        compute(PottsModel(seed=seed))
        time.sleep(0.02)
    size = cache.info().size / 3
    assert (cache.info().entries, cache.info().path) == (3, store.folder)
    held = store.find(a_plan(0))
    assert held is not None
    cache.hold(held)
    monkeypatch.setenv("CATJAC_CACHE_LIMIT", str(int(3.5 * size)))
    compute(PottsModel(seed=3))
    # Where others' use cannot be seen, nothing is evicted.
    kept = [True, not store.limited, True, True]
    assert [store.find(a_plan(seed)) is not None for seed in range(4)] == kept
    cache.clear()
    assert [summary.key for summary in store.entries()] == [held.plan.key]
    cache.release(held)
    assert cache.clear() == 1
    assert cache.info().entries == 0
