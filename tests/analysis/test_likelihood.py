from __future__ import annotations

import pickle

import esm
import numpy as np
import pytest
from checkpoints import random_esm1
from hypothesis import given
from hypothesis import strategies as st
from labelled_arrays import random_sequence
from masked_loops import masked_by_hand
from stubs import PottsModel

import catjac_widgets
from catjac_widgets.analysis.likelihood.marginals import marginals, substitution_scores, without_kept_bias
from catjac_widgets.analysis.likelihood.pseudo_perplexity import pseudo_perplexity
from catjac_widgets.analysis.probabilities import log_softmax
from catjac_widgets.errors import MaskError, ModelError, UsageError
from catjac_widgets.language_models.registry import wrap
from catjac_widgets.proteins.alphabets import ESM_LETTERS
from catjac_widgets.proteins.masks import Mask


class Uniform(PottsModel):
    """Knows nothing: all letters are equally likely everywhere."""

    def parameters_for(self, length):
        return np.zeros((length, 20)), np.zeros((length, 20, length, 20))


class Oracle(PottsModel):
    """Knows the sequence by heart, whatever it sees."""

    def __init__(self, sequence):
        super().__init__()
        self.sequence = sequence

    def parameters_for(self, length):
        fields = np.zeros((length, 20))
        fields[np.arange(length), [ESM_LETTERS.index(letter) for letter in self.sequence]] = 100
        return fields, np.zeros((length, 20, length, 20))

    @property
    def fingerprint(self):
        return f"oracle {self.sequence}"


class Nothing(Uniform):
    @property
    def fingerprint(self):
        return "uniform"


def test_masked_marginals_equal_a_plain_loop(esm2):
    residues = random_sequence(11, 5)
    table = marginals(residues, esm2, progress=False)
    expected = log_softmax(masked_by_hand(*esm2, residues))
    np.testing.assert_allclose(table["log_probability"].values, expected, atol=1e-4)
    assert list(table["aa"].values) == list(ESM_LETTERS)
    own = [ESM_LETTERS.index(letter) for letter in residues]
    np.testing.assert_allclose(
        table["score"].values, expected - expected[np.arange(11), own][:, None], atol=2e-4
    )
    p = np.exp(expected)
    np.testing.assert_allclose(table["entropy"].values, -(p * expected).sum(1), atol=1e-4)
    np.testing.assert_allclose(table["effective_letters"].values, np.exp(table["entropy"].values), atol=1e-12)
    np.testing.assert_allclose(table["conservation"].values, np.log(20) - table["entropy"].values, atol=1e-12)
    by_hand = np.exp(-expected[np.arange(11), own].mean())
    assert pseudo_perplexity(residues, esm2) == pytest.approx(by_hand, rel=1e-4)


def test_under_a_mask_hidden_residues_are_predicted_from_the_visible_ones(esm2):
    residues = random_sequence(9, 6)
    mask = Mask.hiding(residues, [(1, 2), (6, 6)])
    expected = log_softmax(masked_by_hand(*esm2, residues, mask))
    table = marginals(residues, esm2, mask=mask, progress=False)
    np.testing.assert_allclose(table["log_probability"].values, expected, atol=1e-4)
    shown = ~mask.array
    own = np.array([ESM_LETTERS.index(letter) for letter in residues])
    scored = expected[np.arange(9), own][shown]
    found = pseudo_perplexity(residues, esm2, mask=mask)
    assert found == pytest.approx(np.exp(-scored.mean()), rel=1e-4)
    assert found.residues == 6
    # Hidden residues look the same to every method.
    for method in ("wild_type", "approximate"):
        other = marginals(residues, esm2, method, mask=mask, progress=False)
        np.testing.assert_allclose(other["log_probability"].values[~shown], expected[~shown], atol=1e-4)


def test_wild_type_marginals_are_the_softmax_of_the_unmasked_logits(esm2):
    import torch

    residues = random_sequence(8, 7)
    module, alphabet = esm2
    tokens = alphabet.get_batch_converter()([("", residues)])[2]
    with torch.no_grad():
        logits = module(tokens)["logits"][0, 1:-1, [alphabet.get_idx(letter) for letter in ESM_LETTERS]]
    table = marginals(residues, esm2, "wild_type", progress=False)
    np.testing.assert_allclose(table["log_probability"].values, log_softmax(logits.numpy()), atol=1e-5)
    assert table.attrs["method"] == "wild_type"
    assert table.attrs["kind"] == "marginals, wild type"


def test_a_model_that_knows_nothing_and_one_that_knows_all():
    residues = random_sequence(10)
    for method in ("masked", "wild_type"):
        table = marginals(residues, Nothing(), method, progress=False)
        np.testing.assert_allclose(table["entropy"].values, np.log(20), atol=1e-6)
        assert pseudo_perplexity(residues, Nothing(), method=method) == pytest.approx(20, rel=1e-6)
        assert pseudo_perplexity(residues, Oracle(residues), method=method) == pytest.approx(1, rel=1e-6)


def test_scores_of_the_wild_type_are_zero():
    residues = random_sequence(9)
    table = marginals(residues, PottsModel(seed=4), progress=False)
    own = [ESM_LETTERS.index(letter) for letter in residues]
    assert not table["score"].values[np.arange(9), own].any()


def test_everything_comes_from_one_fast_jacobian(own_cache):
    residues, model = random_sequence(9), PottsModel(seed=12)
    catjac_widgets.jacobian(residues, model, variant="fast", progress=False)
    before = model.sequences_run
    assert before == 9
    marginals(residues, model, progress=False)
    marginals(residues, model, "wild_type", progress=False)
    pseudo_perplexity(residues, model)
    assert model.sequences_run == before


def test_one_pass_methods_run_one_row(own_cache):
    residues, model = random_sequence(9), PottsModel(seed=13)
    marginals(residues, model, "wild_type", progress=False)
    assert model.sequences_run <= 1
    mask = Mask.hiding(residues, [(1, 3)])
    assert marginals(residues, model, "wild_type", mask=mask, progress=False).sizes["pos"] == 9


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batch_size_makes_no_difference(esm2, batch_size):
    residues = random_sequence(10, 8)
    expected = pseudo_perplexity(residues, esm2, cache=False)
    assert pseudo_perplexity(residues, esm2, cache=False, batch_size=batch_size) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("letters", [20, 4], ids=["amino acids", "bases"])
@given(st.data())
def test_taking_out_the_kept_bias_undoes_it(letters, data):
    weights = data.draw(st.lists(st.floats(0.001, 1), min_size=letters, max_size=letters))
    own = data.draw(st.integers(0, letters - 1))
    p = np.array(weights) / sum(weights)
    # What a perfect model says of an unmasked residue: 10 % of targets were kept, 10 % replaced by a uniform
    # letter. Seeing w: kept with weight p(w), or random with weight 1/A whatever the target.
    q = p / letters
    q[own] += p[own]
    q = q / q.sum()
    back = np.exp(without_kept_bias(np.log(q)[None], np.array([own]))[0])
    np.testing.assert_allclose(back, p, rtol=1e-9, atol=1e-12)
    assert back.sum() == pytest.approx(1, abs=1e-12)
    assert q[own] >= back[own] - 1e-12


def test_the_approximate_method_uses_it():
    residues, model = random_sequence(7), PottsModel(seed=3)
    raw = marginals(residues, model, "wild_type", progress=False)
    found = marginals(residues, model, "approximate", progress=False)
    own = np.array([ESM_LETTERS.index(letter) for letter in residues])
    expected = without_kept_bias(raw["log_probability"].values, own)
    np.testing.assert_allclose(found["log_probability"].values, expected, atol=1e-12)
    np.testing.assert_allclose(np.exp(found["log_probability"]).sum("aa"), 1, atol=1e-12)
    assert found.attrs["kind"] == "marginals, approximate"


def test_a_pseudo_perplexity_remembers_how_it_was_made():
    residues = random_sequence(8)
    found = pseudo_perplexity(residues, PottsModel(seed=5))
    assert isinstance(found, float)
    assert (found.letters, found.method, found.residues) == (20, "masked", 8)
    assert found == pytest.approx(np.exp(-found.log_likelihood / 8))
    again = pickle.loads(pickle.dumps(found))
    assert (again, again.letters, again.log_likelihood) == (found, 20, found.log_likelihood)


def test_what_is_not_offered():
    residues = random_sequence(5)
    with pytest.raises(UsageError, match="method='psuedo'"):
        marginals(residues, PottsModel(), "psuedo")
    with pytest.raises(ModelError, match="its 20 letters only, not of 33"):
        pseudo_perplexity(residues, PottsModel(), letters=33)
    with pytest.raises(UsageError, match="method='psuedo'"):
        pseudo_perplexity(residues, PottsModel(), method="psuedo")
    with pytest.raises(MaskError, match="hides every residue"):
        pseudo_perplexity(residues, PottsModel(), mask=Mask.everything(residues))


def test_a_model_in_memory_may_be_wrapped_or_a_pair(esm2):
    residues = random_sequence(6)
    assert pseudo_perplexity(residues, wrap(*esm2)) == pytest.approx(
        pseudo_perplexity(residues, esm2), rel=1e-6
    )


def test_the_whole_vocabulary_by_plain_fair_esm(esm2):
    import torch

    module, alphabet = esm2
    residues = random_sequence(12, 21)
    mask = Mask.hiding(residues, [(3, 4)])
    tokens = alphabet.get_batch_converter()([("", residues)])[2]
    for hidden in (None, mask):
        inputs = tokens.clone()
        if hidden is not None:
            inputs[0, 1:-1][torch.from_numpy(hidden.array)] = alphabet.mask_idx
        found = []
        for k in range(12):
            if hidden is not None and hidden.masked[k]:
                continue
            changed = inputs.clone()
            changed[0, k + 1] = alphabet.mask_idx
            with torch.no_grad():
                logits = module(changed)["logits"][0, k + 1].double()
            assert len(logits) == 33
            found.append(float(torch.log_softmax(logits, -1)[tokens[0, k + 1]]))
        made = pseudo_perplexity(residues, esm2, letters=33, mask=hidden)
        assert made == pytest.approx(np.exp(-np.mean(found)), rel=1e-4)
        assert (made.letters, made.method, made.residues) == (33, "masked", len(found))
        # Each further letter takes some of the probability.
        assert made > pseudo_perplexity(residues, esm2, mask=hidden)
    with torch.no_grad():
        logits = torch.log_softmax(module(tokens)["logits"][0, 1:-1].double(), -1)
    by_hand = float(logits[torch.arange(12), tokens[0, 1:-1]].mean())
    one_pass = pseudo_perplexity(residues, esm2, letters=33, method="wild_type")
    assert one_pass == pytest.approx(np.exp(-by_hand), rel=1e-4)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_batch_size_makes_no_difference_over_the_whole_vocabulary(esm2, batch_size):
    residues = random_sequence(10, 8)
    expected = pseudo_perplexity(residues, esm2, letters=33)
    assert pseudo_perplexity(residues, esm2, letters=33, batch_size=batch_size) == pytest.approx(
        expected, rel=1e-5
    )


def test_a_linker_is_seen_but_not_scored(esm2):
    chains = "ACDEFG:HIKLMN"
    found = pseudo_perplexity(chains, esm2, letters=33, linker="GGGG")
    assert found.residues == 12
    assert found != pytest.approx(pseudo_perplexity(chains, esm2, letters=33), rel=1e-6)
    module, alphabet = esm2
    expected = log_softmax_of_whole(module, alphabet, "ACDEFGGGGGHIKLMN", [*range(6), *range(10, 16)])
    assert found == pytest.approx(np.exp(-expected.mean()), rel=1e-4)


def log_softmax_of_whole(module, alphabet, residues, places):
    import torch

    tokens = alphabet.get_batch_converter()([("", residues)])[2]
    found = []
    for k in places:
        changed = tokens.clone()
        changed[0, k + 1] = alphabet.mask_idx
        with torch.no_grad():
            found.append(float(torch.log_softmax(module(changed)["logits"][0, k + 1], -1)[tokens[0, k + 1]]))
    return np.array(found)


def test_a_hooked_model_answers_over_the_whole_vocabulary_itself(esm2):
    module, alphabet = esm2
    residues = random_sequence(8, 2)
    plain = pseudo_perplexity(residues, esm2, letters=33)
    hook = module.lm_head.register_forward_hook(lambda _module, _inputs, output: 2 * output)
    try:
        sharper = pseudo_perplexity(residues, (module, alphabet), letters=33)
    finally:
        hook.remove()
    assert sharper != pytest.approx(plain, rel=1e-3)
    assert pseudo_perplexity(residues, esm2, letters=33) == pytest.approx(plain, rel=1e-6)


def test_older_models_have_a_vocabulary_of_their_own_size():
    module, alphabet = random_esm1(), esm.Alphabet.from_architecture("ESM-1")
    residues = random_sequence(9, 3)
    found = pseudo_perplexity(residues, (module, alphabet), letters=len(alphabet.all_toks))
    assert found.letters == 35
    with pytest.raises(UsageError, match="nor 35, its whole vocabulary"):
        pseudo_perplexity(residues, (module, alphabet), letters=33)


def test_requests_over_the_whole_vocabulary_that_make_no_sense(esm2):
    with pytest.raises(UsageError, match="approximate method is derived for 20"):
        pseudo_perplexity("ACDEF", esm2, letters=33, method="approximate")
    with pytest.raises(UsageError, match="no option numerics="):
        pseudo_perplexity("ACDEF", esm2, letters=33, numerics="float64")
    with pytest.raises(UsageError, match="letters=21 is neither 20"):
        pseudo_perplexity("ACDEF", esm2, letters=21)


def test_each_residue_is_scored_where_it_is_masked():
    """The trap of masking residue i − 1 and scoring i: it makes this model certain, or clueless."""
    residues = "ACDEFGHIKL"

    class Echo(PottsModel):
        """Says at each residue which letter it sees there, and nothing where it sees a mask."""

        def parameters_for(self, length):
            couplings = np.zeros((length, 20, length, 20))
            for k in range(length):
                couplings[k, :, k, :] = 50 * np.eye(20)
            return np.zeros((length, 20)), couplings

        @property
        def fingerprint(self):
            return "echo"

    assert pseudo_perplexity(residues, Echo()) == pytest.approx(20, rel=1e-6)
    assert pseudo_perplexity(residues, Echo(), method="wild_type") == pytest.approx(1, rel=1e-6)


def test_one_pass_is_biased_towards_the_wild_type():
    """WT-marginal p ≥ masked p where the unmasked logits are those of a model trained with kept residues."""
    random = np.random.default_rng(0)
    for _ in range(50):
        log_q = log_softmax(3 * random.normal(size=(7, 20)))
        own = random.integers(20, size=7)
        masked = without_kept_bias(log_q, own)
        rows = np.arange(7)
        assert (log_q[rows, own] >= masked[rows, own] - 1e-12).all()


def test_substitution_scores_are_labelled_log_odds(esm2):
    residues = random_sequence(9, 4)
    for method in ("masked", "wild_type"):
        scores = substitution_scores(residues, esm2, method, progress=False)
        table = marginals(residues, esm2, method, progress=False)["log_probability"]
        assert scores.dims == ("pos", "aa")
        assert scores.name == "substitution_score"
        for k, letter in enumerate(residues, start=1):
            expected = table.sel(pos=k) - table.sel(pos=k, aa=letter)
            np.testing.assert_allclose(scores.sel(pos=k).values, expected.values, atol=1e-12)
            assert float(scores.sel(pos=k, aa=letter)) == 0.0
        assert scores.attrs["units"] == "nats"
        assert scores.attrs["method"] == method
        assert scores["residue"].values[0] == f"{residues[0]}1"


def test_the_normaliser_cancels_in_substitution_scores(esm2):
    import torch

    residues = random_sequence(6, 9)
    module, alphabet = esm2
    tokens = alphabet.get_batch_converter()([("", residues)])[2]
    scores = substitution_scores(residues, esm2, progress=False)
    for k in range(6):
        changed = tokens.clone()
        changed[0, k + 1] = alphabet.mask_idx
        with torch.no_grad():
            log_p = torch.log_softmax(module(changed)["logits"][0, k + 1], -1).numpy()  # of 33
        for letter in "AWY":
            expected = log_p[alphabet.get_idx(letter)] - log_p[alphabet.get_idx(residues[k])]
            assert float(scores.sel(pos=k + 1, aa=letter)) == pytest.approx(expected, abs=2e-4)
