"""``catjac evaluate``: a folder in, a table and a figure out, and on with it after a stop."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import catjac
from catjac_widgets.analysis.benchmark.evaluation_table import read_rows
from catjac_widgets.cli import main


def call(*words: str) -> Result:
    return CliRunner().invoke(main, ["evaluate", *words])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "proteins"
    made.mkdir()
    for name in ("ww", "sh3"):
        example = catjac.examples()[name]
        (made / f"{name}.fasta").write_text(f">{name}\n{example.sequence.residues}\n")
        (made / f"{name}.pdb").write_text(example.structure.to_pdb())
    return made


def test_a_folder_becomes_a_table_and_a_figure(folder: Path, tmp_path: Path) -> None:
    done = call("proteins", "-o", "out.csv", "--methods", "contact_head", "--plot", "out.html", "-q")
    assert done.exit_code == 0, done.output
    table = catjac.benchmark.read(tmp_path / "out.csv")
    for name in ("ww", "sh3"):
        example = catjac.examples()[name]
        expected = catjac.precision_at_l(catjac.contact_head(example.sequence), example.structure)
        found = float(table["precision_at_l"].sel(protein=name, source="contact_head", range="all"))
        assert found == pytest.approx(expected, abs=5e-5)
    mean = float(table["precision_at_l"].sel(range="all").mean())
    assert re.search(rf"contact head +{mean:.3f} \(0\.\d+–0\.\d+\)", done.output)
    assert "Bokeh" in (tmp_path / "out.html").read_text()
    # The same command again computes nothing; --force does.
    before = (tmp_path / "out.csv").stat().st_mtime_ns
    assert call("proteins", "-o", "out.csv", "--methods", "contact_head", "-q").exit_code == 0
    assert (tmp_path / "out.csv").stat().st_mtime_ns == before
    assert call("proteins", "-o", "out.csv", "--methods", "contact_head", "-q", "--force").exit_code == 0
    assert (tmp_path / "out.csv").stat().st_mtime_ns > before


def test_errors_are_rows_and_are_counted(folder: Path, tmp_path: Path) -> None:
    (folder / "ww.pdb").write_text("REMARK empty\n")
    done = call("proteins", "-o", "out.csv", "--methods", "contact_head,potts", "-q")
    assert done.exit_code == 0, done.output
    assert "2 of 2 proteins have an error in the table: sh3, ww" in done.output
    rows, _, _ = read_rows(tmp_path / "out.csv")
    said = {(row["protein"], row["method"]): row["error"] for row in rows}
    assert said["sh3", "contact_head"] == ""
    assert said["sh3", "potts"].startswith("There is no alignment")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["missing", "-o", "out.csv"], "no folder missing"),
        (["proteins", "-o", "out.txt"], "does not end in .csv"),
        (["proteins", "-o", "out.csv", "--plot", "out.png"], "does not end in .html"),
        (["proteins", "-o", "missing/out.csv"], "no folder missing"),
        (["proteins", "-o", "out.csv", "--methods", "magic"], "no method 'magic'"),
        (["proteins", "-o", "out.csv", "--only", "wv"], "no protein 'wv'"),
        (["proteins", "-o", "out.csv", "-m", "mimi"], "no model 'mimi'"),
        (["proteins", "-o", "precious.csv"], "no table of catjac evaluate"),
    ],
)
def test_bad_requests_are_one_sentence(folder: Path, tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "precious.csv").write_text("a,b\n")
    done = call(*words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert re.fullmatch(r"catjac: [^\n]+\n", done.stderr)
    assert (tmp_path / "precious.csv").read_text() == "a,b\n"


def test_ctrl_c_keeps_the_rows_and_the_same_command_goes_on(folder: Path, tmp_path: Path) -> None:
    # A first row, then a map that takes until it is interrupted.
    code = (
        "import sys, time\n"
        "from catjac_widgets.analysis.benchmark import methods as m\n"
        "from dataclasses import replace\n"
        "def wait(entry, model):\n"
        "    print('waiting', flush=True); time.sleep(60)\n"
        "if sys.argv.pop(1) == 'slow':\n"
        "    m.METHODS['contact_head'] = replace(m.METHODS['contact_head'], make=wait)\n"
        "sys.argv[0] = 'catjac'\n"
        "from catjac_widgets.cli import main\n"
        "main(prog_name='catjac')"
    )
    words = [
        "evaluate",
        str(folder),
        "-o",
        "out.csv",
        "--methods",
        "jacobian,contact_head",
        "--only",
        "ww",
        "-q",
    ]
    with subprocess.Popen(
        [sys.executable, "-c", code, "slow", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130, said
    assert "stopped" in said
    rows, _, _ = read_rows(tmp_path / "out.csv")
    assert {row["method"] for row in rows} == {"jacobian"}
    done = subprocess.run(
        [sys.executable, "-c", code, "fast", *words], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    rows, _, commands = read_rows(tmp_path / "out.csv")
    assert {row["method"] for row in rows} == {"jacobian", "contact_head"}
    # Paths are cut to their last part: the table says nothing of the machine it was made on.
    assert commands == ["catjac evaluate proteins -o out.csv --methods jacobian,contact_head --only ww -q"]
    assert str(tmp_path) not in (tmp_path / "out.csv").read_text()
