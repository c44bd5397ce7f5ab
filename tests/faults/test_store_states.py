"""Whatever two processes do to a store, in whatever order, it gives what was written, or says that it cannot.

A model in memory knows which rows were written and which are still sound. For an hour of it:
``CATJAC_STATE_EXAMPLES=20000 pytest tests/faults/test_store_states.py``.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from stubs import PottsModel

from catjac_widgets.engine.cache.chunked.lazy_rows import lazy_rows
from catjac_widgets.engine.cache.chunked.upkeep import verify_entry
from catjac_widgets.engine.cache.entries import CorruptRowError
from catjac_widgets.engine.cache.folder import files as folder_files
from catjac_widgets.engine.cache.folder.store import FolderStore
from catjac_widgets.engine.plans.jacobian import Plan
from catjac_widgets.engine.plans.request import make_request
from catjac_widgets.errors import CacheError

RESIDUES = "MKTAY"
L = len(RESIDUES)

plans = st.integers(0, 2)
rows = st.integers(0, L - 1)
actors = st.integers(0, 1)


def plan_of(number: int) -> Plan:
    return make_request(RESIDUES, PottsModel(seed=number)).plan


def values_of(plan: int, index: int, version: int) -> np.ndarray:
    """A row; two versions of it, as two devices give."""
    return np.random.default_rng([plan, index, version]).normal(size=(20, L, 20)).astype(np.float32)


class Stores(RuleBasedStateMachine):
    """Two processes (each a `FolderStore` of its own) at work on three entries in one folder."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="catjac-states-"))
        self.stores = [FolderStore(self.folder), FolderStore(self.folder)]
        self.plans = [plan_of(number) for number in range(3)]
        #: What was written last, by plan and row; what was damaged since is out.
        self.sound: dict[tuple[int, int], np.ndarray] = {}
        #: Everything that was ever written there.
        self.written: dict[tuple[int, int], list[np.ndarray]] = {}
        self.held: list[list[int]] = [[], []]
        self.open: list[tuple[int, Any]] = []

    def teardown(self) -> None:
        self.open.clear()
        for store in self.stores:
            store.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _right(self, plan: int, index: int, values: np.ndarray) -> bool:
        return any(np.array_equal(values, each) for each in self.written.get((plan, index), []))

    # ---- what processes do

    @rule(actor=actors, plan=plans, index=rows, version=st.integers(0, 1))
    def write(self, actor: int, plan: int, index: int, version: int) -> None:
        values = values_of(plan, index, version)
        self.stores[actor].open(self.plans[plan]).write(index, values)
        self.sound[plan, index] = values
        self.written.setdefault((plan, index), []).append(values)

    @rule(actor=actors, plan=plans, index=rows, version=st.integers(0, 1), late=st.booleans())
    def die_in_a_write(self, actor: int, plan: int, index: int, version: int, late: bool) -> None:
        class Died(BaseException):
            pass

        def dying(path: Path, content: bytes) -> None:
            partial = path.with_name(f"{path.name}.x.partial")
            partial.write_bytes(content[: len(content) // 2])
            if late:
                partial.replace(path)
            raise Died

        entry = self.stores[actor].open(self.plans[plan])
        write = folder_files.write_atomically
        folder_files.write_atomically = dying
        try:
            with contextlib.suppress(Died):
                entry.write(index, values_of(plan, index, version))
        finally:
            folder_files.write_atomically = write
        if late:
            self.sound.pop((plan, index), None)
        # Its locks go with it; another process takes its place.
        self.stores[actor].close()
        self.held[actor].clear()
        self.stores[actor] = FolderStore(self.folder)

    @rule(actor=actors, plan=plans)
    def read_everything(self, actor: int, plan: int) -> None:
        entry = self.stores[actor].find(self.plans[plan])
        there = entry.done() if entry is not None else set()
        sound = {index for number, index in self.sound if number == plan}
        assert sound <= there, "a row was lost"
        for index in range(L):
            if entry is None or not entry.has(index):
                assert index not in sound
                continue
            try:
                values = entry.read(index)
            except CorruptRowError:
                assert index not in sound, "a sound row was refused"
                assert not entry.has(index)  # it is computed anew
                continue
            assert self._right(plan, index, values), "a wrong number"
            if index in sound:
                np.testing.assert_array_equal(values, self.sound[plan, index])

    @rule(actor=actors, plan=plans)
    def hold(self, actor: int, plan: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.stores[actor].hold(self.plans[plan].key)
            self.held[actor].append(plan)

    @rule(actor=actors)
    @precondition(lambda self: any(self.held))
    def release(self, actor: int) -> None:
        if self.held[actor]:
            self.stores[actor].release(self.plans[self.held[actor].pop()].key)

    @rule(actor=actors, plan=plans)
    def open_lazily(self, actor: int, plan: int) -> None:
        entry = self.stores[actor].find(self.plans[plan])
        if entry is not None:
            self.open.append((plan, lazy_rows(entry, frozenset(entry.done()))))

    @rule()
    @precondition(lambda self: self.open)
    def drop(self) -> None:
        self.open.pop(0)

    @rule(index=rows)
    @precondition(lambda self: self.open)
    def use_what_is_open(self, index: int) -> None:
        plan, array = self.open[0]
        try:
            values = array[index].values
        except CacheError:
            assert (plan, index) not in self.sound
            return
        assert np.isnan(values).all() or self._right(plan, index, values)
        if np.isnan(values).all():
            assert (plan, index) not in self.sound

    @rule(actor=actors, plan=plans)
    def evict(self, actor: int, plan: int) -> None:
        key = self.plans[plan].key
        kept = plan in self.held[0] + self.held[1] or any(number == plan for number, _ in self.open)
        folder = self.stores[actor].folder_of(key)
        existed = folder.exists()
        try:
            self.stores[actor].remove(key)
        except OSError:
            # Dropped arrays let go when they are collected.
            return
        assert not (kept and existed and self._still_held(plan)), "what is in use was evicted"
        self.sound = {place: row for place, row in self.sound.items() if place[0] != plan}

    def _still_held(self, plan: int) -> bool:
        return bool(plan in self.held[0] + self.held[1])

    # ---- what happens to the disk

    def _chunk(self, plan: int, index: int) -> Path:
        return self.stores[0].folder_of(self.plans[plan].key) / f"arrays.zarr/jacobian/c.{index}.0.0.0"

    @rule(plan=plans, index=rows, seed=st.integers(0, 999))
    def damage(self, plan: int, index: int, seed: int) -> None:
        path = self._chunk(plan, index)
        if not path.is_file():
            return
        draw, content = random.Random(seed), bytearray(path.read_bytes())
        if seed % 2 and content:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        else:
            content = content[: draw.randrange(len(content) + 1)]
        path.write_bytes(content)
        self.sound.pop((plan, index), None)

    @rule(one=st.tuples(plans, rows), other=st.tuples(plans, rows))
    def swap(self, one: tuple[int, int], other: tuple[int, int]) -> None:
        first, second = self._chunk(*one), self._chunk(*other)
        if one == other or not (first.is_file() and second.is_file()):
            return
        content = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(content)
        self.sound.pop(one, None)
        self.sound.pop(other, None)

    @rule(plan=plans)
    def lose_the_digests(self, plan: int) -> None:
        folder = self.stores[0].folder_of(self.plans[plan].key) / "digests"
        if folder.is_dir():
            shutil.rmtree(folder)
            self.sound = {place: row for place, row in self.sound.items() if place[0] != plan}

    @rule(plan=plans)
    def repair(self, plan: int) -> None:
        files = self.stores[0].files(self.plans[plan].key)
        if files.size("key.json") is not None:
            verify_entry(files, repair=True)
            assert not verify_entry(files).damaged

    @invariant()
    def nothing_is_left_over(self) -> None:
        if hasattr(self, "folder"):
            assert not list(self.folder.glob("*/.removed-*"))


Stores.TestCase.settings = settings(
    max_examples=int(os.environ.get("CATJAC_STATE_EXAMPLES", "20")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(4 * 3600)
class TestStores(Stores.TestCase):  # type: ignore[name-defined, misc]
    """See `Stores`."""
