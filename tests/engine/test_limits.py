"""What would take too much memory, disk or time is refused with a way out; batches fit what there is."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from cache_counts import Counts
from stubs import PottsModel

from catjac_widgets.engine.api import jacobian, submit
from catjac_widgets.engine.cache.info import CacheWarning
from catjac_widgets.engine.compute import memory as resources
from catjac_widgets.errors import ResourceError
from catjac_widgets.language_models.base import EXACT, Numerics

RESIDUES = "MKTAYIAKQRQISF"
L = len(RESIDUES)


def test_too_much_memory_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "available_memory", lambda: 250_000)
    model = PottsModel()
    with pytest.raises(
        ResourceError, match=r"takes 0.3 MB of memory but 0.2 MB are free; pass lazy=True"
    ) as caught:
        submit(RESIDUES, model)
    assert "\n" not in str(caught.value)
    assert model.prepared == 0
    jacobian(RESIDUES, model, lazy=True, progress=False)
    jacobian(RESIDUES, model, positions=[1, 2], progress=False)
    jacobian(RESIDUES, model, variant="fast", progress=False)


def test_too_little_disk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from catjac_widgets.engine.cache.folder import folders

    monkeypatch.setattr(folders, "free_disk", lambda folder: 200_000)
    monkeypatch.setenv("CATJAC_CACHE_LIMIT", "5GB")
    with pytest.raises(ResourceError, match=r"more on disk but 0\.2 MB are free"):
        submit(RESIDUES, PottsModel(), lazy=True)


def test_too_much_time_is_refused_with_an_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(PottsModel):
        def seconds_per_sequence(self, length: int) -> float:
            return 3600.0

    # One pass alone is refused too; here all together are.
    monkeypatch.setattr(resources, "LONGEST_PASS_SECONDS", 1e9)
    model = Endless()
    with pytest.raises(
        ResourceError, match=r"about 266 hours with potts stub 0 on cpu \(266 sequences\).*CATJAC_MAX_HOURS"
    ):
        jacobian(RESIDUES, model, progress=False)
    assert model.prepared == 0
    jacobian(RESIDUES, model, positions=[1], progress=False)
    monkeypatch.setenv("CATJAC_MAX_HOURS", "1000")
    jacobian(RESIDUES, model, progress=False)


def test_the_size_of_a_batch_follows_memory_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from catjac_widgets.engine.plans.making import make_plan

    def size(residues: str = RESIDUES, numerics: Numerics = EXACT, **settings: float) -> int:
        model = PottsModel()
        model.__dict__.update(settings)
        plan = make_plan(residues, model="m", fingerprint="", letters=model.letters, numerics=numerics)
        monkeypatch.setattr(type(model), "parameters", int(settings.get("parameters", 1000)))
        monkeypatch.setattr(model, "row_bytes", lambda length: settings.get("row_bytes", 1))
        return resources.choose_batch_size(plan, model)

    monkeypatch.setattr(resources, "_threads", lambda: 2)
    assert size() == 114
    monkeypatch.setattr(resources, "total_memory", lambda: 8_000)
    assert size(row_bytes=20) == 38
    assert size(row_bytes=100) == 10
    assert size(row_bytes=10**9) == 1
    assert size(parameters=10**9) == 19
    # Of a long chain not even one row is run whole: nobody is to wait for 19 passes over it.
    monkeypatch.setattr(resources, "total_memory", lambda: 8 * 10**9)
    assert size("ACDEFGHIKL" * 50, parameters=10**6) == 6
    assert size("ACDEFGHIKL" * 50, parameters=10**9) == 2
    # Numerics that are twice as fast are waited for as long, but only on a device that they suit.
    elsewhere = Numerics("elsewhere", "", batch_factor=2, devices=("cuda",))
    assert size("ACDEFGHIKL" * 50, parameters=10**9, numerics=elsewhere) == 2
    here = Numerics("here", "", batch_factor=2, devices=("cpu",))
    assert size("ACDEFGHIKL" * 50, parameters=10**9, numerics=here) == 6
    # As many for each thread, unless that is more than a row.
    for threads, sequences in ((1, 1), (3, 6), (4, 8), (16, 19)):
        monkeypatch.setattr(resources, "_threads", lambda threads=threads: threads)
        assert size("ACDEFGHIKL" * 50, parameters=10**9) == sequences


def test_a_batch_on_a_gpu_is_a_number_of_tokens_in_whole_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from catjac_widgets.engine.plans.making import make_plan

    class OnGpu(PottsModel):
        device = torch.device("cuda:0")  # type: ignore[assignment]
        parameters = 0  # type: ignore[assignment]

        def row_bytes(self, length: int) -> int:
            return 10**6

    def size(length: int, parameters: float, gigabytes: float = 80) -> int:
        monkeypatch.setattr(OnGpu, "parameters", int(parameters))
        monkeypatch.setattr(resources, "_gpu_memory", lambda device: int(gigabytes * 1e9))
        plan = make_plan("A" * length, model="m", fingerprint="", letters=PottsModel().letters)
        return resources.choose_batch_size(plan, OnGpu())

    for length, parameters in ((50, 8e6), (256, 8e6), (256, 150e6), (256, 650e6), (1022, 650e6), (300, 15e9)):
        found = size(length, parameters)
        assert found % 19 == 0
        tokens = found * (length + 2)
        # No fewer tokens than fill the device but for less than a row, no more than a row beyond the most.
        assert tokens > 2**13 - 19 * (length + 2)
        assert tokens <= max(2**16, 19 * (length + 2))
        assert found == 19 or tokens * 2 * parameters <= max(2e13, 2**13 * 2 * parameters)
    assert size(50, 8e6) == 65536 // 52 // 19 * 19
    # A small card has what its memory holds, in parts of a row if need be.
    assert size(256, 8e6, gigabytes=0.3) == 95
    assert size(256, 8e6, gigabytes=0.03) == 10


def test_a_resume_needs_the_space_of_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from catjac_widgets.engine.cache.folder import folders

    model = PottsModel()
    row = 20 * L * 20 * 4
    jacobian(RESIDUES, model, positions=range(1, L - 1), progress=False)
    monkeypatch.setenv("CATJAC_CACHE_LIMIT", "5GB")
    monkeypatch.setattr(folders, "free_disk", lambda folder: int(2.5 * row))
    lazy = jacobian(RESIDUES, model, lazy=True, progress=False)
    assert np.isfinite(lazy.values).all()


def test_what_is_asked_for_is_what_needs_space(monkeypatch: pytest.MonkeyPatch) -> None:
    row = 20 * L * 20 * 4
    monkeypatch.setenv("CATJAC_CACHE_LIMIT", str(3 * row))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jacobian(RESIDUES, PottsModel(), positions=[1, 2], progress=False)
        jacobian(RESIDUES, PottsModel(), positions=[1, 2], progress=False)


def test_rows_that_are_there_are_used_though_the_rest_finds_no_room(
    monkeypatch: pytest.MonkeyPatch, counts: Counts
) -> None:
    row = 20 * L * 20 * 4
    whole = jacobian(RESIDUES, PottsModel(), cache=False, progress=False, batch_size=19)
    jacobian(RESIDUES, PottsModel(), positions=range(1, 6), progress=False, batch_size=19)
    monkeypatch.setenv("CATJAC_CACHE_LIMIT", str(7 * row))
    before = counts()
    with pytest.warns(CacheWarning, match="larger than the cache may be"):
        made = jacobian(RESIDUES, PottsModel(), progress=False, batch_size=19)
    assert (counts()[0] - before[0], counts()[1] - before[1]) == (L - 5, 5)
    np.testing.assert_array_equal(made.values, whole.values)
    # And they stay.
    jacobian(RESIDUES, PottsModel(), positions=range(1, 6), progress=False)
    assert counts()[0] - before[0] == L - 5
