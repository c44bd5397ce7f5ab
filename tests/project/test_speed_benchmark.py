"""The speed benchmark on models of toy size: what it measures against, its table and its picture."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles import order_a

ON_ITS_PATH = ("agreement", "machine", "plain_loop", "shapes", "speed", "speed_modes", "speed_table")


@pytest.fixture
def speed(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import the command, its helpers beside it, and leave no trace of them."""
    monkeypatch.setattr(sys, "path", [str(repository / "benchmarks"), *sys.path])
    for name in ON_ITS_PATH:
        monkeypatch.delitem(sys.modules, name, raising=False)
    import speed

    for shapes in (sys.modules["shapes"], speed):
        monkeypatch.setattr(shapes, "SHAPES", {"8M": (2, 32, 4), "35M": (1, 32, 2)})
    monkeypatch.setattr(sys.modules["machine"], "SIDE_ON_CPU", 64)
    yield speed
    for name in ON_ITS_PATH:
        sys.modules.pop(name, None)


def run(speed: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(
        sys, "argv", ["speed.py", "--device", "cpu", "--no-memory", "--seconds", "0", *arguments]
    )
    speed.main()


def test_it_measures_and_appends(
    speed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, picture, readme = tmp_path / "speed.csv", tmp_path / "speed.svg", tmp_path / "README.md"
    readme.write_text("before <!-- speed table -->\nold\n<!-- end of speed table --> after", encoding="utf-8")
    run(speed, monkeypatch, "--models", "8M", "--lengths", "9", "--out", str(out))
    first = speed.read(out)
    every = ["exact", "exact-torch", "delta-int8", "delta-bfloat16", "preview"]
    assert [row["mode"] for row in first] == every
    for row, largest in zip(first[:4], (1e-4, 1e-4, 0.03, 0.015), strict=True):
        assert float(row["ratio_lowest"]) <= float(row["ratio"]) <= float(row["ratio_highest"])
        assert float(row["relative_error"]) < largest
        assert int(row["rounds"]) == 3
        share = float(row["floor_seconds_a_row"]) / float(row["seconds_a_row"])
        assert float(row["of_peak"]) == pytest.approx(share, rel=0.02, abs=0.001)
        assert row["map_spearman"] == ""
    assert first[0]["peak_type"] == "float32"
    assert first[2]["peak_type"] == "int8"
    assert {row["torch"] for row in first} != {""}
    arguments = ["--modes", "exact", "--out", str(out), "--append"]
    run(speed, monkeypatch, "--models", "8M", "35M", "--lengths", "9", *arguments)
    rows = speed.read(out)
    assert sorted((row["model"], row["mode"]) for row in rows) == [
        ("35M", "exact"),
        *(("8M", mode) for mode in sorted(every)),
    ]
    assert [row for row in rows if row["mode"] == "delta-int8"] == [first[2]]
    capsys.readouterr()
    run(speed, monkeypatch, "--table", str(out), "--plot", str(picture), "--readme", str(readme))
    printed = capsys.readouterr().out
    assert len([line for line in printed.splitlines() if line.startswith("| 8M | 9 residues |")]) == 5
    drawn = xml.fromstring(picture.read_text(encoding="utf-8"))
    dots = [element for element in drawn.iter() if element.tag.endswith("circle")]
    assert len(dots) == len(rows)
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("before <!-- speed table -->\n| model |")
    assert text.endswith("<!-- end of speed table --> after")
    assert "old" not in text


def test_a_readme_without_marks_is_left_alone(speed: Any, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="has no <!-- speed table -->"):
        sys.modules["speed_table"].fill_readme(path, "table", "speed table")
    assert path.read_text(encoding="utf-8") == "nothing"


def test_maps_are_those_of_the_paper(speed: Any) -> None:
    jacobian = np.random.default_rng(0).normal(size=(11, 20, 11, 20))
    found = sys.modules["agreement"].contact_map(jacobian)
    far = np.triu_indices(11, 1)
    np.testing.assert_allclose(found[far], order_a(jacobian)[far], atol=1e-10)


def test_errors_leave_out_what_a_residue_does_to_itself(speed: Any) -> None:
    plain = {2: np.ones((20, 5, 20)), 3: np.ones((20, 5, 20))}
    found = {2: plain[2].copy(), 3: plain[3].copy()}
    found[2][:, 2] = 9.0
    near = sys.modules["agreement"].of_rows(found, plain)
    assert near == {"largest_error": 8.0, "relative_error": 0.0}
    found[3][:, :] = 1.1
    assert sys.modules["agreement"].of_rows(found, plain)["relative_error"] == pytest.approx(0.1 / 2**0.5)


def test_modes_make_the_rows_of_the_plain_loop(speed: Any) -> None:
    modes, shapes = sys.modules["speed_modes"], sys.modules["shapes"]
    residues = shapes.some_residues(13)
    model = shapes.random_model("8M", "cpu")
    plain = modes.way(model, residues, "plain").rows(list(range(13)))
    for mode, largest in (("exact", 1e-5), ("delta-float16", 0.01), ("float16", 0.3)):
        ours = modes.way(model, residues, mode)
        block = ours.block(6)
        assert 6 in block
        near = sys.modules["agreement"].of_rows(ours.rows(block), plain)
        assert near["relative_error"] < largest, mode
    assert model.dtype.itemsize == 4


def test_positions_are_spread_however_many_there_are(speed: Any) -> None:
    found = [speed._van_der_corput(k) for k in range(1, 8)]
    assert found[:3] == [0.5, 0.25, 0.75]
    assert sorted(found) == [k / 8 for k in range(1, 8)]
