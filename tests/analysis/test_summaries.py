from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_arrays import labelled, potts_couplings, potts_jacobian, random_jacobian, random_sequence

from catjac_widgets.analysis.contacts.maps import contacts
from catjac_widgets.analysis.contacts.operations import centre, symmetrise
from catjac_widgets.analysis.probabilities import entropy, log_softmax
from catjac_widgets.analysis.summaries import epistasis, sensitivity
from catjac_widgets.engine.api import jacobian
from catjac_widgets.errors import JacobianError
from catjac_widgets.proteins.alphabets import ESM_LETTERS
from catjac_widgets.proteins.masks import Mask


def block_norm(J, i, j):
    block = J[i, :, j, :].astype(np.float64)
    block = block - block.mean(0, keepdims=True) if block.shape[0] > 1 else block
    return np.linalg.norm(block - block.mean(1, keepdims=True))


@pytest.mark.parametrize("fast", [False, True])
def test_influence_and_sensitivity_are_sums_over_the_others(fast):
    J = random_jacobian(7, fast=fast)
    S = sensitivity(J)
    F = np.array([[block_norm(J.values, i, j) for j in range(7)] for i in range(7)])
    for k in range(7):
        others = [m for m in range(7) if m != k]
        assert S["influence"][k] == pytest.approx(np.sqrt((F[k, others] ** 2).sum()), abs=1e-12)
        assert S["sensitivity"][k] == pytest.approx(np.sqrt((F[others, k] ** 2).sum()), abs=1e-12)
        assert S["self_response"][k] == pytest.approx(F[k, k], abs=1e-12)
    np.testing.assert_allclose(S["asymmetry"].values, (F - F.T) / (F + F.T), atol=1e-12)
    np.testing.assert_allclose(S["coupling_strength"].values, contacts(J).values.sum(1), atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(2, 7))
@settings(max_examples=20, deadline=None)
def test_what_goes_out_comes_in(seed, size):
    S = sensitivity(random_jacobian(size, seed))
    out, into = float((S["influence"] ** 2).sum()), float((S["sensitivity"] ** 2).sum())
    assert out == pytest.approx(into, rel=1e-12)
    np.testing.assert_allclose(S["asymmetry"].values, -S["asymmetry"].values.T, atol=1e-14)


def test_a_potts_model_has_no_self_response_and_no_asymmetry():
    S = sensitivity(potts_jacobian(potts_couplings(6), random_sequence(6)))
    assert np.abs(S["self_response"]).max() < 1e-13
    assert np.abs(S["asymmetry"]).max() < 1e-13
    np.testing.assert_allclose(S["influence"].values, S["sensitivity"].values, atol=1e-13)


def test_letter_centring_changes_no_summary():
    J = random_jacobian(6).astype(np.float64)
    raw, centred = sensitivity(J), sensitivity(centre(J, ["aa_in", "aa_out"]))
    for name in ("influence", "sensitivity", "self_response", "asymmetry", "coupling_strength"):
        np.testing.assert_allclose(raw[name].values, centred[name].values, atol=1e-12)


def test_a_causal_model():
    values = np.random.default_rng(0).normal(size=(6, 20, 6, 20))
    values[np.tril_indices(6)[0], :, np.tril_indices(6)[1], :] = 0
    S = sensitivity(labelled(values, random_sequence(6)))
    assert S["influence"][-1] == 0
    assert S["sensitivity"][0] == 0
    assert (S["influence"][:-1] > 0).all()
    assert (np.asarray(S["asymmetry"].values)[np.triu_indices(6, 1)] == 1).all()


def test_under_a_mask_hidden_residues_are_read_but_not_mutated():
    sequence = random_sequence(6)
    mask = Mask.hiding(sequence, [(3, 4)])
    J = random_jacobian(sequence=sequence, mask=mask)
    S = sensitivity(J)
    assert np.isnan(S["influence"].values).tolist() == mask.array.tolist()
    assert np.isfinite(S["sensitivity"]).all()
    F = [block_norm(J.values, i, 2) for i in (0, 1, 4, 5)]
    assert S["sensitivity"][2] == pytest.approx(np.linalg.norm(F), abs=1e-12)
    assert float((S["influence"] ** 2).sum()) == pytest.approx(float((S["sensitivity"] ** 2).sum()))
    assert np.isnan(S["coupling_strength"].values).tolist() == mask.array.tolist()


def test_entropy_of_the_wild_type_logits():
    J = random_jacobian(4)
    logits = J["wild_type_logits"].values.astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(sensitivity(J)["entropy"].values, -(p * np.log(p)).sum(1), atol=1e-12)
    assert "entropy" not in sensitivity(J.drop_vars("wild_type_logits"))


def test_conservation_is_counted_in_the_model_s_letters(tmp_path):
    bases = "ACGU"
    random = np.random.default_rng(0)
    rows = ["".join(random.choice(list(bases), 12)) for _ in range(30)]
    path = tmp_path / "rna.a3m"
    path.write_text("".join(f">{k}\n{row}\n" for k, row in enumerate(rows)))
    found = sensitivity(jacobian(rows[0], f"potts:{path}", progress=False))
    np.testing.assert_allclose(found["conservation"], np.log(4) - found["entropy"], atol=1e-12)
    assert (found["conservation"] >= 0).all()


def test_entropy_of_a_certain_and_of_a_uniform_letter():
    certain = np.full(20, -np.inf)
    certain[3] = 0.0
    assert entropy(log_softmax(np.where(certain == 0, 1e4, 0.0))) == 0
    assert entropy(log_softmax(np.zeros(20))) == pytest.approx(np.log(20), abs=1e-14)


def test_summaries_of_a_partial_jacobian_are_refused_unless_told():
    J = random_jacobian(6)
    J[1] = np.nan
    with pytest.raises(JacobianError, match="1 of 6 rows"):
        sensitivity(J)
    S = sensitivity(J, allow_partial=True)
    assert np.isnan(S["influence"].values).tolist() == [False, True, False, False, False, False]


def test_labels_of_summaries():
    J = random_jacobian(sequence="ACD:EF")
    S = sensitivity(J)
    assert list(S["residue"].values) == ["A:A1", "A:C2", "A:D3", "B:E1", "B:F2"]
    assert S["influence"].dims == ("pos",)
    assert S["asymmetry"].dims == ("pos_i", "pos_j")
    assert S.attrs["sequence"] == "ACD:EF"


def test_epistasis_of_a_potts_model_is_the_double_mutant_term():
    L = 5
    sequence = random_sequence(L, 3)
    W = potts_couplings(L, 3)
    V = np.random.default_rng(9).normal(size=(L, 20))
    E = epistasis(potts_jacobian(W, sequence, V))
    x = np.array([ESM_LETTERS.index(letter) for letter in sequence])

    def score(y):
        pairs = sum(W[i, y[i], j, y[j]] for i in range(L) for j in range(i + 1, L))
        return V[np.arange(L), y].sum() + pairs

    generator = np.random.default_rng(1)
    for _ in range(200):
        i, j = generator.choice(L, 2, replace=False)
        a, b = generator.integers(20, size=2)
        single_i, single_j, double = x.copy(), x.copy(), x.copy()
        single_i[i], single_j[j], double[[i, j]] = a, b, (a, b)
        expected = score(double) - score(single_i) - score(single_j) + score(x)
        assert E.values[i, a, j, b] == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(E.values, E.values.transpose(2, 3, 0, 1), atol=1e-12)


def test_epistasis_is_relative_to_the_wild_type():
    J = random_jacobian(5)
    E = epistasis(J)
    for j, letter in enumerate(J["wild_type_out"].values):
        b = ESM_LETTERS.index(letter)
        np.testing.assert_array_equal(E.values[:, :, j], J.values[:, :, j] - J.values[:, :, j, [b]])
        assert not E.values[:, :, j, b].any()
        assert not E.values[j, b].any()
    assert E.dims == J.dims
    assert E.attrs["kind"] == "epistasis"


def test_epistasis_is_the_same_from_a_letter_centred_jacobian():
    J = random_jacobian(5).astype(np.float64)
    expected = epistasis(J).values
    np.testing.assert_allclose(epistasis(centre(J, ["aa_in", "aa_out"])).values, expected, atol=1e-12)
    # Arithmetic keeps attributes: this one still says "raw".
    by_hand = J - J.mean("aa_in")
    np.testing.assert_allclose(epistasis(by_hand).values, expected, atol=1e-12)


def test_epistasis_of_some_mutations_only():
    J = random_jacobian(5)
    some = J.sel(pos_in=[2, 4], aa_in=list("KR"), pos_out=slice(2, 5))
    np.testing.assert_array_equal(
        epistasis(some).values, epistasis(J).sel(pos_in=[2, 4], aa_in=list("KR"), pos_out=slice(2, 5)).values
    )


def test_epistasis_is_not_had_back_from_what_lost_it():
    J = random_jacobian(5)
    for lost in (centre(J), centre(J, ["pos_in"]), symmetrise(J), J - J.mean("pos_in")):
        with pytest.raises(JacobianError, match="pass the raw one"):
            epistasis(lost)
    with pytest.raises(JacobianError, match="fast variant"):
        epistasis(random_jacobian(5, fast=True))
    with pytest.raises(JacobianError, match="wild_type_out is gone"):
        epistasis(J.drop_vars("wild_type_out"))
    with pytest.raises(JacobianError, match="not among aa_out"):
        epistasis(J.isel(aa_out=slice(0, 3)))
    with pytest.raises(JacobianError, match="not among aa_in"):
        epistasis(centre(J, ["aa_out"]).isel(aa_in=slice(0, 3)))


def test_epistasis_of_a_lazy_jacobian_stays_lazy():
    J = random_jacobian(5)
    lazy = epistasis(J.chunk({"pos_in": 1}))
    assert lazy.chunks is not None
    np.testing.assert_array_equal(lazy.values, epistasis(J).values)


def test_summaries_of_what_was_centred_over_positions_are_refused():
    with pytest.raises(JacobianError, match="pass the raw one"):
        sensitivity(centre(random_jacobian(5)))
