from __future__ import annotations

import numpy as np
import pytest

from catjac_widgets.engine.cache.info import CacheWarning
from catjac_widgets.engine.cache.kept_maps import KeptMap, kept_map
from catjac_widgets.engine.cache.store import cache


class Maker:
    def __init__(self, size=5, seed=0):
        self.values = np.random.default_rng(seed).normal(size=(size, size))
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return self.values


def test_a_map_is_made_once_and_read_bit_by_bit(own_cache):
    make = Maker()
    for _ in range(3):
        found = kept_map("test", "one", 5, make)
        np.testing.assert_array_equal(found, make.values)
        assert found.dtype == np.float64
    assert make.calls == 1
    kept_map("test", "another", 5, make)
    kept_map("other", "one", 5, make)
    assert make.calls == 3
    assert len(list(own_cache.rglob("key.json"))) == 3


def test_it_is_kept_in_memory_too(monkeypatch):
    monkeypatch.setenv("CATJAC_CACHE", "memory")
    make = Maker(4, 1)
    for _ in range(2):
        np.testing.assert_array_equal(kept_map("test", "in memory", 4, make), make.values)
    assert make.calls == 1


def test_without_a_cache_it_is_made_every_time(monkeypatch, own_cache):
    make = Maker()
    kept_map("test", "one", 5, make, cache=False)
    monkeypatch.setenv("CATJAC_CACHE", "off")
    kept_map("test", "one", 5, make)
    kept_map("test", "one", 5, make)
    assert make.calls == 3


def test_a_damaged_map_is_made_anew(own_cache):
    make = Maker()
    kept_map("test", "one", 5, make)
    chunk = cache.find(KeptMap("test", "one", 5)).folder / "arrays.zarr" / "maps" / "c.0.0"
    content = bytearray(chunk.read_bytes())
    content[3] ^= 1
    chunk.write_bytes(bytes(content))
    with pytest.warns(CacheWarning, match="computed anew"):
        np.testing.assert_array_equal(kept_map("test", "one", 5, make), make.values)
    np.testing.assert_array_equal(kept_map("test", "one", 5, make), make.values)
    assert make.calls == 2


def test_a_map_that_is_not_finite_is_not_kept(own_cache):
    make = Maker()
    make.values[0, 0] = np.nan
    kept_map("test", "one", 5, make)
    kept_map("test", "one", 5, make)
    assert make.calls == 2
