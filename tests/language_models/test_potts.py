from __future__ import annotations

import struct

import numpy as np
import pytest
import torch
from labelled_potts import sampled_alignment

import catjac_widgets
from catjac_widgets.alignments import Alignment, read_alignment
from catjac_widgets.alphabets import ALIGNMENT_LETTERS
from catjac_widgets.analysis.contact_maps import contacts
from catjac_widgets.errors import CheckpointError, ModelError, SequenceError
from catjac_widgets.language_models.potts import Potts, random_potts
from catjac_widgets.language_models.potts_parameters import (
    ALIGNMENT_STATES,
    PottsParameters,
    read_potts,
)
from catjac_widgets.language_models.pseudo_likelihood import PseudoLikelihood, fit_potts, minimise
from catjac_widgets.language_models.registry import identify, load_model
from catjac_widgets.masks import Mask


def random_parameters(K: int, seed: int = 0, sequence: str = "") -> PottsParameters:
    random = np.random.default_rng(seed)
    W = random.normal(size=(K, 21, K, 21))
    W = W + W.transpose(2, 3, 0, 1)
    W[np.arange(K), :, np.arange(K), :] = 0
    return PottsParameters(random.normal(size=(K, 21)), W, sequence=sequence)


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


def test_files_of_plmc(tmp_path):
    potts = random_parameters(4, 5)
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    for kind, size in (("f", 4), ("d", 8)):
        content = struct.pack("<5i", 4, 21, 3, 1, 100) + struct.pack(f"<5{kind}", 0.8, 0.1, 0.2, 0, 2.5)
        content += ("-" + ALIGNMENT_LETTERS).encode() + struct.pack(f"<4{kind}", 1, 1, 0.5, 0)
        content += b"ARND" + struct.pack("<4i", 1, 2, 3, 4)
        order = [20, *range(20)]
        dtype = f"<f{size}"
        content += np.zeros((4, 21), dtype).tobytes() + potts.fields[:, order].astype(dtype).tobytes()
        content += np.zeros((6, 21, 21), dtype).tobytes()
        for i, j in pairs:
            content += potts.couplings[i][order][:, j][:, order].astype(dtype).tobytes()
        path = tmp_path / f"{kind}.params"
        path.write_bytes(content)
        found = read_potts(path)
        assert (found.letters, found.sequence, found.neff) == ("-" + ALIGNMENT_LETTERS, "ARND", 2.5)
        np.testing.assert_allclose(found.fields, potts.fields[:, order], rtol=1e-6)
        expected = potts.couplings[:, order][:, :, :, order]
        np.testing.assert_allclose(found.couplings, expected, rtol=1e-6)
        path.write_bytes(content[:-4])
        with pytest.raises(CheckpointError, match="cut short"):
            read_potts(path)


def test_files_of_ccmpred(tmp_path):
    potts = random_parameters(3, 6)
    lines = ["\t".join(map(str, row)) for row in potts.fields[:, :20]]
    for i in range(3):
        for j in range(i + 1, 3):
            lines.append(f"# {i} {j}")
            lines += ["\t".join(map(str, row)) for row in potts.couplings[i, :, j]]
    path = tmp_path / "model.raw"
    path.write_text("\n".join(lines) + "\n")
    found = read_potts(path)
    np.testing.assert_allclose(found.couplings, potts.couplings)
    np.testing.assert_allclose(found.fields[:, :20], potts.fields[:, :20])
    path.write_text("\n".join(lines[:-1]))
    with pytest.raises(CheckpointError, match="lines"):
        read_potts(path)


def small_objective(*, one_hot: bool = False) -> PseudoLikelihood:
    random = np.random.default_rng(1)
    targets = torch.from_numpy(random.integers(3, size=(6, 3)))
    features = torch.nn.functional.one_hot(targets, 3).double()
    weights = torch.from_numpy(random.uniform(0.2, 1, 6))
    return PseudoLikelihood(
        features, targets, weights, field_penalty=0.02, coupling_penalty=0.05, one_hot=one_hot
    )


def test_the_gradient_against_finite_differences_and_the_value_against_a_loop():
    objective = small_objective()
    vector = torch.from_numpy(np.random.default_rng(2).normal(size=objective.parameters))
    value, gradient = objective(vector)
    for k in range(objective.parameters):
        step = torch.zeros_like(vector)
        step[k] = 1e-5
        slope = (objective(vector + step)[0] - objective(vector - step)[0]) / 2e-5
        assert float(slope) == pytest.approx(float(gradient[k]), abs=1e-7)
    fields, couplings = objective.unpack(vector)
    W = couplings.view(3, 3, 3, 3).numpy()
    total = 0.02 * float((fields**2).sum()) + 0.05 * (W**2).sum()
    share = objective._weights[:, 0].numpy()
    for n, row in enumerate(objective._targets[..., 0].tolist()):
        for j in range(3):
            z = [float(fields[j, b]) + sum(W[i, row[i], j, b] for i in range(3)) for b in range(3)]
            total -= share[n] * (z[row[j]] - np.log(np.exp(z).sum()))
    assert float(value) == pytest.approx(total, rel=1e-12)


def test_sums_of_rows_equal_the_product():
    vector = torch.from_numpy(np.random.default_rng(3).normal(size=small_objective().parameters))
    for a, b in zip(small_objective()(vector), small_objective(one_hot=True)(vector), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_the_minimum_is_one():
    objective = small_objective()
    found = minimise(objective, torch.zeros(objective.parameters).double(), iterations=500, tolerance=1e-9)
    assert float(objective(found)[1].abs().max()) < 2e-5
    other = minimise(objective, torch.ones(objective.parameters).double(), iterations=500, tolerance=1e-9)
    for a, b in zip(objective.unpack(found), objective.unpack(other), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


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


def test_reading_an_alignment(tmp_path):
    alignment = read_alignment(">query x\nARn.ND\nCX\n>b\nA-N-bcCB\n")
    assert (alignment.query, alignment.name, len(alignment)) == ("ARNDCX", "query", 2)
    assert alignment.states[1].tolist() == [0, 20, 2, 20, 4, 20]
    np.testing.assert_allclose(alignment.gap_fractions, [0, 0.5, 0, 0.5, 0, 1])
    for text, words in ((">a\nAR\n>b\nARN\n", "has 3 columns"), ("ARN>", "does not begin")):
        with pytest.raises(SequenceError, match=words):
            read_alignment(text)
    with pytest.raises(SequenceError, match="cannot be read"):
        read_alignment(tmp_path / "nothing.a3m")


def test_weights():
    random = np.random.default_rng(4)
    same = Alignment(np.repeat(random.integers(21, size=(1, 10)), 7, axis=0).astype(np.int8))
    assert same.effective_number() == pytest.approx(1)
    states = random.integers(3, size=(40, 10)).astype(np.int8)
    expected = [1 / sum(np.mean(row == other) >= 0.8 - 1e-12 for other in states) for row in states]
    np.testing.assert_allclose(Alignment(states).weights(), expected)
    distinct = Alignment(np.arange(5, dtype=np.int8)[:, None].repeat(10, axis=1))
    assert distinct.effective_number() == 5


def test_potts_of_a_sequence_that_is_not_its_query():
    assert Potts(random_parameters(3)).max_residues == 3
