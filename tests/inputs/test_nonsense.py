"""Requests, outputs and settings that make no sense: one typed sentence, and nothing is lost by it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from IPython.core.error import UsageError as MagicError
from IPython.core.interactiveshell import InteractiveShell

import catjac
from catjac_widgets.cli import main
from catjac_widgets.errors import CatjacError, MaskError, ResourceError, SequenceError, UsageError

RESIDUES = "LPPGWEKRMSRSSGRVYYFNHITNASQWERP"


def said(error: BaseException) -> str:
    text = str(error)
    assert text.strip()
    assert "\n" not in text
    assert len(text) < 500
    return text


@pytest.mark.parametrize(
    "size", [math.nan, math.inf, -math.inf, [8], "8", 0, -1, True, 1.5, b"8", {}, np.array([8])], ids=repr
)
def test_a_batch_size_that_is_no_number_of_sequences(size: Any, own_cache: Path) -> None:
    with pytest.raises(UsageError, match="batch_size=") as caught:
        catjac.jacobian(RESIDUES, batch_size=size, progress=False)
    assert "1 or more" in said(caught.value)
    assert not list(own_cache.rglob("key.json"))


@pytest.mark.parametrize("size", [8, np.int64(8)], ids=repr)
def test_a_batch_size_may_be_any_whole_number(size: Any, own_cache: Path) -> None:
    assert catjac.jacobian(RESIDUES, positions=[1], variant="fast", batch_size=size, progress=False).size


@pytest.mark.parametrize(
    "mask", [3, "hidden", [True] * 3, np.zeros((2, 31)), {1: True}, math.nan, [2.0] * 31], ids=repr
)
def test_a_mask_that_is_none(mask: Any, own_cache: Path) -> None:
    with pytest.raises((MaskError, UsageError)) as caught:
        catjac.jacobian(RESIDUES, mask=mask, progress=False)
    said(caught.value)


@pytest.mark.parametrize(
    "positions",
    [
        slice(1, 5),
        [0],
        [-1],
        [32],
        [1, 1.5],
        "1",
        ["a"],
        [None],
        [],
        {"a": 1},
        [10**30],
        math.nan,
        [[1]],
    ],
    ids=repr,
)
def test_positions_that_there_are_not(positions: Any, own_cache: Path) -> None:
    with pytest.raises(CatjacError) as caught:
        catjac.jacobian(RESIDUES, positions=positions, progress=False)
    said(caught.value)


@pytest.mark.parametrize(
    "text", ["Stra\u00dfe", "\ufb01sh", "ACDEF\u0130", "ACD\u0131F", "\uff21\uff23\uff24", "ACDE\u0301"]
)
def test_letters_that_are_not_those_of_residues_make_none(text: str) -> None:
    with pytest.raises(SequenceError) as caught:
        catjac.as_sequence(f">x\n{text}\n")
    said(caught.value)
    with pytest.raises(SequenceError):
        catjac.as_sequence(f"sequence:{text}")


def test_a_hundred_thousand_residues_are_refused_before_anything_runs(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from catjac_widgets.language_models.esm.adapter import FairEsm

    monkeypatch.setattr(FairEsm, "prepare", lambda *_: pytest.fail("it was run"))
    monkeypatch.setattr(FairEsm, "seconds_per_sequence", lambda *_: 344.0)  # as on two cores
    monkeypatch.delenv("CATJAC_MAX_HOURS", raising=False)
    with pytest.raises(ResourceError, match="100000 residues takes about 6 minutes") as caught:
        catjac.jacobian("ACDEFGHIKL" * 10_000, positions=[1], progress=False)
    said(caught.value)


# ---- outputs


def fasta(folder: Path, name: str = "ww") -> str:
    path = folder / "in.fasta"
    path.write_text(f">{name}\n{RESIDUES}\n")
    return str(path)


@pytest.mark.parametrize("command", ["jacobian", "contacts"])
@pytest.mark.parametrize("output", ["d.csv", "d.zarr", "d.nc"])
def test_force_never_deletes_a_folder(command: str, output: str, tmp_path: Path, own_cache: Path) -> None:
    folder = tmp_path / output
    (folder / "inside").mkdir(parents=True)
    (folder / "inside" / "thesis.txt").write_text("years of work")
    result = CliRunner().invoke(main, [command, fasta(tmp_path), "-o", str(folder), "--force", "-q"])
    assert (folder / "inside" / "thesis.txt").read_text() == "years of work"
    assert result.exit_code != 0
    assert "Traceback" not in result.output


def test_force_does_not_follow_a_link_to_a_folder(tmp_path: Path, own_cache: Path) -> None:
    folder = tmp_path / "precious"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    (tmp_path / "d.csv").symlink_to(folder)
    CliRunner().invoke(main, ["contacts", fasta(tmp_path), "-o", str(tmp_path / "d.csv"), "--force", "-q"])
    assert (folder / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("name", ["x" * 300, "../../up", "a/b", "..", "con:aux", "\u0000", " "], ids=ascii)
def test_record_names_make_files_in_the_folder_only(name: str, tmp_path: Path, own_cache: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(own_cache)}
    pattern = str(target / "{name}.csv")
    result = CliRunner().invoke(main, ["contacts", fasta(tmp_path, name), "-o", pattern, "-q"])
    assert "Traceback" not in result.output
    made = {path for path in tmp_path.rglob("*") if not path.is_relative_to(own_cache)} - before
    assert all(path.parent == target or path.name == "in.fasta" for path in made)
    assert result.exit_code in (0, 1, 2)
    assert (result.exit_code == 0) == any(path.suffix == ".csv" for path in made)


@pytest.mark.parametrize(
    "model", ["/etc/passwd", "/dev/zero", "/", "\u0000", "x" * 5000, "", " ", "potts:", "potts:/etc/passwd"]
)
def test_a_model_that_is_none_is_one_sentence(model: str, tmp_path: Path, own_cache: Path) -> None:
    result = CliRunner().invoke(
        main, ["contacts", fasta(tmp_path), "--model", model, "-o", str(tmp_path / "a.csv")]
    )
    assert result.exit_code in (1, 2)
    assert "Traceback" not in result.output
    assert len(result.output) < 1000


# ---- settings of the environment


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CATJAC_CACHE_LIMIT", "much"),
        ("CATJAC_CACHE_LIMIT", "-5GB"),
        ("CATJAC_CACHE_LIMIT", "nan"),
        ("CATJAC_MAX_HOURS", "long"),
        ("CATJAC_MAX_HOURS", "nan"),
        ("CATJAC_MAX_HOURS", "-1"),
        ("CATJAC_CACHE_SYNC", "often"),
        ("CATJAC_CACHE_SYNC", "nan"),
        ("CATJAC_CACHE_SYNC", "-1"),
    ],
)
def test_a_setting_that_is_none_is_named(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(CatjacError, match=variable) as caught:
        catjac.jacobian(RESIDUES, variant="fast", progress=False)
    assert value in said(caught.value)


def test_a_limit_beyond_all_numbers_is_no_size(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    monkeypatch.setenv("CATJAC_CACHE_LIMIT", "9" * 400)
    with pytest.raises(UsageError, match=r"CATJAC_CACHE_LIMIT=.* is not a size") as caught:
        catjac.jacobian(RESIDUES, variant="fast", progress=False)
    said(caught.value)


@pytest.mark.parametrize("variable", ["CATJAC_CACHE", "TORCH_HOME"])
def test_the_home_of_nobody_is_a_folder_of_that_name(
    variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own_cache: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, "~nobody-of-that-name/x")
    assert catjac.jacobian(RESIDUES, variant="fast", progress=False).size
    assert len(str(catjac.models())) > 100
    assert (tmp_path / "~nobody-of-that-name").exists() == (variable == "CATJAC_CACHE")


# ---- the magic


@pytest.mark.parametrize(
    "line", ["jacobian 'ACDEF", 'explore "', "contacts ACDEF --model", "jacobian -", "\u0000"], ids=ascii
)
def test_a_line_that_makes_no_sense_is_one_sentence(
    line: str, shell: InteractiveShell, own_cache: Path
) -> None:
    with pytest.raises(MagicError) as caught:
        shell.run_line_magic("catjac", line)
    said(caught.value)
