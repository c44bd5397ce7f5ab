"""Maps, likelihoods and slices of two alphabets, on small networks in gLM2's vocabulary.

Its own class is in no package: none of these networks is gLM2, see `genomic_models`.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from genomes import (
    BETWEEN,
    DNA,
    FIRST,
    GENOME,
    PROTEIN,
    PROTEINS,
    SECOND,
    centred_part,
    jacobian,
    logits_of,
    plain_jacobian,
    tokens_of,
)
from genomic_models import GENOMIC_VOCABULARY

import catjac_widgets as catjac
from catjac_widgets.analysis.likelihood.masked_perplexity import random_masks
from catjac_widgets.language_models.base import LanguageModel
from catjac_widgets.widgets.jacobian_slice.mean_block import mean_block_of
from catjac_widgets.widgets.jacobian_slice.values import mean_of, row_of, slice_of

# -- contact maps


def plain_map(J: np.ndarray, order: str) -> np.ndarray:
    """Each pair of alphabets is a Jacobian of its own until norms are taken."""
    kinds = np.array([letter in DNA for letter in FIRST + BETWEEN + SECOND])
    sides = [(np.flatnonzero(~kinds), np.arange(20)), (np.flatnonzero(kinds), np.arange(20, 24))]
    norms = np.zeros((len(kinds),) * 2)
    # A hidden residue is the same input whatever its alphabet.
    inputs = sides if J.shape[1] > 1 else [(np.arange(len(kinds)), np.arange(1))]
    for (rows, put), (columns, read) in itertools.product(inputs, sides):
        part = centred_part(J[np.ix_(rows, put, columns, read)].astype(np.float64))
        if order == "A" and J.shape[1] > 1:
            other = centred_part(J[np.ix_(columns, read, rows, put)].astype(np.float64))
            part = (part + other.transpose(2, 3, 0, 1)) / 2
        norms[np.ix_(rows, columns)] = np.sqrt((part**2).sum(axis=(1, 3)))
    if order == "C" or (order == "A" and J.shape[1] == 1):
        norms = (norms + norms.T) / 2
    np.fill_diagonal(norms, 0)
    made = norms - norms.sum(0, keepdims=True) * norms.sum(1, keepdims=True) / norms.sum()
    np.fill_diagonal(made, 0)
    return (made + made.T) / 2 if order == "A'" else made


@pytest.mark.parametrize("variant", ["full", "fast"])
@pytest.mark.parametrize("order", ["A", "A'", "C"])
def test_maps_centre_each_pair_of_alphabets_by_itself(model: LanguageModel, order: Any, variant: str) -> None:
    J = jacobian(GENOME, model, variant=variant)
    wanted = plain_map(J.values, order)
    in_memory = catjac.contacts(J.copy(deep=True), order=order)
    np.testing.assert_allclose(in_memory.values, wanted, rtol=0, atol=1e-4 * abs(wanted).max())
    lazy = jacobian(GENOME, model, variant=variant, lazy=True)
    np.testing.assert_allclose(
        catjac.contacts(lazy, order=order).values, wanted, rtol=0, atol=1e-4 * abs(wanted).max()
    )


def test_a_constant_added_to_the_logits_of_a_residue_changes_no_map(model: LanguageModel) -> None:
    """Logits and log-probabilities give the same map."""
    J = jacobian(GENOME, model).copy(deep=True)
    shifted = J.copy(deep=True)
    possible = (J.values != 0).any(axis=(0, 1))
    shift = np.random.default_rng(0).normal(size=(17, 24, 17))
    shifted.values += np.where(J.values.any(axis=(2, 3))[:, :, None], shift, 0)[..., None] * possible
    np.testing.assert_allclose(catjac.contacts(shifted), catjac.contacts(J), rtol=0, atol=1e-4)


def test_centring_and_epistasis_leave_alone_what_cannot_be(model: LanguageModel) -> None:
    J = jacobian(GENOME, model).copy(deep=True)
    centred = catjac.centre(J)
    kinds = np.array([letter in DNA for letter in FIRST + BETWEEN + SECOND])
    rows, columns = np.flatnonzero(~kinds), np.flatnonzero(kinds)
    part = J.values[np.ix_(rows, np.arange(20), columns, np.arange(20, 24))].astype(np.float64)
    found = centred.values[np.ix_(rows, np.arange(20), columns, np.arange(20, 24))]
    np.testing.assert_allclose(found, centred_part(part), rtol=0, atol=1e-5)
    assert not centred.values[np.ix_(rows, np.arange(20, 24), columns, np.arange(24))].any()
    assert not centred.values[np.ix_(rows, np.arange(20), columns, np.arange(20))].any()
    e = catjac.epistasis(J)
    assert not e.values[np.ix_(rows, np.arange(20), columns, np.arange(20))].any()
    j = int(columns[0])
    own = J.values[0, 3, j, 20 + DNA.index(BETWEEN[0])]
    np.testing.assert_allclose(e.values[0, 3, j, 20:], J.values[0, 3, j, 20:] - own, atol=1e-6)


def test_sensitivity_knows_the_alphabets(model: LanguageModel) -> None:
    table = catjac.sensitivity(jacobian(GENOME, model))
    assert np.isfinite(table["influence"].values).all()
    conservation = table["conservation"].values
    kinds = np.array([letter in DNA for letter in FIRST + BETWEEN + SECOND])
    assert ((conservation >= -1e-6) & (conservation <= np.log(np.where(kinds, 4, 20)) + 1e-6)).all()


def test_the_map_of_proteins_alone_is_that_of_twenty_letters(model: LanguageModel, network: Any) -> None:
    """ColabBio's steps: Sym, Ctr, Fro, D0, APC, D0 over (ΣL, 20, ΣL, 20)."""
    J = plain_jacobian(network, PROTEINS, PROTEIN)
    J = centred_part((J + J.transpose(2, 3, 0, 1)) / 2)
    C = np.sqrt((J**2).sum(axis=(1, 3)))
    np.fill_diagonal(C, 0)
    C = C - C.sum(0, keepdims=True) * C.sum(1, keepdims=True) / C.sum()
    np.fill_diagonal(C, 0)
    found = catjac.contacts(jacobian(PROTEINS, model), order="B")
    np.testing.assert_allclose(found.values, C, rtol=0, atol=1e-4 * abs(C).max())
    block = catjac.chain_block(found, "A", "B")
    np.testing.assert_array_equal(block.values, found.values[:6, 6:])
    assert block.shape == (len(FIRST), len(SECOND))


# -- likelihood


def test_probabilities_are_of_a_residues_own_alphabet(model: LanguageModel, network: Any) -> None:
    table = catjac.marginals(GENOME, model, progress=False)
    p = np.exp(table["log_probability"].values)
    kinds = np.array([letter in DNA for letter in FIRST + BETWEEN + SECOND])
    np.testing.assert_allclose(p[kinds][:, 20:].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(p[~kinds][:, :20].sum(axis=1), 1, atol=1e-5)
    assert np.isnan(p[kinds][:, :20]).all()
    assert np.isnan(p[~kinds][:, 20:]).all()
    approximate = catjac.marginals(GENOME, model, "approximate", progress=False)
    for rows, own in ((kinds, slice(20, None)), (~kinds, slice(20))):
        found = np.exp(approximate["log_probability"].values[rows][:, own])
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
        assert (approximate["conservation"].values[rows] <= np.log(found.shape[1]) + 1e-6).all()
    tokens = tokens_of(GENOME)
    places = [k for k, token in enumerate(tokens) if token not in (33, 34)]
    total = 0.0
    for place, letter in zip(places, FIRST + BETWEEN + SECOND, strict=True):
        own = slice(29, 33) if letter in DNA else slice(4, 24)
        logits = logits_of(network, [*tokens[:place], 35, *tokens[place + 1 :]])[place]
        total += logits[tokens[place]] - np.log(np.exp(logits[own]).sum())
    found = catjac.pseudo_perplexity(GENOME, model, progress=False)
    assert float(found) == pytest.approx(np.exp(-total / 17), rel=1e-4)


def test_perplexity_under_masks(model: LanguageModel, network: Any) -> None:
    found = catjac.masked_perplexity(GENOME, model, samples=4, progress=False)
    tokens, residues = tokens_of(GENOME), FIRST + BETWEEN + SECOND
    places = [k for k, token in enumerate(tokens) if token not in (33, 34)]
    total, counted = 0.0, 0
    for hidden in random_masks(17, 0.15, 4, [0, 0]):
        shown = list(tokens)
        for i in np.flatnonzero(hidden):
            shown[places[i]] = 35
        logits = logits_of(network, shown)
        for i in np.flatnonzero(hidden):
            own = slice(29, 33) if residues[i] in DNA else slice(4, 24)
            row = logits[places[i]]
            total += row[tokens[places[i]]] - np.log(np.exp(row[own]).sum())
            counted += 1
    assert counted > 4
    assert float(found) == pytest.approx(np.exp(-total / counted), rel=1e-4)


def test_double_mutants_are_of_letters_that_residues_may_have(model: LanguageModel, network: Any) -> None:
    table = catjac.double_mutants(GENOME, model, pairs=[(2, 14), (3, 9)], progress=False)
    assert table["epistasis"].shape == (2, 24, 24)
    # Residue 3 substituted by W, and nucleotide 9 hidden and read.
    tokens = tokens_of(GENOME)
    place, read = 3, 10
    assert (tokens[place], tokens[read]) == (GENOMIC_VOCABULARY.index("L"), GENOMIC_VOCABULARY.index("t"))
    hidden = [*tokens[:read], 35, *tokens[read + 1 :]]
    mutant = [*hidden[:place], GENOMIC_VOCABULARY.index("W"), *hidden[place + 1 :]]
    effect = (logits_of(network, mutant) - logits_of(network, hidden))[read, 29:33]
    found = table["forward"].values[1, PROTEIN.index("W")]
    np.testing.assert_allclose(found[20:], effect - effect[DNA.index("t")], rtol=0, atol=1e-4)
    for name in ("forward", "backward", "epistasis"):
        values = table[name].values[1]
        assert not values[20:].any()
        assert not values[:, :20].any()
        assert values[:20, 20:].any()


# -- the explorer's slices


def test_a_slice_shows_the_letters_of_both_residues(model: LanguageModel) -> None:
    J = jacobian(GENOME, model)
    row = row_of(J, 2)
    assert row.own_letters == tuple(PROTEIN)
    block = row.block(8)
    assert (block.letters_in, block.letters_out) == (tuple(PROTEIN), tuple(DNA))
    np.testing.assert_array_equal(block.values, J.values[1, :20, 7, 20:])
    back = row_of(J, 8).block(2)
    assert (back.letters_in, back.letters_out) == (tuple(DNA), tuple(PROTEIN))
    put = row.substitution("W")
    assert put.letters_in == tuple(PROTEIN)
    assert np.isnan(put.values[0, 7, :20]).all()
    np.testing.assert_array_equal(put.values[0, 7, 20:], J.values[1, PROTEIN.index("W"), 7, 20:])
    np.testing.assert_allclose(put.values[1, 0, :20], J.values[1, :20, 0, :20].mean(axis=0), atol=1e-6)
    refused = row.substitution("a")
    assert refused.status == "error"
    assert "choose one of these" in refused.note


def test_slices_of_an_array_are_those_of_the_view(model: LanguageModel) -> None:
    J = jacobian(GENOME, model)
    block = slice_of(J, (2, 8))
    assert (list(block["aa_in"].values), list(block["aa_out"].values)) == (list(PROTEIN), list(DNA))
    np.testing.assert_array_equal(block.values, J.values[1, :20, 7, 20:])
    centred = slice_of(J, (2, 8), quantity="centred")
    np.testing.assert_allclose(centred.values, centred_part(block.values[None, :, None])[0, :, 0], atol=1e-6)
    matrix = slice_of(J, (2, 8), form="matrix", letter_in="W")
    assert np.isnan(matrix.values[7, :20]).all()
    row = J.values[1, PROTEIN.index("W")].astype(float)
    norms = [
        np.linalg.norm(r[own] - r[own].mean()) for r, own in zip(row, J.values.any(axis=(0, 1)), strict=True)
    ]
    np.testing.assert_allclose(slice_of(J, (2, 8), form="profile", letter_in="W"), norms, atol=1e-5)
    # Rows of proteins, columns of both.
    mean = mean_of(J, ((1, 3), (5, 8)))
    assert (list(mean["aa_in"].values), list(mean["aa_out"].values)) == (list(PROTEIN), [*PROTEIN, *DNA])
    np.testing.assert_allclose(mean.values[:, :20], J.values[:3, :20, 4:6, :20].mean(axis=(0, 2)), atol=1e-6)
    np.testing.assert_allclose(mean.values[:, 20:], J.values[:3, :20, 6:8, 20:].mean(axis=(0, 2)), atol=1e-6)
    seen = mean_block_of(J, ((1, 3), (5, 8)))
    assert seen.read(10)
    assert seen.letters_out == (*PROTEIN, *DNA)
    np.testing.assert_allclose(seen.values, mean.values, atol=1e-6)


def test_it_is_explored_with_its_elements(model: LanguageModel) -> None:
    explorer = catjac.explore(GENOME, model, panels=["map", "slice"]).wait(60)
    try:
        wanted = catjac.contacts(jacobian(GENOME, model))
        np.testing.assert_allclose(explorer.contacts.values, wanted.values, atol=1e-5)
        assert list(explorer.jacobian["chain_in"].values) == ["A"] * 6 + ["B"] * 6 + ["C"] * 5
    finally:
        explorer.close()
