"""Scans of many masks: in blocks, in parts that can be stopped, under one key, computed once."""

from __future__ import annotations

import dataclasses
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from checkpoints import random_esm2, write_safetensors
from stubs import PottsModel

from catjac_widgets.engine.cache.info import CacheWarning
from catjac_widgets.engine.cache.store import cache
from catjac_widgets.engine.jobs import mask_scan
from catjac_widgets.engine.jobs.mask_scan import MaskScan, scan_masks
from catjac_widgets.engine.plans import mask_scan as mask_scan_plan
from catjac_widgets.engine.plans.mask_scan import MapKind, MaskScanPlan
from catjac_widgets.errors import Cancelled, MaskError, ModelError
from catjac_widgets.language_models.identity import ModelIdentity
from catjac_widgets.language_models.registry import identify
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import as_sequence

SEQUENCE = as_sequence("ACDEFGHIKL")


def refuse_without_head(identity: ModelIdentity) -> None:
    if not identity.has_contact_head:
        raise ModelError(f"{identity.name} has no head.")


#: Maps of a stub's head; what the engine is told of them.
HEADS = MapKind(
    "head",
    lambda model, sequence, masks: model.contact_probabilities(sequence.residues, masks),
    refuse_without_head,
)


class CountingHead(PottsModel):
    """A stub with a contact head whose map is the share of hidden residues, and a record of its batches."""

    def __init__(
        self, device: str = "cpu", seconds: float = 1.0, stop: threading.Event | None = None
    ) -> None:
        super().__init__(seed=7)
        self.name, self.kind, self.seconds, self.stop = "counting", device, seconds, stop
        self.calls: list[int] = []

    @property
    def fingerprint(self) -> str:
        return "counting head"

    @property
    def device(self):
        return SimpleNamespace(type=self.kind) if self.kind != "cpu" else super().device

    def seconds_per_sequence(self, length: int) -> float:
        return self.seconds

    def contact_probabilities(self, residues: str, masks: list[Mask | None]) -> np.ndarray:
        self.calls.append(len(masks))
        if self.stop is not None and len(self.calls) == 3:
            self.stop.set()
        shares = [0.0 if mask is None else np.mean(mask.masked) for mask in masks]
        return np.array(shares, dtype=np.float32)[:, None, None] * np.ones((len(residues),) * 2, np.float32)


def masks_of(count: int) -> np.ndarray:
    return np.random.default_rng(count).random((count, len(SEQUENCE))) < 0.5


def run(model: CountingHead, masks: np.ndarray, **options) -> np.ndarray:
    found = np.full((len(masks), len(SEQUENCE), len(SEQUENCE)), np.nan, dtype=np.float32)

    def on_block(first: int, maps: np.ndarray) -> None:
        assert np.isnan(found[first : first + len(maps)]).all()
        found[first : first + len(maps)] = maps

    scan_masks(SEQUENCE, model, masks, on_block, maps=HEADS, progress=False, **options)
    return found


@pytest.fixture
def small_blocks(monkeypatch):
    """Four masks a block."""
    monkeypatch.setattr(mask_scan_plan, "BLOCK_RESIDUES", 4 * len(SEQUENCE))


@pytest.mark.parametrize(("length", "masks"), [(10, 64), (300, 27), (1000, 8), (9000, 1)])
def test_a_block_is_a_full_batch_whatever_the_length(length, masks):
    plan = MaskScanPlan(as_sequence("A" * length), np.zeros((100, length), bool), "m", "f", HEADS)
    assert plan.chunk_length == masks
    assert sum(plan.selection(k).stop - plan.selection(k).start for k in range(plan.blocks)) == 100
    if masks < plan.maps.most_masks:
        assert length * (masks + 1) > mask_scan_plan.BLOCK_RESIDUES


def test_all_maps_come_in_order_under_one_key(own_cache, small_blocks):
    model, masks = CountingHead(seconds=1e-6), masks_of(10)
    found = run(model, masks)
    np.testing.assert_allclose(found[:, 0, 0], masks.mean(axis=1), rtol=1e-6)
    assert model.calls == [4, 4, 2]
    assert cache.info().entries == 1
    again = CountingHead(seconds=1e-6)
    np.testing.assert_array_equal(run(again, masks), found)
    assert again.calls == []


def test_a_gpu_takes_a_block_at_once_and_a_cpu_parts_of_it(own_cache, small_blocks, monkeypatch):
    masks = masks_of(6)
    monkeypatch.setattr(mask_scan, "PART_SECONDS", 2.5)
    slow = CountingHead(seconds=1.0)
    first = run(slow, masks, cache=False)
    assert slow.calls == [2, 2, 2]
    gpu = CountingHead("cuda", seconds=1.0)
    np.testing.assert_array_equal(run(gpu, masks, cache=False), first)
    assert gpu.calls == [4, 2]
    very_slow = CountingHead(seconds=100.0)
    run(very_slow, masks, cache=False)
    assert very_slow.calls == [1] * 6


def test_a_scan_stops_within_a_block_and_keeps_the_blocks_before(own_cache, small_blocks):
    stop = threading.Event()
    stopped = CountingHead(seconds=0.125, stop=stop)  # two masks a part
    masks = masks_of(12)
    plan = MaskScanPlan(SEQUENCE, masks, stopped.name, stopped.fingerprint, HEADS)
    maps: list[np.ndarray] = []
    scan = MaskScan(plan, stopped, lambda first, block: maps.append(block))
    while not scan.step():
        if stop.is_set():
            scan.cancel()
    # The third part is the first of the second block, whose second part never runs.
    assert stopped.calls == [2, 2, 2]
    assert scan.masks_done == 4
    assert scan.masks_computed >= 4
    with pytest.raises(Cancelled, match="after 4 of 12 masks; they are kept, and calling again continues"):
        scan.raise_for_error()
    again = CountingHead(seconds=1e-6)
    found = run(again, masks)
    assert again.calls == [4, 4]
    np.testing.assert_array_equal(found[:4], maps[0])


def test_progress_counts_the_parts_of_a_block(own_cache, small_blocks):
    model = CountingHead(seconds=0.125)
    plan = MaskScanPlan(SEQUENCE, masks_of(4), model.name, model.fingerprint, HEADS)
    scan = MaskScan(plan, model, lambda first, block: None, use_cache=False)
    seen = []
    while not scan.step():
        seen.append((scan.masks_computed, scan.masks_done))
    assert seen == [(0, 0), (2, 0), (4, 4)]


def test_what_cannot_be_scanned_is_named(own_cache):
    with pytest.raises(ModelError, match="has no head"):
        scan_masks(SEQUENCE, PottsModel(), masks_of(2), lambda *_: None, maps=HEADS)
    with pytest.raises(MaskError, match="There is no mask"):
        run(CountingHead(), np.zeros((0, 10), bool))
    with pytest.raises(MaskError, match="one bool a residue in 10 columns"):
        run(CountingHead(), np.zeros((2, 9), bool))

    class Broken(CountingHead):
        def contact_probabilities(self, residues, masks):
            return super().contact_probabilities(residues, masks) * np.nan

    with pytest.raises(ModelError, match="not finite"):
        run(Broken(), masks_of(2), cache=False)


def test_a_map_that_takes_many_passes_is_a_step_of_its_own(own_cache, small_blocks):
    model = CountingHead(seconds=1e-6)
    slow = dataclasses.replace(HEADS, name="slow", slow=True, most_masks=3)
    scan_masks(SEQUENCE, model, masks_of(5), lambda *_: None, maps=slow, progress=False)
    assert model.calls == [1] * 5
    # Three maps a block, not four.
    chunks = own_cache.glob("*/*/arrays.zarr/maps/c.*")
    assert sorted(path.name for path in chunks) == ["c.0.0.0", "c.1.0.0"]


def test_keys_are_those_of_version_0_1():
    """Maps of the contact head that lie in a cache of 0.1 are found."""
    masks = np.zeros((3, 10), bool)
    masks[1, :4] = masks[2, 5:] = True
    plan = MaskScanPlan(SEQUENCE, masks, "mini", "a fingerprint", MapKind("contact_head", HEADS.make))
    assert plan.key == "f928174f41b04620ae88beddf338e0698ae14c35db31442da6e038767d0c5673"
    norms = MapKind("jacobian_norms_full", HEADS.make, most_masks=4, slow=True)
    plan = MaskScanPlan(SEQUENCE, masks, "mini", "a fingerprint", norms)
    assert plan.key == "213999c2cfdca4de4c9222d105ca0635c454ef422d1cbdfeb840f178f314f2a5"


def test_a_checkpoint_that_was_replaced_meanwhile_is_refused(own_cache, tmp_path):
    """Or its maps would lie under the key of the weights that were there before."""
    path = write_safetensors(random_esm2(seed=1), tmp_path / "tiny.safetensors")
    identity = identify(path)
    plan = MaskScanPlan(SEQUENCE, masks_of(2), identity.name, identity.fingerprint, HEADS)
    scan = MaskScan(plan, path, lambda *_: pytest.fail("a map came"))
    write_safetensors(random_esm2(seed=2), path)
    while not scan.step():
        pass
    with pytest.raises(ModelError, match="changed since it was asked for"):
        scan.raise_for_error()
    assert list(own_cache.glob("*/*/arrays.zarr/maps/c.*")) == []


def test_a_corrupt_block_is_computed_on_the_thread_of_the_device(own_cache, small_blocks):
    model, masks = CountingHead(seconds=1e-6), masks_of(10)
    run(model, masks)
    (chunk,) = own_cache.glob("*/*/arrays.zarr/maps/c.1.0.0")
    content = bytearray(chunk.read_bytes())
    content[3] ^= 1
    chunk.write_bytes(content)
    threads: list[str] = []

    class Watched(CountingHead):
        def contact_probabilities(self, residues, masks):
            threads.append(threading.current_thread().name)
            return super().contact_probabilities(residues, masks)

    again = Watched(seconds=1e-6)
    with pytest.warns(CacheWarning, match="computed anew"):
        found = run(again, masks)
    np.testing.assert_allclose(found[:, 0, 0], masks.mean(axis=1), rtol=1e-6)
    assert (again.calls, threads) == ([4], ["catjac cpu"])


def test_memory_that_runs_out_halves_the_parts(own_cache):
    class Hungry(CountingHead):
        def contact_probabilities(self, residues, masks):
            if len(masks) > 3:
                self.calls.append(-len(masks))
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return super().contact_probabilities(residues, masks)

    model, masks = Hungry(seconds=1e-6), masks_of(10)
    found = run(model, masks, cache=False)
    np.testing.assert_allclose(found[:, 0, 0], masks.mean(axis=1), rtol=1e-6)
    assert model.calls == [-10, -5, 2, 2, 2, 2, 2]
