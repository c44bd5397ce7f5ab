"""The command that writes the tables of recoveries, on two short proteins."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from labelled_arrays import random_sequence


@pytest.fixture
def command(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "recovery_command", repository / "benchmarks" / "recovery.py"
    )
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_it_writes_what_it_measured_and_how(command, monkeypatch, tmp_path, own_cache, capsys):
    proteins = {"a": random_sequence(30, 1), "b": random_sequence(28, 2)}
    monkeypatch.setattr(command, "families", lambda: {"trained on": proteins})
    monkeypatch.setattr(command, "SCALED", {**command.SCALED, "minimum_contacts": 0})
    monkeypatch.setitem(command.SOURCES["jacobian"], "steps", [0, 2])
    monkeypatch.setattr(sys, "argv", ["recovery.py", "--out", str(tmp_path)])
    command.main()
    for name in ("curves", "advantage"):
        head = (tmp_path / f"{name}.csv").read_text(encoding="utf-8").splitlines()[0]
        assert head.startswith("# python benchmarks/recovery.py")
        assert "commit " in head
        assert "model mini, file:" in head
    curves = pd.read_csv(tmp_path / "curves.csv", comment="#")
    assert set(curves["source"]) == {"contact_head", "jacobian"}
    assert set(curves["pattern"]) == {"flanking", "random", "random_distant"}
    assert curves.loc[curves["source"] == "jacobian", "percent"].isna().all()
    control = curves.loc[curves["segments"] > 0, ["source", "largest_error_of_control"]]
    assert control.loc[control["source"] == "jacobian", "largest_error_of_control"].max() < 1e-3
    advantage = pd.read_csv(tmp_path / "advantage.csv", comment="#")
    assert list(advantage["over"]) == ["random", "random_distant"] * 2
    assert (advantage["proteins"] <= 2).all()
    assert "random_distant" in capsys.readouterr().out


def test_the_families_come_from_the_folder(command, data_folder, monkeypatch):
    found = command.families()
    assert sum(map(len, found.values())) == 36
    assert not set(found["trained on"]) & set(found["others"])
    assert found["trained on"]
    monkeypatch.setenv("CATJAC_DATA", "")
    with pytest.raises(SystemExit, match="CATJAC_DATA"):
        command.families()
