"""Labels: coordinates and attributes, and that they survive netCDF and zarr."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from stubs import PottsModel

from catjac_widgets import __version__
from catjac_widgets.engine.api import jacobian
from catjac_widgets.engine.cache.stored import plan_of
from catjac_widgets.engine.labels import as_approximate, label_jacobian, label_summary
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.sequences import Chain, Sequence

NUMBERED = Sequence(
    (Chain("H", "MKTA", ("52", "52A", "53", "60")), Chain("L", "YIW", ("1", "2", "3"))), "pair"
)


@pytest.fixture
def labelled() -> xr.DataArray:
    return jacobian(NUMBERED, PottsModel(), mask=Mask.hiding(NUMBERED, [(3, 3)]), linker="GG", progress=False)


def test_coordinates(labelled: xr.DataArray) -> None:
    assert labelled.name == "jacobian"
    assert labelled.dims == ("pos_in", "aa_in", "pos_out", "aa_out")
    assert labelled.shape == (7, 20, 7, 20)
    for side in ("in", "out"):
        assert labelled[f"pos_{side}"].values.tolist() == [1, 2, 3, 4, 5, 6, 7]
        assert "".join(labelled[f"aa_{side}"].values) == "LAGVSERTIDPKQNFYMHWC"
        assert labelled[f"chain_{side}"].values.tolist() == list("HHHHLLL")
        assert labelled[f"number_{side}"].values.tolist() == ["52", "52A", "53", "60", "1", "2", "3"]
        assert labelled[f"wild_type_{side}"].values.tolist() == list("MKTAYIW")
        assert labelled[f"residue_{side}"].values.tolist()[1:5] == ["H:K52A", "H:T53", "H:A60", "L:Y1"]
    assert labelled.wild_type_logits.dims == ("pos_out", "aa_out")
    block = labelled.sel(pos_in=2, pos_out=5)
    assert block.shape == (20, 20)
    assert block.residue_in.item() == "H:K52A"


def test_attributes_say_how_to_make_it_again(labelled: xr.DataArray) -> None:
    attrs = labelled.attrs
    expected = {
        "kind": "raw",
        "sequence": "MKTA:YIW",
        "sequence_name": "pair",
        "visible": "1-2,4-7",
        "model": "potts stub 0",
        "model_fingerprint": PottsModel().fingerprint,
        "variant": "full",
        "numerics": "exact",
        "linker": "GG",
        "devices": "cpu",
        "package_version": __version__,
        "complete": 1,
    }
    assert {name: attrs[name] for name in expected} == expected
    assert all(isinstance(value, str | int | float) for value in attrs.values())
    plan = plan_of(labelled)
    assert plan is not None
    assert plan.key == attrs["key"]


def test_netcdf_round_trip(labelled: xr.DataArray, tmp_path: Path) -> None:
    labelled.to_netcdf(tmp_path / "j.nc")
    with xr.open_dataarray(tmp_path / "j.nc") as read:
        assert_same(read.load(), labelled)


# zarr warns that its third format has no specification yet for text of a fixed length; it reads its own.
@pytest.mark.filterwarnings("ignore:.*Zarr")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_round_trip(labelled: xr.DataArray, tmp_path: Path, zarr_format: int) -> None:
    labelled.to_zarr(tmp_path / "j.zarr", zarr_format=zarr_format)
    assert_same(xr.open_dataarray(tmp_path / "j.zarr", engine="zarr").load(), labelled)


@pytest.mark.filterwarnings("ignore:.*Zarr")
@pytest.mark.parametrize("form", ["netcdf", "zarr"])
def test_a_lazy_jacobian_and_a_fast_one_go_round_too(tmp_path: Path, form: str) -> None:
    for k, options in enumerate(({"lazy": True}, {"variant": "fast"}, {"positions": [3, 1]})):
        made = jacobian("MKTAYIA", PottsModel(), progress=False, **options)  # type: ignore[arg-type]
        if form == "netcdf":
            made.to_netcdf(tmp_path / f"{k}.nc")
            read = xr.open_dataarray(tmp_path / f"{k}.nc")
        else:
            made.to_zarr(tmp_path / f"{k}.zarr")
            read = xr.open_dataarray(tmp_path / f"{k}.zarr", engine="zarr")
        assert_same(read.load(), made)
        read.close()


def assert_same(read: xr.DataArray, made: xr.DataArray) -> None:
    assert read.name == made.name
    np.testing.assert_array_equal(read.values, made.values)
    assert read.dtype == made.dtype
    assert set(read.coords) == set(made.coords)
    for name in made.coords:
        assert read[name].dims == made[name].dims
        if made[name].dtype.kind in "UOT":
            assert [str(text) for text in read[name].values] == [str(text) for text in made[name].values]
        else:
            np.testing.assert_array_equal(read[name].values, made[name].values)
    assert dict(read.attrs) == dict(made.attrs)
    # Selecting by label works as before.
    first = made.aa_out.values[3]
    np.testing.assert_array_equal(read.sel(aa_out=first).values, made.sel(aa_out=first).values)


def test_approximate_numbers_do_not_say_that_they_are_exact(labelled: xr.DataArray) -> None:
    made = as_approximate(labelled, "first order")
    assert (made.attrs["numerics"], made.attrs["numerics_error"]) == ("first order", "not estimated")
    assert "key" not in made.attrs
    assert plan_of(made) is None
    assert labelled.attrs["numerics"] == "exact"
    plan = plan_of(labelled)
    assert plan is not None
    again = label_jacobian(labelled.values, plan, complete=False, approximation="first order")
    assert (again.attrs["numerics"], again.attrs["complete"]) == ("first order", 0)
    assert label_summary(np.eye(7), plan, "contacts", ("pos_i", "pos_j")).attrs["numerics"] == "exact"


def test_a_map_is_labelled_on_both_sides(labelled: xr.DataArray) -> None:
    plan = plan_of(labelled)
    assert plan is not None
    made = label_summary(np.eye(7), plan, "contacts", ("pos_i", "pos_j"))
    assert made.dims == ("pos_i", "pos_j")
    assert {f"{name}_{side}" for name in ("chain", "number", "residue", "wild_type") for side in "ij"} <= set(
        made.coords
    )
