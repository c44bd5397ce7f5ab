"""Files of Jacobians and contact maps: what is written reads back, and a file is whole or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import catjac
from catjac_widgets.errors import UsageError
from catjac_widgets.export.files import replacing
from catjac_widgets.export.format_table import Format, register_format

PEPTIDE = "NLYIQWLKDGGPSSGRPPPS"


@pytest.fixture
def J() -> xr.DataArray:
    return catjac.jacobian(PEPTIDE, progress=False)


@pytest.mark.parametrize("part_bytes", [2**26, 7 * 20 * 20 * 20 * 4, 1])
@pytest.mark.parametrize("name", ["out.zarr", "out.nc"])
def test_a_jacobian_reads_back(J: xr.DataArray, name: str, part_bytes: int, tmp_path: Path) -> None:
    path = catjac.io.write(J, tmp_path / name, part_bytes=part_bytes)
    opened = xr.open_dataarray(path, engine="zarr" if name.endswith("zarr") else "h5netcdf")
    with opened as found:
        np.testing.assert_array_equal(found.values, J.values)
        assert found.dims == J.dims
        xr.testing.assert_equal(found.coords.to_dataset(), J.coords.to_dataset())
        assert found.attrs["sequence"] == PEPTIDE
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_contact_map_reads_back(J: xr.DataArray, tmp_path: Path) -> None:
    C = catjac.contacts(J)
    catjac.io.write(C, tmp_path / "pairs.csv", top=5, separation=8)
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "pairs.csv"),
        catjac.benchmark.top_contacts(C, 5, 8).reset_index(drop=True),
        check_dtype=False, rtol=1e-6,
    )  # fmt: skip
    with np.load(catjac.io.write(C, tmp_path / "map.npz")) as found:
        np.testing.assert_array_equal(found["scores"], C.values)


def test_what_cannot_be_written_is_refused_before_anything_is_touched(
    J: xr.DataArray, tmp_path: Path
) -> None:
    for array, name, said in (
        (J, "J.csv", r"ends in none of \.nc, \.zarr"),
        (catjac.contacts(J), "C.nc", r"ends in none of \.csv, \.npz"),
        (J.sel(aa_in="A", pos_in=3), "J.nc", "Only a Jacobian"),
        (J, "none/J.nc", "no folder"),
    ):
        with pytest.raises(UsageError, match=said):
            catjac.io.write(array, tmp_path / name)
    (tmp_path / "J.nc").write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        catjac.io.write(J, tmp_path / "J.nc")
    assert (tmp_path / "J.nc").read_text() == "precious"
    assert catjac.io.write(J, tmp_path / "J.nc", force=True).stat().st_size > 1000


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    output.write_text("former")

    def write() -> None:
        with replacing(output) as partial:
            partial.write_text("half of")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert [each.name for each in tmp_path.iterdir()] == ["out.csv"]
    assert output.read_text() == "former"


def test_a_format_of_ones_own(J: xr.DataArray, tmp_path: Path) -> None:
    register_format(
        Format("jacobian", ".sum", "the sum", lambda J, path: path.write_text(str(float(J.sum()))))
    )
    assert ".sum" in set(catjac.io.formats()["ending"])
    assert float(catjac.io.write(J, tmp_path / "J.sum").read_text()) == pytest.approx(float(J.sum()))
