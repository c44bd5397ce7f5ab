from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest
from checkpoints import random_esm2
from labelled_arrays import random_sequence
from stubs import PottsModel, SlowModel

from catjac_widgets.analysis.likelihood.masked_perplexity import masked_perplexity, random_masks
from catjac_widgets.analysis.likelihood.pseudo_perplexity import pseudo_perplexity
from catjac_widgets.analysis.probabilities import log_softmax
from catjac_widgets.errors import Cancelled, ModelError, UsageError
from catjac_widgets.proteins.alphabets import ESM_LETTERS


class Fields(PottsModel):
    """Certain of one sequence to a degree, whatever it sees: 0 knows nothing, 100 knows all."""

    def __init__(self, residues, strength):
        super().__init__()
        self.residues, self.strength = residues, strength

    def parameters_for(self, length):
        fields = np.zeros((length, 20))
        fields[np.arange(length), [ESM_LETTERS.index(letter) for letter in self.residues]] = self.strength
        return fields, np.zeros((length, 20, length, 20))

    @property
    def fingerprint(self):
        return f"fields {self.strength} {self.residues}"


@pytest.fixture(scope="module")
def esm2():
    module = random_esm2(seed=4)
    return module, module.alphabet


def test_masks_hide_their_share_and_all_residues_alike():
    masks = random_masks(40, 0.15, 2000, seed=1)
    assert (masks.sum(axis=1) == 6).all()
    # Each residue is hidden 300 times in expectation, with a standard deviation below 16.
    assert np.abs(masks.sum(axis=0) - 300).max() < 5 * 16
    np.testing.assert_array_equal(masks, random_masks(40, 0.15, 2000, seed=1))
    assert (masks != random_masks(40, 0.15, 2000, seed=2)).any()
    assert (random_masks(3, 0.15, 5).sum(axis=1) == 1).all()
    assert random_masks(5, 1.0, 2).all()


def test_a_model_that_knows_nothing_and_one_that_knows_all_under_masks():
    residues = random_sequence(20)
    assert masked_perplexity(residues, Fields(residues, 0), progress=False) == pytest.approx(20, rel=1e-9)
    assert masked_perplexity(residues, Fields(residues, 100), progress=False) == pytest.approx(1, rel=1e-9)
    # In between, every mask gives the same: p = e^s / (e^s + 19).
    some = masked_perplexity(residues, Fields(residues, 2), progress=False)
    assert some == pytest.approx(1 + 19 * np.exp(-2), rel=1e-9)
    assert some.standard_error == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("letters", [20, 33])
def test_it_equals_a_plain_loop_over_the_same_masks(esm2, letters):
    import torch

    module, alphabet = esm2
    residues = random_sequence(14, 3)
    tokens = alphabet.get_batch_converter()([("", residues)])[2]
    columns = [alphabet.get_idx(letter) for letter in ESM_LETTERS] if letters == 20 else list(range(33))
    masks = random_masks(14, 0.3, 6, seed=[5, 0])
    total, sums = [], []
    for mask in masks:
        changed = tokens.clone()
        changed[0, 1:-1][torch.from_numpy(mask)] = alphabet.mask_idx
        with torch.no_grad():
            log_p = log_softmax(module(changed)["logits"][0, 1:-1, columns].numpy())
        own = [columns.index(int(token)) for token in tokens[0, 1:-1]]
        scored = [log_p[k, own[k]] for k in np.flatnonzero(mask)]
        total += scored
        sums.append(sum(scored))
    found = masked_perplexity(residues, esm2, share=0.3, samples=6, seed=5, letters=letters, progress=False)
    assert found == pytest.approx(np.exp(-np.mean(total)), rel=1e-4)
    assert (found.letters, found.residues, found.method) == (letters, 24, "masked samples")
    spread = np.exp(-np.mean(total)) * np.std(sums, ddof=1) / np.sqrt(6) / 4
    assert found.standard_error == pytest.approx(spread, rel=1e-3)


@pytest.mark.parametrize("batch_size", [1, 7])
def test_batch_size_makes_no_difference_under_masks(esm2, batch_size):
    residues = random_sequence(12, 5)
    expected = masked_perplexity(residues, esm2, samples=10, progress=False)
    found = masked_perplexity(residues, esm2, samples=10, batch_size=batch_size, progress=False)
    assert found == pytest.approx(expected, rel=1e-5)


def test_one_residue_at_a_time_tends_to_the_pseudo_perplexity(esm2):
    residues = random_sequence(8, 6)
    found = masked_perplexity(residues, esm2, share=0.05, samples=800, progress=False)
    assert found.residues == 800
    assert abs(found - pseudo_perplexity(residues, esm2)) < 5 * found.standard_error


def test_over_a_corpus_each_masked_residue_counts_once(esm2):
    one, two = random_sequence(10, 1), random_sequence(30, 2)
    both = masked_perplexity([one, two], esm2, samples=8, progress=False)
    first = masked_perplexity([one], esm2, samples=8, progress=False)
    assert first == pytest.approx(masked_perplexity(one, esm2, samples=8, progress=False), rel=1e-12)
    assert both.residues == 8 * (2 + 4)
    rest = both.log_likelihood - first.log_likelihood
    assert both == pytest.approx(np.exp(-(first.log_likelihood + rest) / both.residues), rel=1e-12)
    assert both.standard_error > 0
    assert np.isnan(masked_perplexity(one, esm2, samples=1, progress=False).standard_error)


def test_it_remembers_how_it_was_made(esm2):
    found = masked_perplexity(random_sequence(9), esm2, samples=4, seed=3, share=0.2, progress=False)
    again = pickle.loads(pickle.dumps(found))
    assert again == found
    assert vars(again) == vars(found)
    assert (again.share, again.samples, again.seed) == (0.2, 4, 3)


def test_it_can_be_cancelled():
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled, match="after 0 of 64"):
        masked_perplexity(random_sequence(9), SlowModel(), progress=False, stop=stop)


def test_requests_under_masks_that_make_no_sense():
    residues = random_sequence(9)
    with pytest.raises(UsageError, match="share=0"):
        masked_perplexity(residues, PottsModel(), share=0)
    with pytest.raises(UsageError, match="samples=0"):
        masked_perplexity(residues, PottsModel(), samples=0)
    with pytest.raises(UsageError, match="no sequence"):
        masked_perplexity([], PottsModel())
    with pytest.raises(ModelError, match="its 20 letters only"):
        masked_perplexity(residues, PottsModel(), letters=33)
