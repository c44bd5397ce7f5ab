"""Files of Jacobians and contact maps: what is written reads back, and a file is whole or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from click.testing import CliRunner

import catjac
from catjac_widgets.cli import main
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


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("C.csv", {"colour": 1}, r"as \.csv has no option colour=; possible are top=, separation="),
        ("C.npz", {"top": 5}, r"as \.npz has no option top=; possible are none"),
        ("C.npz", {"separation": 8}, r"as \.npz has no option separation="),
        ("J.nc", {"top": 5}, r"a Jacobian as \.nc has no option top=; possible are part_bytes="),
        ("J.zarr", {"separation": 8}, r"as \.zarr has no option separation="),
        ("C.csv", {"top": "five"}, "'five' is not a number of pairs"),
        ("C.csv", {"top": 0}, "0 is not a number of pairs"),
        ("C.csv", {"top": 2.5}, "2.5 is not a number of pairs"),
        ("C.csv", {"separation": "far"}, "separation='far' is no distance"),
        ("C.csv", {"separation": float("nan")}, "separation=nan is no distance"),
        ("J.nc", {"part_bytes": "much"}, "part_bytes='much' is no number of bytes"),
        ("J.zarr", {"part_bytes": 0}, "part_bytes=0 is no number of bytes"),
        ("J.zarr", {"part_bytes": True}, "part_bytes=True is no number of bytes"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    J: xr.DataArray, tmp_path: Path, name: str, options: dict[str, object], said: str
) -> None:
    array = J if name.startswith("J") else catjac.contacts(J)
    with pytest.raises(UsageError, match=said):
        catjac.io.write(array, tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_option_can_be_caught_as_python_raises_it(J: xr.DataArray, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        catjac.io.write(J, tmp_path / "J.nc", top=5)


def test_the_command_line_refuses_options_of_pairs_for_a_map(tmp_path: Path) -> None:
    for option in ("--top", "--separation"):
        words = ["contacts", PEPTIDE, "-q", "-o", str(tmp_path / "map.npz"), option, "5"]
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 2
        assert f"has no option {option[2:]}=" in done.stderr
    done = CliRunner().invoke(main, ["contacts", PEPTIDE, "-q", "-o", str(tmp_path / "map.npz")])
    assert done.exit_code == 0
    assert [each.name for each in tmp_path.iterdir()] == ["map.npz"]
