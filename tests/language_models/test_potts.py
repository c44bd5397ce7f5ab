from __future__ import annotations

import numpy as np
import pytest
from labelled_potts import random_parameters, sampled_alignment

import catjac_widgets
from catjac_widgets.alphabets import ALIGNMENT_LETTERS
from catjac_widgets.analysis.contact_maps import contacts
from catjac_widgets.errors import ModelError, SequenceError
from catjac_widgets.language_models.potts import Potts, random_potts
from catjac_widgets.language_models.potts_files import read_potts
from catjac_widgets.language_models.potts_fit import fit_potts
from catjac_widgets.language_models.potts_parameters import ALIGNMENT_STATES, PottsParameters
from catjac_widgets.language_models.registry import identify, load_model
from catjac_widgets.masks import Mask


def test_its_jacobian_is_its_couplings(own_cache):
    model = random_potts(7, letters=ALIGNMENT_LETTERS, seed=1)
    residues = "ARNDCQE"
    J = catjac_widgets.jacobian(residues, model, numerics="float64", progress=False).values
    W = model.potts.couplings.astype(np.float64)
    for i, letter in enumerate(residues):
        expected = W[i] - W[i, ALIGNMENT_LETTERS.index(letter)]
        np.testing.assert_allclose(J[i], expected, atol=1e-12)
    centred = J - J.mean(axis=1, keepdims=True)
    centred = centred - centred.mean(axis=3, keepdims=True)
    np.testing.assert_allclose(centred, model.potts.zero_sum().couplings, atol=1e-12)
    masked = catjac_widgets.jacobian(
        residues, model, mask=Mask.hiding(residues, [(2, 3)]), numerics="float64", progress=False
    ).values
    np.testing.assert_allclose(masked[3:], J[3:], atol=1e-12)


def test_rows_equal_whole_passes():
    model = random_potts(6, letters=ALIGNMENT_LETTERS, seed=2)
    mask = Mask.hiding(6, [(2, 2)])
    runner = model.prepare("ARNDCQ", mask)
    from catjac_widgets.language_models.protocol import MASK_LETTER, Substitution

    np.testing.assert_allclose(
        runner.wild_type(), model.logits(model.encode("ARNDCQ", mask)[None])[0], atol=1e-5
    )
    for position, letter in ((0, "W"), (1, "K"), (4, MASK_LETTER)):
        tokens = model.encode("ARNDCQ", mask)
        tokens[position] = len(model.letters) if letter == MASK_LETTER else model.letters.index(letter)
        made = runner.rows([Substitution(position, letter)])[0]
        np.testing.assert_allclose(made, model.logits(tokens[None])[0], atol=1e-5)


def test_the_gauge_changes_no_probability():
    potts = random_parameters(5, 3)
    one_hot = np.eye(21)[np.random.default_rng(0).integers(21, size=(4, 5))]

    def probabilities(made: PottsParameters) -> np.ndarray:
        logits = made.fields + np.einsum("nia,iajb->njb", one_hot, made.couplings)
        return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)

    gauged = potts.zero_sum()
    np.testing.assert_allclose(gauged.couplings.sum(axis=1), 0, atol=1e-10)
    np.testing.assert_allclose(gauged.couplings.sum(axis=3), 0, atol=1e-10)
    # Fields take up what leaves the couplings, up to a constant a column.
    np.testing.assert_allclose(probabilities(gauged), probabilities(potts), atol=1e-10)


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_saved_and_used_by_name(tmp_path, ending, own_cache):
    potts = random_parameters(5, 4, sequence="ARNDCQE")
    potts = PottsParameters(potts.fields, potts.couplings, ALIGNMENT_STATES, "ARNDCQE", (0, 1, 3, 4, 6), 12.5)
    path = tmp_path / f"model.{ending}"
    potts.save(path)
    again = read_potts(path)
    assert (again.letters, again.sequence, again.columns, again.neff) == (
        potts.letters, potts.sequence, potts.columns, 12.5,
    )  # fmt: skip
    np.testing.assert_array_equal(again.couplings, potts.couplings.astype(np.float32))
    name = f"potts:{path}"
    model = load_model(name)
    assert identify(name).fingerprint == model.fingerprint
    assert not identify(name).has_contact_head
    J = catjac_widgets.jacobian("ARNDCQE", name, progress=False)
    assert not J.sel(pos_in=3).values.any()  # a residue without a column
    assert np.isfinite(contacts(J)).all()
    with pytest.raises(ModelError, match="no fitted contact head"):
        catjac_widgets.contact_head("ARNDCQE", name)
    with pytest.raises(SequenceError, match="has 8"):
        catjac_widgets.jacobian("ARNDCQEG", name)
    with pytest.raises(SequenceError, match="aligned residues"):
        model.encode("ARN")


def test_a_fit_finds_the_coupled_pairs():
    alignment = sampled_alignment(pairs=[(0, 4), (2, 6)], length=8, count=300, seed=3)
    potts = fit_potts(alignment, iterations=60)
    scores = catjac_widgets.coupling_contacts(potts).values
    best = sorted(zip(*np.triu_indices(8, 1), strict=True), key=lambda ij: -scores[ij])[:2]
    assert {(int(i), int(j)) for i, j in best} == {(0, 4), (2, 6)}
    np.testing.assert_allclose(potts.couplings, potts.couplings.transpose(2, 3, 0, 1), atol=1e-6)
    assert not potts.couplings[np.arange(8), :, np.arange(8), :].any()


def test_one_sequence_and_columns_of_gaps():
    potts = fit_potts(">q\nARND\n", iterations=5)
    assert np.isfinite(potts.fields).all()
    assert np.isfinite(potts.couplings).all()
    potts = fit_potts(">q\nARND\n>a\nA-ND\n>b\nA-NE\n", iterations=5)
    assert potts.columns == (0, 2, 3)
    assert np.isnan(catjac_widgets.coupling_contacts(potts).values[1]).all()
    with pytest.raises(SequenceError, match="Only 1 of 2"):
        fit_potts(">q\nA-\n>a\nA-\n")


def test_potts_of_a_sequence_that_is_not_its_query():
    assert Potts(random_parameters(3)).max_residues == 3
