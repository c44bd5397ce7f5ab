from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from checkpoints import random_esm2
from labelled_arrays import random_sequence
from stubs import PottsModel

import catjac_widgets
from catjac_widgets.analysis.benchmark.top_contacts import top_contacts
from catjac_widgets.analysis.likelihood.double_mutants import double_mutants
from catjac_widgets.errors import Cancelled, JacobianError, UsageError
from catjac_widgets.proteins.alphabets import ESM_LETTERS

PAIRS = [(1, 6), (7, 3), (2, 9)]


def hamiltonian(model, letters):
    """Fields and couplings of a sequence, each pair once."""
    length = len(letters)
    fields, couplings = model.parameters_for(length)
    states = [ESM_LETTERS.index(letter) for letter in letters]
    energy = sum(fields[k, a] for k, a in enumerate(states))
    return energy + sum(
        couplings[i, states[i], j, states[j]] for i in range(length) for j in range(i + 1, length)
    )


def test_for_a_potts_model_it_is_the_double_mutant_term():
    residues, model = random_sequence(9), PottsModel(seed=2)
    found = double_mutants(residues, model, pairs=PAIRS, progress=False)
    wild = hamiltonian(model, residues)
    for k, (i, j) in enumerate(PAIRS):
        for a in "AWC":
            for b in "LKW":
                mutants = []
                for change in ({i: a, j: b}, {i: a}, {j: b}):
                    letters = "".join(change.get(p, r) for p, r in enumerate(residues, start=1))
                    mutants.append(hamiltonian(model, letters))
                expected = mutants[0] - mutants[1] - mutants[2] + wild
                cell = found.isel(pair=k).sel(aa_i=a, aa_j=b)
                for name in ("epistasis", "forward", "backward"):
                    assert float(cell[name]) == pytest.approx(expected, abs=1e-5), (name, i, j, a, b)


def test_for_a_potts_model_the_jacobian_says_the_same():
    residues, model = random_sequence(9), PottsModel(seed=5)
    J = catjac_widgets.jacobian(residues, model, progress=False)
    found = double_mutants(residues, model, pairs=PAIRS, J=J, progress=False)
    np.testing.assert_allclose(found["conditional"], found["epistasis"], atol=1e-4)
    np.testing.assert_allclose(found["spearman"], 1, atol=1e-6)


def test_the_wild_type_has_no_epistasis():
    residues = random_sequence(9)
    found = double_mutants(residues, PottsModel(seed=2), pairs=PAIRS, progress=False)
    for k, (i, j) in enumerate(PAIRS):
        one = found["epistasis"].isel(pair=k)
        assert not one.sel(aa_i=residues[i - 1]).values.any()
        assert not one.sel(aa_j=residues[j - 1]).values.any()
        assert str(found["residue_i"].values[k]) == f"{residues[i - 1]}{i}"
        assert int(found["pos_j"][k]) == j


def test_of_a_language_model_it_equals_plain_passes():
    module = random_esm2(seed=6)
    alphabet = module.alphabet
    residues = random_sequence(8, 3)
    i, j = 2, 7
    found = double_mutants(residues, (module, alphabet), pairs=[(i, j)], progress=False).isel(pair=0)
    tokens = alphabet.get_batch_converter()([("", residues)])[2]

    def log_odds(read, put, other, letter):
        changed = tokens.clone()
        changed[0, read] = alphabet.mask_idx
        changed[0, put] = alphabet.get_idx(other)
        with torch.no_grad():
            log_p = torch.log_softmax(module(changed)["logits"][0, read], -1)
        return float(log_p[alphabet.get_idx(letter)] - log_p[alphabet.get_idx(residues[read - 1])])

    for a in "AKW":
        for b in "GLC":
            forward = log_odds(j, i, a, b) - log_odds(j, i, residues[i - 1], b)
            backward = log_odds(i, j, b, a) - log_odds(i, j, residues[j - 1], a)
            cell = found.sel(aa_i=a, aa_j=b)
            assert float(cell["forward"]) == pytest.approx(forward, abs=2e-4)
            assert float(cell["backward"]) == pytest.approx(backward, abs=2e-4)
            assert float(cell["epistasis"]) == pytest.approx((forward + backward) / 2, abs=2e-4)
    # It belongs to no single distribution, and the two orders tell.
    assert float(abs(found["forward"] - found["backward"]).max()) > 1e-3


@pytest.mark.parametrize("batch_size", [1, 33])
def test_batch_size_makes_no_difference_to_double_mutants(batch_size):
    module = random_esm2(seed=6)
    residues = random_sequence(8, 3)
    model = (module, module.alphabet)
    expected = double_mutants(residues, model, pairs=[(1, 5), (2, 3)], progress=False)
    found = double_mutants(residues, model, pairs=[(1, 5), (2, 3)], batch_size=batch_size, progress=False)
    np.testing.assert_allclose(found["epistasis"], expected["epistasis"], atol=1e-5)


def test_turning_a_pair_round_transposes_it():
    residues, model = random_sequence(9), PottsModel(seed=8, symmetric=False)
    there = double_mutants(residues, model, pairs=[(2, 6)], progress=False)
    back = double_mutants(residues, model, pairs=[(6, 2)], progress=False)
    np.testing.assert_allclose(there["epistasis"].values[0], back["epistasis"].values[0].T, atol=1e-12)
    np.testing.assert_allclose(there["forward"].values[0], back["backward"].values[0].T, atol=1e-12)


def test_pairs_may_come_from_a_table_of_contacts():
    residues, model = random_sequence(14), PottsModel(seed=1)
    J = catjac_widgets.jacobian(residues, model, progress=False)
    best = top_contacts(catjac_widgets.contacts(J), 3)
    found = double_mutants(residues, model, pairs=best, J=J, progress=False)
    assert found["pos_i"].values.tolist() == best["pos_i"].tolist()
    assert found["pos_j"].values.tolist() == best["pos_j"].tolist()


def test_chains_and_linkers():
    model = random_esm2(seed=2)
    given = (model, model.alphabet)
    with_linker = double_mutants("ACDEF:GHIKL", given, pairs=[(2, 8)], linker="GGG", progress=False)
    joined = double_mutants("ACDEFGGGGHIKL", given, pairs=[(2, 11)], progress=False)
    np.testing.assert_allclose(with_linker["epistasis"], joined["epistasis"], atol=1e-5)
    assert with_linker["residue_j"].values.tolist() == ["B:I3"]


def test_pairs_that_are_none():
    residues, model = random_sequence(9), PottsModel()
    for pairs, sentence in (
        ([], "There is no pair"),
        ([(3, 3)], "not two positions"),
        ([(0, 3)], "positions count from 1"),
        ([(1, 10)], "positions of 1–9"),
        ([(1, 2, 3)], "is not a pair"),
        (7, "list of"),
    ):
        with pytest.raises(UsageError, match=sentence):
            double_mutants(residues, model, pairs=pairs)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        double_mutants(residues, model, pairs=PAIRS, stop=stop, progress=False)


def test_a_jacobian_that_does_not_belong():
    residues, model = random_sequence(9), PottsModel(seed=2)
    other = catjac_widgets.jacobian(random_sequence(9, 5), model, progress=False)
    with pytest.raises(JacobianError, match="another sequence"):
        double_mutants(residues, model, pairs=PAIRS, J=other)
    other = catjac_widgets.jacobian(residues, PottsModel(seed=4), progress=False)
    with pytest.raises(JacobianError, match="another model"):
        double_mutants(residues, model, pairs=PAIRS, J=other)
    part = catjac_widgets.jacobian(residues, model, positions=[1, 6], progress=False)
    with pytest.raises(JacobianError, match="no row and column of position 2"):
        double_mutants(residues, model, pairs=PAIRS, J=part)
    found = double_mutants(residues, model, pairs=[(1, 6)], J=part, progress=False)
    np.testing.assert_allclose(found["conditional"], found["epistasis"], atol=1e-4)
