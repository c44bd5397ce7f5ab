"""The command line: files in and out, exit statuses, sentences instead of tracebacks, Ctrl-C."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner, Result

import catjac
from catjac_widgets.analysis.benchmark.top_contacts import top_contacts
from catjac_widgets.cli import main
from catjac_widgets.cli.lab import address, has_browser

PEPTIDE = "NLYIQWLKDGGPSSGRPPPS"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "peptide.fasta").write_text(f">trp-cage\n{PEPTIDE}\n")
    return tmp_path


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_version_and_help() -> None:
    assert call("--version").output.strip() == f"catjac, version {catjac.__version__}"
    help_text = call("--help").output
    for command in main.list_commands(click.Context(main)):
        assert command in help_text
        assert call(command, "--help").exit_code == 0


@pytest.mark.parametrize("name", ["out.zarr", "out.nc"])
def test_jacobian_is_written_as_it_is(elsewhere: Path, name: str) -> None:
    assert call("jacobian", "peptide.fasta", "-o", name, "-q").exit_code == 0
    opened = xr.open_dataarray(elsewhere / name, engine="zarr" if name.endswith("zarr") else "h5netcdf")
    with opened as J:
        expected = catjac.jacobian(PEPTIDE, progress=False)
        np.testing.assert_array_equal(J.values, expected.values)
        assert J.dims == expected.dims
        assert J["residue_out"].values.tolist() == expected["residue_out"].values.tolist()
        xr.testing.assert_equal(J.coords.to_dataset(), expected.coords.to_dataset())
        assert set(J.coords) == set(expected.coords)
        assert J.attrs["sequence"] == PEPTIDE
        assert J.attrs["sequence_name"] == "trp-cage"
    assert sorted(path.name for path in elsewhere.iterdir()) == sorted([name, "peptide.fasta"])


def test_options_reach_the_jacobian(elsewhere: Path) -> None:
    done = call(
        "jacobian", "peptide.fasta", "-o", "out.nc", "-q", "--positions", "2-3,7", "--variant", "fast",
        "--visible", "1-9", "--device", "cpu", "--batch-size", "4", "--no-cache",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    with xr.open_dataarray(elsewhere / "out.nc", engine="h5netcdf") as J:
        assert J["pos_in"].values.tolist() == [2, 3, 7]
        assert J["aa_in"].values.tolist() == ["<mask>"]
        assert J.attrs["visible"] == "1-9"


def test_contacts_as_pairs_and_as_map(elsewhere: Path) -> None:
    assert call("contacts", "peptide.fasta", "-o", "out.csv", "-q").exit_code == 0
    assert call("contacts", "peptide.fasta", "-o", "out.npz", "-q").exit_code == 0
    C = catjac.contacts(catjac.jacobian(PEPTIDE, progress=False))
    with np.load(elsewhere / "out.npz") as arrays:
        np.testing.assert_array_equal(arrays["scores"], C.values)
        assert arrays["residues"].tolist() == C["residue_i"].values.tolist()
    with (elsewhere / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 14 * 15 // 2  # pairs of 20 residues that are 6 or more apart
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    for row in rows:
        i, j = int(row["pos_i"]), int(row["pos_j"])
        assert j - i >= 6
        assert row["residue_i"] == f"{PEPTIDE[i - 1]}{i}"
        assert float(row["score"]) == pytest.approx(float(C.sel(pos_i=i, pos_j=j)), rel=1e-5)
    shown = call("contacts", "peptide.fasta", "-q", "--top", "3", "--separation", "10").output.splitlines()
    assert len(shown) == 3


PROTEINS = {"one": "NLYIQWLKDGG", "sp|P1|two": "MKTAYIAKQRQISF", "three": "ACDEFGHIK"}


@pytest.fixture
def proteins(elsewhere: Path) -> Path:
    path = elsewhere / "proteins.fasta"
    path.write_text("".join(f">{name} of them\n{residues}\n" for name, residues in PROTEINS.items()))
    (elsewhere / "maps").mkdir()
    return path


def test_each_record_of_a_file_is_written(proteins: Path, elsewhere: Path) -> None:
    done = call("contacts", "proteins.fasta", "-o", "maps/{name}.npz", "-q")
    assert (done.exit_code, done.output) == (0, "maps/{name}.npz: 3 of 3 written\n")
    for name, residues in PROTEINS.items():
        C = catjac.contacts(catjac.jacobian(residues, progress=False))
        with np.load(elsewhere / "maps" / f"{name.replace('|', '_')}.npz") as arrays:
            np.testing.assert_array_equal(arrays["scores"], C.values)
            assert str(arrays["sequence"]) == residues
    assert len(list((elsewhere / "maps").iterdir())) == 3
    done = call("jacobian", "proteins.fasta", "-o", "maps/J-{name}.nc", "-q")
    assert done.exit_code == 0
    with xr.open_dataarray(elsewhere / "maps" / "J-three.nc", engine="h5netcdf") as J:
        np.testing.assert_array_equal(J.values, catjac.jacobian(PROTEINS["three"], progress=False).values)


def test_what_is_there_is_left_alone(proteins: Path, elsewhere: Path) -> None:
    (elsewhere / "maps" / "one.csv").write_text("precious")
    done = call("contacts", "proteins.fasta", "-o", "maps/{name}.csv", "-q")
    assert done.output == "maps/{name}.csv: 2 of 3 written, 1 were there already\n"
    assert (elsewhere / "maps" / "one.csv").read_text() == "precious"
    done = call("contacts", "proteins.fasta", "-o", "maps/{name}.csv", "-q")
    assert done.output == "maps/{name}.csv: 0 of 3 written, 3 were there already\n"
    assert call("contacts", "proteins.fasta", "-o", "maps/{name}.csv", "-q", "--force").exit_code == 0
    assert (elsewhere / "maps" / "one.csv").read_text() != "precious"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["proteins.fasta", "-o", "none/{name}.csv"], "no folder none"),
        (["nothing.fasta", "-o", "maps/{name}.csv"], "is no file"),
        (["bpti", "-o", "maps/{name}.csv"], "is no file"),
        (["proteins.fasta", "-o", "maps/{name}.csv", "--visible", "1-5"], "--visible is about one protein"),
        (["proteins.fasta", "-o", "maps/{name}.txt"], "none of .csv, .npz"),
        (["twice.fasta", "-o", "maps/{name}.csv"], "records a|b and a/b of twice.fasta would both"),
        (["bad.fasta", "-o", "maps/{name}.csv"], "Protein 2, 'b': residue 3 is 'B'"),
        (["proteins.fasta", "-o", "out.csv"], "3 records (one, sp|P1|two, three)"),
    ],
)
def test_many_records_are_checked_before_any_work(
    proteins: Path, elsewhere: Path, words: list[str], said: str
) -> None:
    (elsewhere / "twice.fasta").write_text(">a|b\nACDEF\n>a/b\nACDEF\n")
    (elsewhere / "bad.fasta").write_text(">a\nACDEF\n>b\nACB\n")
    done = call("contacts", "-q", *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert not list((elsewhere / "maps").iterdir())


def test_the_second_time_nothing_is_computed(elsewhere: Path, own_cache: Path) -> None:
    environment = {**os.environ, "CATJAC_CACHE": str(own_cache)}
    code = (
        "import sys, catjac; from catjac_widgets.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "info = catjac.cache.info(); print(info.rows_computed, info.models_loaded, 'torch' in sys.modules)"
    )
    said = []
    for name in ("a.csv", "b.csv"):
        done = subprocess.run(
            [sys.executable, "-c", code, "contacts", "peptide.fasta", "-o", name, "-q"],
            env=environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.splitlines()[-1])
    assert said == ["20 1 True", "0 0 False"]
    assert (elsewhere / "a.csv").read_text() == (elsewhere / "b.csv").read_text()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["jacobain"], 2, "did you mean 'jacobian'?"),
        (["contacts", "btpi"], 2, "did you mean bpti?"),
        (["contacts", "MKTAYIBKQR"], 2, "residue 7 is 'B'"),
        (["contacts", "peptide.fasta", "-m", "esm2_t6_8M"], 2, "esm2_t6_8M_UR50D"),
        (["contacts", "peptide.fasta", "-m", "missing.pt"], 1, "missing.pt"),
        (["contacts", "peptide.fasta", "--visible", "15-25"], 2, "15–25"),
        (["contacts", "peptide.fasta", "--device", "toaster"], 1, "toaster"),
        (["contacts", "peptide.fasta", "-o", "out.txt"], 2, "none of .csv, .npz"),
        (["contacts", "peptide.fasta", "-o", "missing/out.csv"], 2, "no folder missing"),
        (["jacobian", "peptide.fasta", "-o", "peptide.fasta"], 2, "none of .nc, .zarr"),
        (["contacts", "$peptide"], 2, "no variable $peptide here"),
        (["demo", "nothing"], 2, "There is no example 'nothing'"),
        (["lab", "missing.ipynb"], 2, "There is no missing.ipynb"),
        (["cache", "clear", "--yes", "--older-than", "a while"], 2, "a while"),
    ],
)
def test_errors_are_one_sentence(words: list[str], status: int, said: str) -> None:
    done = call(*words)
    assert done.exit_code == status
    assert said in done.stderr
    assert re.fullmatch(r"catjac: [^\n]+\n", done.stderr)
    assert not done.stdout


def test_an_output_is_not_overwritten_by_accident(elsewhere: Path) -> None:
    (elsewhere / "out.csv").write_text("precious")
    done = call("contacts", "peptide.fasta", "-o", "out.csv", "-q")
    assert done.exit_code == 2
    assert "--force" in done.stderr
    assert (elsewhere / "out.csv").read_text() == "precious"
    assert call("contacts", "peptide.fasta", "-o", "out.csv", "-q", "--force").exit_code == 0
    assert (elsewhere / "out.csv").read_text().startswith("residue_i,")


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATJAC_DEBUG", "1")
    assert isinstance(call("contacts", "btpi").exception, catjac.CatjacError)


def test_our_own_mistakes_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(catjac.__getattr__.__globals__["_package"], "contacts", broken, raising=False)
    assert isinstance(call("contacts", "peptide.fasta", "-q").exception, ZeroDivisionError)


@pytest.mark.skipif(os.name == "nt", reason="signals to a child work differently on Windows")
def test_interrupt_keeps_rows_and_says_so(elsewhere: Path, own_cache: Path) -> None:
    (elsewhere / "long.fasta").write_text(">long\n" + "ACDEFGHIKLMNPQRSTVWY" * 12)
    command = [sys.executable, "-m", "catjac_widgets.cli", "contacts", "long.fasta", "-o", "out.csv"]
    environment = {**os.environ, "CATJAC_CACHE": str(own_cache), "PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(own_cache.rglob("jacobian/c*")):
        assert running.poll() is None, running.stderr and running.stderr.read()
        assert time.monotonic() < deadline, "no row came into the cache"
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    assert running.stderr is not None
    said = running.communicate(timeout=60)[1]
    assert running.returncode == 130, said
    assert re.search(r"catjac: stopped: .*\d+ of 240 rows", said), said
    assert "Traceback" not in said
    assert not (elsewhere / "out.csv").exists()


def test_demo_tells_a_true_story() -> None:
    done = call("demo", "bpti")
    assert done.exit_code == 0, done.output
    example = catjac.examples()["bpti"]
    C = catjac.contacts(catjac.jacobian(example.sequence, progress=False))
    assert f"{catjac.precision_at_l(C, example.structure):.0%} are within 8 Å" in done.output
    for pair in top_contacts(C, 10).itertuples():
        native = bool(example.contacts.sel(pos_i=pair.pos_i, pos_j=pair.pos_j))
        (line,) = [
            text for text in done.output.splitlines() if f"{pair.residue_i} – {pair.residue_j} " in text
        ]
        assert line.endswith("no contact") == (not native)


def test_doctor_looks_at_this_installation() -> None:
    done = call("doctor")
    for word in (catjac.__version__, "torch", "models run on", "mini", "bpti", "cache", "front ends"):
        assert word in done.output
    assert done.exit_code == (1 if "\n!" in done.output else 0)


def test_doctor_names_the_classic_traps(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from catjac_widgets import installation as diagnosis

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(diagnosis, "_has_nvidia_gpu", lambda: True)
    (problem,) = [finding for finding in diagnosis.devices() if finding.state == "problem"]
    assert "CPU only" in problem.value

    spec = elsewhere / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text('{"argv": ["/opt/other/bin/python", "-m", "ipykernel_launcher"]}')
    monkeypatch.setattr(diagnosis, "_jupyter_paths", lambda: [str(elsewhere / "jupyter")])
    assert any("/opt/other/bin/python" in finding.value for finding in diagnosis.kernels())
    assert [finding.state for finding in diagnosis.front_ends()] == ["problem"]


def test_doctor_sees_the_wrong_esm(monkeypatch: pytest.MonkeyPatch) -> None:
    from catjac_widgets import installation as diagnosis

    known = {"esm": "3.2.1", "nglview": "4.0.1"}
    monkeypatch.setattr(diagnosis, "_version", known.get)
    advice = " ".join(finding.advice for finding in diagnosis.versions() if finding.state == "problem")
    assert "pip uninstall esm" in advice
    assert "nglview==4.0" in advice


def test_address_of_a_notebook(elsewhere: Path) -> None:
    notebook = elsewhere / "my first.ipynb"
    notebook.write_text("{}")
    server = {"url": "http://localhost:8888/", "token": "abc", "root_dir": str(elsewhere)}
    assert address(server, notebook) == "http://localhost:8888/lab/tree/my%20first.ipynb?token=abc"
    assert address(server, None) == "http://localhost:8888/lab?token=abc"


def test_no_browser_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert not has_browser()
