"""`evaluate`: which proteins are found, what the table says, and that a run goes on where it stopped."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from checkpoints import random_esm2
from relatives import mutated

import catjac_widgets
from catjac_widgets.analysis.benchmark.entries import find_entries
from catjac_widgets.analysis.benchmark.evaluate import evaluate
from catjac_widgets.analysis.benchmark.evaluation_table import (
    COLUMNS,
    as_dataset,
    evaluation_means,
    read_evaluation,
    read_rows,
    version,
)
from catjac_widgets.analysis.benchmark.precision import precision_at_l, precision_by_range
from catjac_widgets.analysis.couplings.closed_form import inverse_covariance, mean_field
from catjac_widgets.analysis.couplings.coupling_contacts import coupling_contacts
from catjac_widgets.errors import ModelNotFoundError, SequenceError, StructureError, UsageError
from catjac_widgets.language_models.esm.mini.familiarity import familiarity
from catjac_widgets.language_models.potts.fit import fit_potts
from catjac_widgets.proteins.alignments import Alignment, read_alignment
from catjac_widgets.structures.example_proteins import examples

FAST = ("jacobian", "inverse_covariance")


def test_every_number_is_the_one_of_its_own_function(folder):
    module = random_esm2()
    model = (module, module.alphabet)
    methods = ("jacobian", "contact_head", "potts", "inverse_covariance", "mean_field")
    table = evaluate(folder, model, methods, progress=False)
    assert table["protein"].values.tolist() == ["sh3", "ww"]
    assert table["source"].values.tolist() == list(methods)
    assert not (table["error"] != "").any()
    for name in ("ww", "sh3"):
        example = examples()[name]
        residues = example.sequence.residues
        alignment = read_alignment(folder / f"{name}.a3m")
        maps = {
            "jacobian": catjac_widgets.contacts(catjac_widgets.jacobian(residues, model, progress=False)),
            "contact_head": catjac_widgets.contact_head(residues, model),
            "potts": coupling_contacts(fit_potts(alignment)),
            "inverse_covariance": coupling_contacts(inverse_covariance(alignment)),
            "mean_field": coupling_contacts(mean_field(alignment)),
        }
        for method, C in maps.items():
            # As plain arrays: nothing of the labels can go wrong twice.
            expected = precision_by_range(C.values, example.contacts.values)
            for column in ("precision_at_l", "precision_at_l_half", "precision_at_l_fifth", "auc", "low"):
                found = table[column].sel(protein=name, source=method)
                np.testing.assert_allclose(found.values, expected[column], atol=1e-6, err_msg=method)
            long = table["precision_at_l"].sel(protein=name, source=method, range="long")
            assert float(long) == pytest.approx(
                precision_at_l(C.values, example.contacts.values, separation=24)
            )
        assert float(table["length"].sel(protein=name)) == len(example)
        assert float(table["neff"].sel(protein=name)) == pytest.approx(alignment.effective_number())


def test_files_belong_together_by_name(folder):
    entries, left_out = find_entries(folder)
    assert [entry.name for entry in entries] == ["sh3", "ww"]
    assert left_out == ["alone.fasta"]
    sh3, ww = entries
    assert str(ww.query) == examples()["ww"].sequence.residues
    assert len(sh3.aligned) == 30
    assert sh3.query.name == "sh3"
    assert ww.truth.contacts().equals(ww.truth.contacts(ww.query))


def test_an_index_names_proteins_files_and_chains(folder):
    two = examples()["ww"].structure.to_pdb()
    other = examples()["sh3"].structure.to_pdb()
    own, others = two.splitlines(), other.splitlines()
    atoms = [line for line in own if line.startswith("ATOM")]
    atoms += [line[:21] + "Z" + line[22:] for line in others if line.startswith("ATOM")]
    (folder / "complex.pdb").write_text("\n".join([*atoms, "END"]) + "\n")
    index = [
        {"id": "first", "chain": "A", "files": {"a3m": {"path": "ww.a3m"}, "pdb": {"path": "complex.pdb"}}},
        {"id": "sh3", "chain": "A"},
        {"id": "wrong chain", "chain": "Z", "files": {"a3m": "ww.a3m", "pdb": "complex.pdb"}},
    ]
    (folder / "index.json").write_text(json.dumps(index))
    table = evaluate(folder, methods=("inverse_covariance",), progress=False)
    assert table["protein"].values.tolist() == ["first", "sh3", "wrong chain"]
    assert table["error"].values[:2].ravel().tolist() == ["", ""]
    assert "does not fit chain Z" in str(table["error"].values[2, 0])
    (folder / "index.json").write_text("[{}]")
    with pytest.raises(UsageError, match=r"index\.json"):
        find_entries(folder)


def test_objects_instead_of_files(model):
    ww = examples()["ww"]
    aligned = read_alignment(mutated(ww.sequence.residues, 20))
    table = evaluate(
        {
            "example": ww,
            "pair": (ww.sequence, ww.structure),
            "text": (ww.sequence.residues, ww.structure, aligned),
            "aligned": (aligned, ww.structure),
        },
        model,
        FAST,
        progress=False,
    )
    precision = table["precision_at_l"].sel(source="jacobian", range="all").values
    assert len(set(precision)) == 1
    np.testing.assert_array_equal(
        np.isnan(table["precision_at_l"].sel(source="inverse_covariance", range="all").values),
        [True, True, False, False],
    )
    said = str(table["error"].sel(protein="pair", source="inverse_covariance").values)
    assert said.startswith("There is no alignment")
    assert evaluate([ww], model, ("jacobian",), progress=False)["protein"].values.tolist() == ["ww"]


def test_columns_where_the_query_has_a_gap_are_left_out():
    ww = examples()["ww"]
    text = mutated(ww.sequence.residues, 20)
    longer = "".join(
        line if line.startswith(">") else f"{line[:5]}{'-' if k < 2 else 'A'}{line[5:]}"
        for k, line in enumerate(text.splitlines(keepends=True))
    )
    found = {name: (read_alignment(given), ww.structure) for name, given in (("a", text), ("b", longer))}
    table = evaluate(found, methods=("inverse_covariance",), progress=False)
    a, b = table["precision_at_l"].values
    np.testing.assert_allclose(a, b, atol=1e-12)


def test_a_column_of_gaps_only_leaves_its_residue_without_scores(model):
    ww = examples()["ww"]
    aligned = read_alignment(mutated(ww.sequence.residues, 20))
    states = aligned.states.copy()
    states[1:, 3] = aligned.gap
    gappy = Alignment(states, aligned.letters, aligned.query, "gappy")
    table = evaluate({"gappy": (gappy, ww.structure)}, methods=("potts",), progress=False)
    everything = evaluate({"ww": (aligned, ww.structure)}, methods=("potts",), progress=False)
    pairs = [int(each["pairs"].sel(range="all").item()) for each in (table, everything)]
    far = [k for k in range(31) if abs(k - 3) >= 6]
    assert pairs[1] - pairs[0] == len(far)
    assert float(table["length"][0]) == 31


def test_unresolved_residues_are_neither_hits_nor_misses(model, tmp_path):
    ww = examples()["ww"]
    number = ww.sequence.numbers[9]
    lines = ww.structure.to_pdb().splitlines()
    kept = [line for line in lines if not line.startswith("ATOM") or line[22:26].strip() != number]
    (tmp_path / "ww.pdb").write_text("\n".join(kept) + "\n")
    (tmp_path / "ww.fasta").write_text(f">ww\n{ww.sequence.residues}\n")
    table = evaluate(tmp_path, model, ("jacobian",), progress=False)
    assert float(table["length"][0]) == 30
    C = catjac_widgets.contacts(catjac_widgets.jacobian(ww.sequence, model, progress=False)).values
    truth = ww.contacts.values.copy()
    truth[9], truth[:, 9] = np.nan, np.nan
    expected = precision_by_range(C, truth)
    np.testing.assert_allclose(table["precision_at_l"].values[0, 0], expected["precision_at_l"], atol=1e-12)
    np.testing.assert_array_equal(table["pairs"].values[0, 0], expected["pairs"])


def test_what_is_wrong_with_one_protein_is_its_own_row(folder, model):
    (folder / "bad.a3m").write_text(">bad\nACDEFGHIKL\n>short\nACD\n")
    (folder / "bad.pdb").write_text((folder / "ww.pdb").read_text())
    (folder / "empty.fasta").write_text(">empty\nACDEFGHIKLMNPQ\n")
    (folder / "empty.pdb").write_text("REMARK nothing\n")
    (folder / "stranger.fasta").write_text(">stranger\n" + "MNPQRSTVWY" * 4 + "\n")
    (folder / "stranger.pdb").write_text((folder / "ww.pdb").read_text())
    (folder / "unknown.fasta").write_text(f">u\n{examples()['ww'].sequence.residues[:-1]}X\n")
    (folder / "unknown.pdb").write_text((folder / "ww.pdb").read_text())
    output = folder.parent / "out.csv"
    table = evaluate(folder, model, FAST, output=output, progress=False)
    errors = {
        str(p): str(table["error"].sel(protein=p, source="jacobian").values) for p in table["protein"].values
    }
    assert errors["ww"] == errors["sh3"] == ""
    assert "Row 2 of the alignment" in errors["bad"]
    assert errors["empty"]
    assert "does not fit" in errors["stranger"]
    assert "'X'" in errors["unknown"]
    assert all("\n" not in error for error in errors.values())
    assert np.isnan(table["precision_at_l"].sel(protein="bad")).all()
    assert np.isfinite(table["precision_at_l"].sel(protein="ww", range="all")).all()
    # In the file too, and read back the same.
    again = read_evaluation(output)
    np.testing.assert_array_equal(again["error"], table["error"])
    np.testing.assert_allclose(again["precision_at_l"], table["precision_at_l"], atol=5e-5)
    means = evaluation_means(table)
    assert int(means["proteins"].sel(source="jacobian", range="all")) == 2


@pytest.mark.parametrize("word", ["attention", "head"])
def test_former_words_for_the_contact_head(word):
    proteins = {"ww": examples()["ww"]}
    present = evaluate(proteins, methods="contact_head", progress=False)
    with pytest.warns(DeprecationWarning, match=f"'{word}' is called 'contact_head' now"):
        former = evaluate(proteins, methods=[word], progress=False)
    xr.testing.assert_equal(former, present)


def test_the_former_order_of_methods_and_model(folder, model):
    with pytest.warns(DeprecationWarning, match=r"takes \(data, model, methods\) now"):
        former = evaluate(folder, FAST, model, progress=False)
    xr.testing.assert_equal(former, evaluate(folder, model, FAST, progress=False))
    with pytest.warns(DeprecationWarning, match="now"):
        alone = evaluate(folder, ["inverse_covariance"], progress=False)
    assert alone["source"].values.tolist() == ["inverse_covariance"]


def test_the_file_says_how_it_was_made(folder, model):
    output = folder.parent / "out.csv"
    evaluate(folder, model, FAST, output=output, progress=False, command="catjac evaluate proteins")
    evaluate(folder, methods=("mean_field",), output=output, progress=False)
    rows, settings, commands = read_rows(output)
    assert commands[0] == "catjac evaluate proteins"
    assert commands[1].startswith("catjac.benchmark.evaluate(proteins, model='', methods=['mean_field']")
    assert settings["cutoff"] == 8.0
    assert {row["version"] for row in rows} == {version()}
    assert version().startswith(catjac_widgets.__version__)
    assert tuple(rows[0]) == COLUMNS
    assert str(folder) not in output.read_text()


def test_the_embedded_model_says_what_it_was_trained_on():
    names = ["ww", "thioredoxin"]
    table = evaluate(
        {name: examples()[name] for name in names}, methods=("contact_head", "mean_field"), progress=False
    )
    known = ["yes" if familiarity(examples()[name].sequence.residues).known else "no" for name in names]
    assert table["in_sample"].sel(source="contact_head").values.tolist() == known
    assert set(table["in_sample"].sel(source="mean_field").values.tolist()) == {""}
    if len(set(known)) == 2:
        part = evaluation_means(table, in_sample=True).sel(source="contact_head", range="all")
        assert int(part["proteins"]) == 1


def test_means_over_proteins():
    random = np.random.default_rng(0)
    rows = [
        {
            **dict.fromkeys(COLUMNS, ""),
            "protein": f"p{p}",
            "method": method,
            "range": span,
            "precision_at_l": float(random.random()) if (p, method) != (3, "potts") else None,
            "in_sample": "yes" if p < 2 else "no",
        }
        for p in range(6)
        for method in ("jacobian", "potts")
        for span in ("all", "long")
    ]
    table = as_dataset(rows, {})
    means = evaluation_means(table)
    for method in ("jacobian", "potts"):
        values = [r["precision_at_l"] for r in rows if (r["method"], r["range"]) == (method, "long")]
        values = [v for v in values if v is not None]
        cell = means.sel(source=method, range="long")
        assert float(cell["mean"]) == pytest.approx(np.mean(values), abs=1e-12)
        assert int(cell["proteins"]) == len(values)
        assert float(cell["low"]) < float(cell["mean"]) < float(cell["high"])
    assert evaluation_means(table, in_sample=True)["proteins"].values.max() == 2
    assert np.isnan(evaluation_means(table.isel(protein=[0]))["low"]).all()
    with pytest.raises(UsageError, match="measure='luck'"):
        evaluation_means(table, measure="luck")


def test_requests_that_cannot_be_met_come_before_any_work(folder, tmp_path):
    with pytest.raises(UsageError, match="no method 'magic'"):
        evaluate(folder, methods=("jacobian", "magic"))
    with pytest.raises(UsageError, match="no method to evaluate"):
        evaluate(folder, methods=())
    with pytest.raises(UsageError, match="no folder"):
        evaluate(tmp_path / "missing")
    with pytest.raises(UsageError, match="no protein 'wv'"):
        evaluate(folder, only=["wv"])
    with pytest.raises(ModelNotFoundError, match="mimi"):
        evaluate(folder, model="mimi")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no pair"):
        evaluate(tmp_path / "empty")
    with pytest.raises(UsageError, match="no protein to evaluate"):
        evaluate({})
    with pytest.raises(UsageError, match="not int"):
        evaluate({"a": 3})
    with pytest.raises(UsageError, match="not int"):
        evaluate(3)


def test_two_records_in_one_file_are_refused(folder):
    (folder / "ww.fasta").write_text(">a\nACDE\n>b\nACDE\n")
    entry = next(entry for entry in find_entries(folder)[0] if entry.name == "ww")
    with pytest.raises(SequenceError, match="holds 2 records"):
        entry.query  # noqa: B018
    (folder / "ww.pdb").unlink()
    with pytest.raises(StructureError, match=r"no structure file .*ww\.pdb"):
        entry.digest  # noqa: B018
