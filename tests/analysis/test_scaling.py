from __future__ import annotations

import threading

import numpy as np
import pytest
from checkpoints import random_esm2, write_esm2, write_safetensors
from scipy.stats import spearmanr
from stubs import PottsModel

import catjac_widgets
from catjac_widgets.analysis.benchmark.precision import precision_at_l
from catjac_widgets.analysis.benchmark.scaling import scaling
from catjac_widgets.analysis.likelihood.pseudo_perplexity import pseudo_perplexity
from catjac_widgets.errors import Cancelled, ModelError, UsageError
from catjac_widgets.proteins.alignments import read_alignment
from catjac_widgets.structures.example_proteins import examples

NAMES = ("ww", "sh3", "bpti")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Two sizes as files, in both formats that models come in."""
    folder = tmp_path_factory.mktemp("sizes")
    small = write_safetensors(random_esm2(1, 16, 2, seed=1), folder / "small.safetensors")
    return [write_esm2(random_esm2(2, 32, 4, seed=2), folder, "esm2_t2_larger"), small]


@pytest.fixture(scope="module")
def proteins():
    made = {}
    for name in NAMES:
        example = examples()[name]
        residues = example.sequence.residues
        text = f">q\n{residues}\n>near\nA{residues[1:]}\n>far\n{residues[::-1]}\n"
        made[name] = (
            example.sequence,
            example.structure,
            read_alignment(text if name != "sh3" else f">q\n{residues}\n"),
        )
    return made


@pytest.fixture(scope="module")
def table(proteins, checkpoints):
    return scaling(proteins, checkpoints, draws=50, progress=False)


def test_every_point_is_what_its_own_functions_say(table, checkpoints):
    assert table["model"].values.tolist() == ["small", "esm2_t2_larger"]
    assert list(np.diff(table["parameters"].values) > 0) == [True]
    for path, model in ((checkpoints[1], "small"), (checkpoints[0], "esm2_t2_larger")):
        for name in NAMES:
            example = examples()[name]
            cell = table.sel(model=model, protein=name)
            J = catjac_widgets.jacobian(example.sequence, path, progress=False)
            expected = precision_at_l(catjac_widgets.contacts(J), example.structure)
            assert float(cell["precision_at_l"]) == pytest.approx(expected, abs=1e-12)
            assert float(cell["pseudo_perplexity"]) == pytest.approx(
                pseudo_perplexity(example.sequence, path, progress=False), rel=1e-9
            )
            assert float(cell["length"]) == len(example)
    assert table["neff"].sel(protein=["ww", "sh3"]).values.tolist() == [2.0, 1.0]


def test_correlations_are_scipys(table):
    x, y = table["pseudo_perplexity"].values, table["precision_at_l"].values
    for m in range(2):
        cell = table.isel(model=m)
        assert float(cell["spearman"].sel(against="pseudo_perplexity")) == pytest.approx(
            spearmanr(x[m], y[m]).statistic, abs=1e-12
        )
    assert float(table["pooled_spearman"]) == pytest.approx(spearmanr(x.ravel(), y.ravel()).statistic)
    change = spearmanr(np.log(x[1]) - np.log(x[0]), y[1] - y[0]).statistic
    assert float(table["change_spearman"]) == pytest.approx(change)
    for name in ("pooled", "change"):
        value, low, high = (float(table[f"{name}_{part}"]) for part in ("spearman", "low", "high"))
        assert np.isnan(low) or -1 <= low <= high <= 1, (name, value)
    assert table.attrs["letters"] == 20


def test_the_contact_head_over_the_whole_vocabulary(proteins, checkpoints):
    one = {"ww": proteins["ww"]}
    found = scaling(one, {"mine": checkpoints[1]}, source="contact_head", letters=33, progress=False)
    example = examples()["ww"]
    head = catjac_widgets.contact_head(example.sequence, checkpoints[1])
    assert float(found["precision_at_l"][0, 0]) == pytest.approx(precision_at_l(head, example.structure))
    expected = pseudo_perplexity(example.sequence, checkpoints[1], letters=33, progress=False)
    assert float(found["pseudo_perplexity"][0, 0]) == pytest.approx(expected, rel=1e-6)
    assert found["model"].values.tolist() == ["mine"]
    # One protein and no alternative has no correlation.
    assert np.isnan(found["spearman"]).all()
    assert np.isnan(found["pooled_spearman"])
    assert np.isnan(found["change_spearman"])


def test_one_bad_protein_does_not_end_it(proteins):
    given = dict(proteins)
    given["stranger"] = ("MNPQRSTVWY" * 4, proteins["ww"][1])
    given["unknown"] = ("AXA" + proteins["ww"][0].residues, proteins["ww"][1])
    found = scaling(given, [PottsModel(seed=1)], draws=20, progress=False)
    assert "does not fit" in str(found["error"].sel(protein="stranger").values[0])
    assert "'X'" in str(found["error"].sel(protein="unknown").values[0])
    assert np.isnan(found["precision_at_l"].sel(protein="stranger")).all()
    assert np.isfinite(found["precision_at_l"].sel(protein=list(NAMES))).all()
    assert np.isnan(found["neff"].sel(protein="stranger"))


def test_more_probable_proteins_with_better_maps_give_minus_one():
    """A made-up world in which precision falls strictly with perplexity."""
    from catjac_widgets.analysis.benchmark.scaling import _correlations

    perplexity = np.array([[2.0, 3, 4, 5, 6, 7]])
    found = _correlations(1 / perplexity, perplexity, perplexity[0] ** 2, {"draws": 100})
    np.testing.assert_allclose(found[0, 0], [-1, -1, -1])
    np.testing.assert_allclose(found[0, 1], [-1, -1, -1])


def test_requests_for_scaling_that_make_no_sense(proteins):
    with pytest.raises(UsageError, match="source='luck'"):
        scaling(proteins, source="luck")
    with pytest.raises(UsageError, match="no model"):
        scaling(proteins, [])
    with pytest.raises(UsageError, match="same name"):
        scaling(proteins, [PottsModel(), PottsModel()])
    with pytest.raises(ModelError, match="mimi"):
        scaling(proteins, "mimi")
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled, match="continues"):
        scaling(proteins, PottsModel(), stop=stop, progress=False)
