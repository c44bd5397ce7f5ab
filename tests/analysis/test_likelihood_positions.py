"""Likelihoods of some positions are those of the same positions among all, under their own residues."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from labelled_arrays import random_sequence
from masked_loops import masked_by_hand
from stubs import PottsModel

from catjac_widgets.analysis.likelihood.marginals import marginals, substitution_scores
from catjac_widgets.analysis.likelihood.pseudo_perplexity import pseudo_perplexity
from catjac_widgets.analysis.probabilities import log_softmax
from catjac_widgets.errors import UsageError
from catjac_widgets.proteins.alphabets import ESM_LETTERS
from catjac_widgets.proteins.masks import Mask


@pytest.mark.parametrize("hidden", [None, [(2, 3), (7, 7)]], ids=["unmasked", "under a mask"])
@pytest.mark.parametrize("method", ["masked", "wild_type", "approximate"])
def test_positions_have_the_numbers_that_they_have_among_all(esm2, method, hidden, own_cache):
    residues = random_sequence(11, 14)
    mask = None if hidden is None else Mask.hiding(residues, hidden)
    whole = marginals(residues, esm2, method, mask=mask, cache=False, progress=False)
    scores = substitution_scores(residues, esm2, method, mask=mask, cache=False, progress=False)
    # In another order, of which some are hidden; alone; hidden ones only; and what can be read once only.
    for positions in ([9, 2, 5], 5, [7, 3], (place for place in (11, 1))):
        asked = list(positions) if not isinstance(positions, int) else [positions]
        again = iter(asked) if not isinstance(positions, int | list) else positions
        part = marginals(residues, esm2, method, positions=again, mask=mask, progress=False)
        assert list(part["pos"].values) == asked
        assert list(part["residue"].values) == [f"{residues[place - 1]}{place}" for place in asked]
        xr.testing.assert_allclose(part, whole.sel(pos=asked), atol=1e-5)
        part = substitution_scores(residues, esm2, method, positions=asked, mask=mask, progress=False)
        xr.testing.assert_allclose(part, scores.sel(pos=asked), atol=1e-5)


def test_masked_scores_of_positions_equal_a_plain_loop(esm2):
    residues = random_sequence(11, 15)
    mask = Mask.hiding(residues, [(4, 5)])
    expected = log_softmax(masked_by_hand(*esm2, residues, mask))
    asked = [9, 4, 2]
    rows = np.array(asked) - 1
    table = marginals(residues, esm2, positions=asked, mask=mask, progress=False)
    np.testing.assert_allclose(table["log_probability"].values, expected[rows], atol=1e-4)
    own = np.array([ESM_LETTERS.index(letter) for letter in residues])
    found = pseudo_perplexity(residues, esm2, positions=iter(asked), mask=mask)
    assert found.residues == 2  # the hidden one is not scored
    assert found == pytest.approx(np.exp(-expected[[8, 1], own[[8, 1]]].mean()), rel=1e-4)


def test_positions_over_the_whole_vocabulary(esm2):
    residues = random_sequence(10, 16)
    alone = [pseudo_perplexity(residues, esm2, letters=33, positions=place) for place in range(1, 11)]
    each = [found.log_likelihood for found in alone]
    whole = pseudo_perplexity(residues, esm2, letters=33)
    assert sum(each) == pytest.approx(whole.log_likelihood, rel=1e-5)
    some = pseudo_perplexity(residues, esm2, letters=33, positions=[7, 3])
    assert (some.residues, some.log_likelihood) == (2, pytest.approx(each[6] + each[2], rel=1e-5))


def test_a_position_of_a_complex_is_counted_without_the_linker(esm2):
    chains = "ACDEFG:HIKLMN"
    whole = marginals(chains, esm2, linker="GGGG", progress=False)
    part = marginals(chains, esm2, linker="GGGG", positions=[8, 3], progress=False)
    assert list(part["residue"].values) == ["B:I2", "A:D3"]
    xr.testing.assert_allclose(part, whole.sel(pos=[8, 3]), atol=1e-5)


def test_positions_run_no_more_than_they_need(own_cache):
    residues, model = random_sequence(9), PottsModel(seed=14)
    marginals(residues, model, positions=[4, 6], progress=False)
    assert model.sequences_run == 2


def test_positions_that_cannot_be_scored():
    residues, model = random_sequence(9), PottsModel(seed=15)
    for positions, words in (
        ([0], "outside the sequence's 1–9"),
        ([], "positions is empty"),
        ([3, 3], "twice"),
    ):
        for function in (marginals, substitution_scores, pseudo_perplexity):
            with pytest.raises(UsageError, match=words):
                function(residues, model, positions=positions)
    hidden = Mask.hiding(residues, [(2, 3)])
    with pytest.raises(UsageError, match="hides every residue that positions= asks for"):
        pseudo_perplexity(residues, model, positions=[2, 3], mask=hidden)
    assert model.sequences_run == 0
