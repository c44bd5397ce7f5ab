"""The committed table over the protein families, against what the package computes now."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from catjac_widgets.analysis.benchmark.entries import find_entries
from catjac_widgets.analysis.benchmark.evaluate import evaluate
from catjac_widgets.analysis.benchmark.evaluation_table import evaluation_means, read_evaluation

TABLE = Path(__file__).resolve().parents[2] / "benchmarks" / "families_evaluation.csv"

#: Short families, quick to fit; one that `mini` was not trained on.
SOME = ["PF00018_2O9S", "PF00327_1BXY", "PF00249_1GUU"]


def test_the_table_is_complete():
    table = read_evaluation(TABLE)
    assert table.sizes["protein"] == 36
    assert table["source"].values.tolist() == [
        "jacobian",
        "contact_head",
        "potts",
        "inverse_covariance",
        "mean_field",
    ]
    assert not (table["error"] != "").any()
    assert np.isfinite(table["precision_at_l"]).all()
    assert set(np.unique(table["in_sample"].sel(source="jacobian"))) <= {"yes", "no"}
    assert "catjac evaluate families" in table.attrs["commands"]


def test_the_yardstick_of_the_data_is_met(data_folder):
    records = json.loads((data_folder / "families" / "families.json").read_text())
    given = {record["id"]: record for record in records}
    table = read_evaluation(TABLE)
    ours = table.sel(source="mean_field")
    for name in map(str, table["protein"].values):
        # The same method by another hand (mean-field couplings, contacts below 8 Å), to a place or so.
        length = given[name]["length"]
        for span, column, key, places in (
            ("all", "precision_at_l", "p_at_l", length),
            ("all", "precision_at_l_half", "p_at_l_half", length // 2),
            ("all", "precision_at_l_fifth", "p_at_l_fifth", length // 5),
            ("long", "precision_at_l", "p_at_l_sep24", length),
        ):
            found = float(ours[column].sel(protein=name, range=span))
            allowed = (1 + length // 40) / places + 1e-3
            assert found == pytest.approx(given[name][key], abs=allowed), (name, span, column)
    means = evaluation_means(table)["mean"].sel(range="all")
    yardstick = np.mean([record["p_at_l"] for record in records])
    assert float(means.sel(source="potts")) >= yardstick


def test_some_families_come_out_as_in_the_table(data_folder):
    committed = read_evaluation(TABLE).sel(protein=SOME)
    methods = [str(name) for name in committed["source"].values]
    entries = {entry.name: entry for entry in find_entries(data_folder / "families")[0]}
    some = {name: entries[name] for name in SOME}
    table = evaluate(some, methods=methods, progress=False).sel(protein=SOME)
    np.testing.assert_array_equal(table["pairs"], committed["pairs"])
    np.testing.assert_array_equal(table["contacts"], committed["contacts"])
    np.testing.assert_array_equal(table["in_sample"], committed["in_sample"])
    np.testing.assert_allclose(table["neff"], committed["neff"], atol=1e-3)
    for method in methods:
        # Fits and float32 differ in the last digits by machine: a pair at the limit may change sides.
        places = 2 if method == "potts" else 1
        for column, share in (("precision_at_l", 1), ("precision_at_l_half", 2), ("precision_at_l_fifth", 5)):
            found, expected = (each[column].sel(source=method).values for each in (table, committed))
            allowed = places / (table["length"].values // share)[:, None] + 1e-4
            assert (np.abs(found - expected) <= allowed).all(), (method, column)


def test_a_table_of_version_0_1_is_continued(data_folder, tmp_path):
    """Its rows called the contact head "attention"; they are taken as they are, and nothing is computed."""
    output = tmp_path / "table.csv"
    output.write_text(TABLE.read_text())
    assert ",attention," in output.read_text()
    stop = threading.Event()
    stop.set()
    table = evaluate(
        data_folder / "families", methods="contact_head", output=output, progress=False, stop=stop
    )
    assert table.identical(read_evaluation(TABLE).sel(source=["contact_head"]).assign_attrs(table.attrs))
