from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from labelled_potts import sampled_alignment

from catjac_widgets.analysis.benchmark.precision import precision_at_l
from catjac_widgets.analysis.couplings.closed_form import inverse_covariance, mean_field
from catjac_widgets.analysis.couplings.coupling_contacts import coupling_contacts
from catjac_widgets.errors import UsageError
from catjac_widgets.language_models.potts.fit import fit_potts
from catjac_widgets.language_models.potts.parameters import ALIGNMENT_STATES, PottsParameters
from catjac_widgets.proteins.alignments import Alignment, read_alignment
from catjac_widgets.structures.experimental import structure


def test_mean_field_by_its_definition():
    alignment = sampled_alignment(pairs=[(0, 3)], length=5, count=60, seed=1)
    states, w = alignment.states, alignment.weights()
    L, q = 5, 21
    single, double = np.zeros((L, q)), np.zeros((L, q, L, q))
    for n, row in enumerate(states):
        for i in range(L):
            single[i, row[i]] += w[n] / w.sum()
            for j in range(L):
                double[i, row[i], j, row[j]] += w[n] / w.sum()
    single = 0.5 * single + 0.5 / q
    C = np.zeros((L, q - 1, L, q - 1))
    for i in range(L):
        for j in range(L):
            pair = np.diag(single[i]) if i == j else 0.5 * double[i, :, j] + 0.5 / q**2
            C[i, :, j] = (pair - np.outer(single[i], single[j]))[:-1, :-1]
    W = np.zeros((L, q, L, q))
    W[:, :-1, :, :-1] = -np.linalg.inv(C.reshape(L * (q - 1), -1)).reshape(C.shape)
    for i in range(L):
        for j in range(L):
            block = W[i, :, j] * (i != j)
            block = block - block.mean(axis=0) - block.mean(axis=1, keepdims=True) + block.mean()
            np.testing.assert_allclose(mean_field(alignment).couplings[i, :, j], block, atol=1e-8)


def test_inverse_covariance_by_its_definition():
    alignment = sampled_alignment(pairs=[(0, 3)], length=5, count=60, seed=8)
    one_hot = np.eye(21)[alignment.states].reshape(60, 105)
    expected = -np.linalg.inv(np.cov(one_hot, rowvar=False) + 4.5 / np.sqrt(60) * np.eye(105))
    expected = expected.reshape(5, 21, 5, 21)
    expected[np.arange(5), :, np.arange(5)] = 0
    np.testing.assert_allclose(inverse_covariance(alignment).couplings, expected, atol=1e-10)
    with pytest.raises(UsageError, match="shrinkage"):
        inverse_covariance(alignment, shrinkage=0)
    with pytest.raises(UsageError, match="pseudocount"):
        mean_field(alignment, pseudocount=0)


@pytest.mark.parametrize("method", [mean_field, inverse_covariance])
def test_coupled_columns_come_first(method):
    alignment = sampled_alignment(pairs=[(1, 5), (2, 7)], length=9, count=400, seed=2)
    scores = coupling_contacts(method(alignment)).values
    np.testing.assert_allclose(scores, scores.T, atol=1e-10)
    assert not np.diagonal(scores).any()
    best = sorted(zip(*np.triu_indices(9, 1), strict=True), key=lambda ij: -scores[ij])[:2]
    assert {(int(i), int(j)) for i, j in best} == {(1, 5), (2, 7)}


def test_duplicated_columns_attract_like_letters():
    states = np.random.default_rng(3).integers(3, size=(200, 4)).astype(np.int8)
    states[:, 3] = states[:, 0]
    found = inverse_covariance(Alignment(states, query="ARND"))
    block = found.couplings[0, :3, 3, :3]
    assert (np.diagonal(block) > 0).all()
    assert (block[~np.eye(3, dtype=bool)] < 0).all()
    scores = coupling_contacts(found).values
    assert scores[0, 3] == scores.max()


def test_one_sequence_gives_no_contacts():
    for method in (mean_field, inverse_covariance):
        scores = coupling_contacts(method(">q\nARNDC\n")).values
        assert np.isfinite(scores).all()
    assert not coupling_contacts(inverse_covariance(">q\nARNDC\n")).values.any()


def test_the_mean_of_the_others():
    alignment = sampled_alignment(pairs=[(1, 5)], length=6, count=80, seed=4)
    found = mean_field(alignment)
    norms = np.zeros((6, 6))
    for i in range(6):
        for j in range(6):
            norms[i, j] = np.linalg.norm(found.couplings[i, :20, j, :20]) * (i != j)
    others = norms.sum(axis=1) / 5
    expected = norms - np.outer(others, others) / (norms.sum() / 30)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(coupling_contacts(found, average="others").values, expected, atol=1e-12)
    with pytest.raises(UsageError, match="average"):
        coupling_contacts(found, average="most")


def three_columns(states: str) -> PottsParameters:
    """Couplings of one letter of 3, 1 and 2 (pairs 12, 13, 23), and of 4 for the gap of pair 12."""
    W = np.zeros((3, len(states), 3, len(states)))
    for i, j, size in ((0, 1, 3.0), (0, 2, 1.0), (1, 2, 2.0)):
        W[i, states.index("A"), j, states.index("C")] = size
    if "-" in states:
        W[0, states.index("-"), 1, states.index("-")] = 4.0
    W += W.transpose(2, 3, 0, 1)
    return PottsParameters(np.zeros(W.shape[:2]), W, states, "ACD")


@pytest.mark.parametrize(
    ("average", "gap_state", "expected"),
    [
        # Norms 3, 1, 2; sums 4, 5, 3 of 12 in all.
        ("all", False, [3 - 4 * 5 / 12, 1 - 4 * 3 / 12, 2 - 5 * 3 / 12]),
        # Means over the two others 2, 2.5, 1.5; over pairs 2.
        ("others", False, [3 - 2 * 2.5 / 2, 1 - 2 * 1.5 / 2, 2 - 2.5 * 1.5 / 2]),
        # Norms 5, 1, 2; sums 6, 7, 3 of 16.
        ("all", True, [5 - 6 * 7 / 16, 1 - 6 * 3 / 16, 2 - 7 * 3 / 16]),
        # As plmc without -g writes them: means 3, 3.5, 1.5; over pairs 8/3.
        ("others", True, [1.0625, -0.6875, 0.03125]),
    ],
)
def test_conventions_of_the_programs_by_hand(average, gap_state, expected):
    found = coupling_contacts(three_columns(ALIGNMENT_STATES), average=average, gap_state=gap_state)
    np.testing.assert_allclose(found.values[np.triu_indices(3, 1)], expected, atol=1e-14)
    assert (found.attrs["average"], found.attrs["gap_state"]) == (average, int(gap_state))


def test_couplings_without_a_gap_have_no_gap_to_leave_out():
    # As plmc with -g fits them.
    parameters = three_columns(ALIGNMENT_STATES.replace("-", ""))
    with_it, without = (coupling_contacts(parameters, gap_state=wanted).values for wanted in (True, False))
    np.testing.assert_array_equal(with_it, without)


def test_a_map_of_ccmpred_is_ours_but_for_its_smallest_score():
    """CCMpred's own steps: block means over all states off, norm without the gap, APC, smallest score off."""
    random = np.random.default_rng(7)
    W = random.normal(size=(5, 21, 5, 21))
    W = W + W.transpose(2, 3, 0, 1)
    W[np.arange(5), :, np.arange(5)] = 0
    norms = np.zeros((5, 5))
    for i in range(5):
        for j in range(5):
            block = W[i, :, j] - W[i, :, j].mean()
            norms[i, j] = np.sqrt((block[:20, :20] ** 2).sum()) * (i != j)
    scores = norms - np.outer(norms.mean(axis=0), norms.mean(axis=0)) / norms.mean()
    upper = np.triu_indices(5, 1)
    written = scores[upper] - scores[upper].min()
    centred = W - W.mean(axis=(1, 3), keepdims=True)
    parameters = PottsParameters(np.zeros((5, 21)), centred, ALIGNMENT_STATES, "ARNDC")
    ours = coupling_contacts(parameters).values[upper]
    np.testing.assert_allclose(ours - ours.min(), written, atol=1e-12)
    assert np.abs(ours - written).max() > 0.1


@pytest.mark.parametrize("method", [mean_field, inverse_covariance])
def test_columns_of_gaps_unknown_residues_and_copies(method):
    for text in (">q\nARND\n>b\nA--D\n>c\nA--E\n", ">q\nAXND\n>b\nAXNE\n", ">q\nARND\n" * 5):
        scores = coupling_contacts(method(text)).values
        assert np.isfinite(scores).all()
        np.testing.assert_allclose(scores, scores.T, atol=1e-12)


@pytest.mark.parametrize("method", [mean_field, inverse_covariance, fit_potts])
def test_base_pairs_of_nucleotides(method):
    random = np.random.default_rng(5)
    states = random.integers(4, size=(400, 8))
    # A pairs with U, C with G.
    states[:, 7], states[:, 6] = 3 - states[:, 0], 3 - states[:, 1]
    text = "".join(f">{n}\n{''.join('ACGU'[k] for k in row)}\n" for n, row in enumerate(states))
    found = method(text)
    assert (found.letters, found.residue_letters) == ("ACGU-", "ACGU")
    scores = coupling_contacts(found)
    assert scores.attrs["sequence"] == text.split()[1]
    best = sorted(zip(*np.triu_indices(8, 1), strict=True), key=lambda ij: -scores.values[ij])[:2]
    assert {(int(i), int(j)) for i, j in best} == {(0, 7), (1, 6)}


@pytest.mark.parametrize("name", ["PF00397_1PIN", "PF00018_2O9S", "PF00013_1WVN", "PF00014_1BPI"])
def test_the_reference_precision_of_real_families(data_folder: Path, name: str):
    folder = data_folder / "families"
    family = next(each for each in json.loads((folder / "families.json").read_text()) if each["id"] == name)
    alignment = read_alignment(folder / f"{name}.a3m.gz")
    assert alignment.query == family["query"]
    assert alignment.effective_number() == pytest.approx(family["neff80"], abs=0.06)
    truth = structure(folder / f"{name}.pdb.gz", chain=family["chain"], sequence=family["query"])
    # The reference averages over the other residues; over all of them, single pairs change places.
    scores = coupling_contacts(mean_field(alignment), average="others")
    assert precision_at_l(scores, truth) == pytest.approx(family["p_at_l"], abs=6e-4)
    potts = coupling_contacts(fit_potts(alignment, progress=False))
    # Over all 36 families its mean lies above the reference's (benchmarks/potts_families.csv); in single ones
    # up to four pairs may be lost.
    assert precision_at_l(potts, truth) >= family["p_at_l"] - 4.1 / family["length"]
