from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import catjac_widgets
from catjac_widgets.analysis.benchmark.precision import inter_chain_precision
from catjac_widgets.analysis.contacts.chains import chain_block
from catjac_widgets.analysis.couplings.closed_form import mean_field
from catjac_widgets.analysis.couplings.coupling_contacts import coupling_contacts
from catjac_widgets.errors import JacobianError, SequenceError, UsageError
from catjac_widgets.language_models.potts.fit import fit_potts
from catjac_widgets.language_models.potts.parameters import ALIGNMENT_STATES, PottsParameters
from catjac_widgets.structures.experimental import structure

SEQUENCE = "ARNDC:QEG"


def two_chains():
    """A map of a chain of five and one of three residues, whose scores are all different."""
    random = np.random.default_rng(0)
    W = np.zeros((8, 21, 8, 21))
    for i in range(8):
        for j in range(i + 1, 8):
            W[i, :20, j, :20] = random.normal(size=(20, 20)) * random.uniform(0.5, 2)
            W[j, :, i, :] = W[i, :, j, :].T
    potts = PottsParameters(np.zeros((8, 21)), W, ALIGNMENT_STATES, "ARNDCQEG")
    return coupling_contacts(potts, sequence=SEQUENCE)


def test_the_block_is_that_of_the_whole_map():
    C = two_chains()
    block = chain_block(C, "A", "B")
    np.testing.assert_array_equal(block.values, C.values[:5, 5:])
    assert block["residue_i"].values.tolist() == ["A:A1", "A:R2", "A:N3", "A:D4", "A:C5"]
    assert block["residue_j"].values.tolist() == ["B:Q1", "B:E2", "B:G3"]
    np.testing.assert_allclose(chain_block(C, "B", "A").values, block.values.T, rtol=1e-12)
    np.testing.assert_array_equal(chain_block(C.transpose("pos_j", "pos_i"), "A", "B").values, block.values)
    np.testing.assert_array_equal(chain_block(C, "B", "B").values, C.values[5:, 5:])
    with pytest.raises(JacobianError, match="no chain 'C'; it has A, B"):
        chain_block(C, "A", "C")
    with pytest.raises(JacobianError, match="label chain_i"):
        chain_block(C.drop_vars("chain_i"), "A", "B")


def test_the_precision_counts_pairs_between_chains_only():
    C = two_chains()
    random = np.random.default_rng(1)
    truth = C.copy(data=np.triu(random.random((8, 8)) < 0.4).astype(float))
    truth = truth.copy(data=np.maximum(truth.values, truth.values.T))
    truth[4, :] = truth[:, 4] = np.nan  # one residue is not resolved
    found = inter_chain_precision(C, truth, (1, 3, 20))
    ranked = sorted(
        ((C.values[i, j], truth.values[i, j]) for i in range(4) for j in range(5, 8)), reverse=True
    )
    hits = [hit for _, hit in ranked]
    assert found["precision"].tolist() == [hits[0], np.mean(hits[:3]), sum(hits) / 20]
    assert found["pairs"].tolist() == [12] * 3
    assert found["contacts"].tolist() == [sum(hits)] * 3
    assert found["random"].iloc[0] == pytest.approx(np.mean(hits))


def test_what_has_no_pairs_between_chains():
    C = two_chains()
    with pytest.raises(UsageError, match="counts"):
        inter_chain_precision(C, C, (0,))
    one = coupling_contacts(mean_field(">q\nARND\n>b\nARNE\n"))
    with pytest.raises(JacobianError, match="one chain"):
        inter_chain_precision(one, one)
    nothing = C.copy(data=np.zeros((8, 8)))
    assert (inter_chain_precision(C, nothing)["precision"] == 0).all()
    unknown = C.copy(data=np.full((8, 8), np.nan))
    found = inter_chain_precision(C, unknown)
    assert found["pairs"].tolist() == [0, 0]
    assert np.isnan(found["random"]).all()
    with pytest.raises(SequenceError, match="not the query"):
        coupling_contacts(mean_field(">q\nARND\n>b\nARNE\n"), sequence="AR:NE")


@pytest.fixture(scope="module")
def pair(data_folder: Path):
    folder = data_folder / "pairs"
    if not folder.is_dir():
        pytest.skip("CATJAC_DATA names no folder with pairs/")
    described = json.loads((folder / "pairs.json").read_text())[0]
    sequence = ":".join(part["query"] for part in described["parts"])
    alignment = catjac_widgets.io.read_alignment(folder / f"{described['id']}.a3m.gz")
    chains = ":".join(part["chain"] for part in described["parts"])
    truth = structure(folder / f"{described['id']}.pdb.gz", chain=chains, sequence=sequence)
    return described, sequence, alignment, truth


def test_the_kinase_and_its_regulator_by_mean_field(pair):
    described, sequence, alignment, truth = pair
    assert alignment.effective_number() == pytest.approx(described["neff80"], abs=0.6)
    scores = coupling_contacts(mean_field(alignment), sequence=sequence, average="others")
    found = inter_chain_precision(scores, truth, (10, 20, 30))
    expected = described["inter_precision_8A"]
    np.testing.assert_allclose(found["precision"], list(expected.values()), atol=1e-3)
    assert found["contacts"].iloc[0] == described["inter_contacts_8A"]


def test_the_kinase_and_its_regulator_by_a_potts_model(pair):
    described, sequence, alignment, truth = pair
    # After eight steps the order of the best pairs stands; all of them take minutes.
    potts = fit_potts(alignment, iterations=8, progress=False)
    # Columns that only the query has are left out.
    assert not set(described["columns_without_homologues"]) & set(potts.columns)
    scores = coupling_contacts(potts, sequence=sequence)
    assert inter_chain_precision(scores, truth, (10,))["precision"].item() >= 0.6
