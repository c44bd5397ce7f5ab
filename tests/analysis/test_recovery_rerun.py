"""Recoveries run again from the files they were stored in."""

from __future__ import annotations

from pathlib import Path

import pytest
import xarray as xr
from labelled_arrays import random_sequence

from catjac_widgets.analysis.recovery.one_protein import recovery, recovery_scan
from catjac_widgets.analysis.recovery.over_proteins import (
    recovery_curves,
)
from catjac_widgets.analysis.recovery.rerun import rerun_recovery
from catjac_widgets.errors import ModelError, UsageError

PROTEINS = {"one": random_sequence(40, 9), "two": random_sequence(30, 10), "three": random_sequence(34, 11)}
SHORT = {"size": 6, "minimum_contacts": 0, "margin": 4}


def stored(found: xr.Dataset, folder: Path) -> xr.Dataset:
    found.to_netcdf(folder / "kept.nc", engine="h5netcdf")
    return xr.load_dataset(folder / "kept.nc", engine="h5netcdf")


@pytest.mark.parametrize(
    "options",
    [
        {"fragments": (9, 14), "pattern": ["flanking", "random", "random_nested"], "seed": 3},
        {"fragments": [(5, 9), (18, 22)], "pattern": "random_distant", "avoided": 4, "steps": [0, 3, 5]},
        {"fragments": (9, 14), "source": "jacobian", "variant": "fast", "steps": 2, "threshold": 0.7},
        {"fragments": (9, 14), "source": "jacobian", "variant": "fast", "steps": 2, "control": False},
    ],
    ids=["draws", "pair", "jacobian", "no control"],
)
def test_a_recovery_runs_again_from_its_file(options, own_cache, tmp_path):
    found = recovery(random_sequence(30, 12), "mini", progress=False, **options)
    kept = stored(found, tmp_path)
    xr.testing.assert_identical(kept, found)
    xr.testing.assert_identical(rerun_recovery(kept, cache=False, progress=False), found)


def test_a_scan_runs_again_from_its_file(own_cache, tmp_path):
    found = recovery_scan(
        random_sequence(40, 13), "mini", protocol="nearby", size=5, gap=2, minimum_contacts=0, seed=4,
        progress=False,
    )  # fmt: skip
    assert found.sizes["fragment"] == 3
    assert found.attrs["model"] == "masked_ends:mini"
    kept = stored(found, tmp_path)
    xr.testing.assert_identical(kept, found)
    xr.testing.assert_identical(rerun_recovery(kept, cache=False, progress=False), found)


def test_curves_run_again_from_their_file(own_cache, tmp_path):
    found = recovery_curves(
        PROTEINS, "mini", **SHORT, seed=5, avoided=6, confidence=0.8, band="wilson", progress=False
    )
    kept = stored(found, tmp_path)
    xr.testing.assert_identical(kept, found)
    xr.testing.assert_identical(rerun_recovery(kept, cache=False, progress=False), found)


def test_another_model_runs_on_the_same_targets_and_draws(esm2, own_cache):
    found = recovery(random_sequence(30, 14), "mini", fragments=(9, 14), pattern="random", progress=False)
    other = rerun_recovery(found, esm2, progress=False)
    xr.testing.assert_equal(other["masked"], found["masked"])
    assert other.attrs["model"] != found.attrs["model"]
    assert not other["R"].equals(found["R"])
    found.attrs["model_fingerprint"] = "file:of-yesterday"
    with pytest.raises(ModelError, match="not the model any more"):
        rerun_recovery(found)
    with pytest.raises(UsageError, match="no longer says how"):
        rerun_recovery(found.drop_attrs())
