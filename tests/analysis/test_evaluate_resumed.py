"""`evaluate` goes on where it stopped, and computes anew only what has changed."""

from __future__ import annotations

import csv
import threading
from dataclasses import replace

import numpy as np
import pytest
from relatives import mutated
from stubs import PottsModel

from catjac_widgets.analysis.benchmark import methods as evaluation_methods
from catjac_widgets.analysis.benchmark.evaluate import evaluate
from catjac_widgets.analysis.benchmark.evaluation_table import (
    read_evaluation,
    read_rows,
)
from catjac_widgets.analysis.benchmark.methods import METHODS
from catjac_widgets.errors import Cancelled, UsageError
from catjac_widgets.structures.example_proteins import examples

FAST = ("jacobian", "inverse_covariance")


@pytest.fixture
def made(monkeypatch):
    """Which maps are made, (protein, method) in order."""
    listed = []

    def counting(name, make):
        def counted(entry, model):
            listed.append((entry.name, name))
            return make(entry, model)

        return counted

    for name in FAST:
        monkeypatch.setitem(METHODS, name, replace(METHODS[name], make=counting(name, METHODS[name].make)))
    return listed


def test_a_run_that_was_stopped_goes_on(folder, model, monkeypatch, made):
    output = folder.parent / "out.csv"
    stop = threading.Event()
    second = METHODS[FAST[1]]

    def stopping(entry, model):
        if made:
            stop.set()
        return second.make(entry, model)

    monkeypatch.setitem(METHODS, FAST[1], replace(second, make=stopping))
    with pytest.raises(Cancelled, match=r"rows are kept in out\.csv"):
        evaluate(folder, model, FAST, output=output, progress=False, stop=stop)
    assert len({(row["protein"], row["method"]) for row in read_rows(output)[0]}) == len(made) == 2
    whole = evaluate(folder, model, FAST, output=output, progress=False)
    assert len(made) == 4
    assert evaluate(folder, model, FAST, output=output, progress=False).equals(read_evaluation(output))
    assert len(made) == 4
    fresh = evaluate(folder, model, FAST, progress=False)
    np.testing.assert_allclose(whole["precision_at_l"], fresh["precision_at_l"], atol=5e-5)


def test_only_what_has_changed_is_computed_anew(folder, model, monkeypatch, made):
    output = folder.parent / "out.csv"

    def run(model=model, **options):
        made.clear()
        evaluate(folder, model, FAST, output=output, progress=False, **options)
        return sorted(made)

    both = [
        ("sh3", "inverse_covariance"),
        ("sh3", "jacobian"),
        ("ww", "inverse_covariance"),
        ("ww", "jacobian"),
    ]
    assert run() == both
    assert run() == []
    # Another model makes new rows of the model's methods only.
    assert run(PottsModel(seed=9)) == [("sh3", "jacobian"), ("ww", "jacobian")]
    (folder / "ww.a3m").write_text(mutated(examples()["ww"].sequence.residues, 25, 5))
    assert run(PottsModel(seed=9)) == [("ww", "inverse_covariance"), ("ww", "jacobian")]
    assert run(PottsModel(seed=9), force=True, only=["ww"]) == [
        ("ww", "inverse_covariance"),
        ("ww", "jacobian"),
    ]
    rows, _, commands = read_rows(output)
    assert len(rows) == 2 * 2 * 5
    assert len(commands) >= 1


def test_what_went_wrong_is_tried_again(folder, model, monkeypatch, made):
    output = folder.parent / "out.csv"
    counted = METHODS["jacobian"]

    def failing(entry, model):
        made.append((entry.name, "jacobian"))
        raise MemoryError("not now")

    monkeypatch.setitem(METHODS, "jacobian", replace(counted, make=failing))
    evaluate(folder, model, "jacobian", output=output, progress=False)
    assert made == [("sh3", "jacobian"), ("ww", "jacobian")]
    monkeypatch.setitem(METHODS, "jacobian", counted)
    table = evaluate(folder, model, "jacobian", output=output, progress=False)
    assert made == 2 * [("sh3", "jacobian"), ("ww", "jacobian")]
    assert (table["error"] == "").all()


def test_methods_can_be_added_to_a_table(folder, model):
    output = folder.parent / "out.csv"
    evaluate(folder, methods=("mean_field",), output=output, progress=False)
    evaluate(folder, model, ("jacobian",), output=output, progress=False, only="ww")
    table = read_evaluation(output)
    assert table["source"].values.tolist() == ["mean_field", "jacobian"]
    assert np.isnan(table["precision_at_l"].sel(protein="sh3", source="jacobian")).all()
    with output.open() as file:
        order = [row["method"] for row in csv.DictReader(line for line in file if line[0] != "#")]
    assert order == ["mean_field"] * 5 + ["jacobian"] * 5 + ["mean_field"] * 5


def test_fits_are_kept(folder, monkeypatch, own_cache):
    calls = []
    real = evaluation_methods.fit_potts

    def counting(alignment, **options):
        calls.append(1)
        return real(alignment, **options)

    monkeypatch.setattr(evaluation_methods, "fit_potts", counting)
    first = evaluate(folder, methods=("potts",), progress=False)
    second = evaluate(folder, methods=("potts",), progress=False, pairs="ordered")
    assert len(calls) == 2
    # The ordered convention ranks L ordered pairs: L/2 unordered ones.
    for protein in ("ww", "sh3"):
        L = int(first["length"].sel(protein=protein))
        if L % 2 == 0:
            np.testing.assert_allclose(
                second["precision_at_l"].sel(protein=protein),
                first["precision_at_l_half"].sel(protein=protein),
            )
    assert second.attrs["pairs"] == "ordered"


def test_a_table_with_other_settings_is_left_alone(folder):
    output = folder.parent / "out.csv"
    evaluate(folder, methods=("mean_field",), output=output, progress=False)
    before = output.read_text()
    with pytest.raises(UsageError, match=r"other settings \(cutoff\)"):
        evaluate(folder, methods=("mean_field",), output=output, progress=False, cutoff=6.0)
    assert output.read_text() == before
    output.write_text("precious,data\n1,2\n")
    with pytest.raises(UsageError, match="no table of catjac evaluate"):
        evaluate(folder, methods=("mean_field",), output=output, progress=False)
    assert output.read_text() == "precious,data\n1,2\n"
