"""gLM2's Jacobians over two alphabets, on small networks of transformers' own classes.

Its own class is in no package: none of these networks is gLM2, see `genomic_models`.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
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
from genomic_models import GENOMIC_VOCABULARY, genomic_network, genomic_tokenizer, rotary_network

import catjac_widgets as catjac
from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.base import LanguageModel

# -- the Jacobian


@pytest.mark.parametrize("make", [genomic_network, rotary_network])
@pytest.mark.parametrize(
    ("text", "letters"),
    [
        (GENOME, PROTEIN + DNA),
        (PROTEINS, PROTEIN),
        (f"<->{BETWEEN}", DNA),
        (f"<+>{BETWEEN}<+>{FIRST}", PROTEIN + DNA),
    ],
)
def test_it_equals_a_plain_loop_over_the_network(make: Any, text: str, letters: str) -> None:
    network = make()
    J = jacobian(text, catjac.wrap((network, genomic_tokenizer())))
    wanted = plain_jacobian(network, text, letters)
    assert [str(letter) for letter in J["aa_in"].values] == list(letters) == [*map(str, J["aa_out"].values)]
    assert J.shape == wanted.shape
    np.testing.assert_allclose(J.values, wanted, rtol=0, atol=1e-4)
    assert abs(wanted).max() > 0.1


def test_both_sides_are_restricted_to_the_alphabet_of_each_residue(model: LanguageModel) -> None:
    J = jacobian(GENOME, model)
    is_dna = np.array([letter in DNA for letter in FIRST + BETWEEN + SECOND])
    proteins, nucleotides = np.arange(20), np.arange(20, 24)
    for rows, letters in ((is_dna, proteins), (~is_dna, nucleotides)):
        assert not J.values[rows][:, letters].any()
        assert not J.values[:, :, rows][..., letters].any()
    for rows, letters in ((is_dna, nucleotides), (~is_dna, proteins)):
        for columns, read in ((is_dna, nucleotides), (~is_dna, proteins)):
            assert abs(J.values[np.ix_(rows, letters, columns, read)]).max() > 0.01
    assert J.attrs["alphabets"] == f"{PROTEIN} {DNA}"
    assert J.attrs["element_strands"] == "++-"
    assert list(J["chain_in"].values) == ["A"] * 6 + ["B"] * 6 + ["C"] * 5


def test_the_fast_variant(model: LanguageModel, network: Any) -> None:
    J = jacobian(GENOME, model, variant="fast")
    ids = [GENOMIC_VOCABULARY.index(letter) for letter in PROTEIN + DNA]
    tokens = tokens_of(GENOME)
    places = [k for k, token in enumerate(tokens) if token not in (33, 34)]
    before = logits_of(network, tokens)[np.ix_(places, ids)]
    for i, place in enumerate(places):
        hidden = [*tokens[:place], 35, *tokens[place + 1 :]]
        effect = logits_of(network, hidden)[np.ix_(places, ids)] - before
        for j, letter in enumerate(FIRST + BETWEEN + SECOND):
            effect[j, slice(20) if letter in DNA else slice(20, None)] = 0
        np.testing.assert_allclose(J.values[i, 0], effect, rtol=0, atol=1e-4)


def test_under_a_mask_rows_are_those_of_what_is_visible(model: LanguageModel, network: Any) -> None:
    mask = np.zeros(17, dtype=bool)
    mask[[0, 8]] = True
    J = jacobian(GENOME, model, mask=mask)
    assert np.isnan(J.values[[0, 8]]).all()
    text = f"<+><mask>{FIRST[1:]}<+>{BETWEEN[:2]}<mask>{BETWEEN[3:]}<->{SECOND}"
    tokens = tokens_of(text)
    changed = list(tokens)
    changed[2] = GENOMIC_VOCABULARY.index("W")
    effect = logits_of(network, changed) - logits_of(network, tokens)
    places = [k for k, token in enumerate(tokens) if token not in (33, 34)]
    wanted = effect[places][:, 4:24]
    found = J.sel(pos_in=2, aa_in="W").values[:, :20]
    proteins = [k for k in range(17) if not 6 <= k < 12]
    np.testing.assert_allclose(found[proteins], wanted[proteins], rtol=0, atol=1e-4)
    assert not found[6:12].any()


def test_a_strand_changes_what_is_read(model: LanguageModel, network: Any) -> None:
    forward, reverse = jacobian(PROTEINS, model), jacobian(PROTEINS.replace("<->", "<+>"), model)
    assert forward.attrs["key"] != reverse.attrs["key"]
    assert abs(forward - reverse).max() > 1e-3
    # Without a word, elements lie on the forward strand.
    xr.testing.assert_equal(reverse, jacobian(f"{FIRST}:{SECOND}", model))


def test_without_strands(model: LanguageModel, network: Any) -> None:
    bare = catjac.glm2.without_strands(model)
    assert bare.fingerprint != model.fingerprint
    J = jacobian(PROTEINS, bare)
    np.testing.assert_allclose(J.values, plain_jacobian(network, FIRST + SECOND, PROTEIN), rtol=0, atol=1e-4)
    assert "element_strands" not in J.attrs
    with pytest.raises(ModelError, match="reads no strands"):
        catjac.glm2.without_strands(catjac.wrap(lambda tokens: tokens, letters="AC", fingerprint="0"))


def test_it_is_found_in_the_cache_and_comes_back_with_its_sequence(model: LanguageModel) -> None:
    first = jacobian(GENOME, model)
    rows = catjac.cache.info().rows_computed
    xr.testing.assert_identical(jacobian(GENOME, model).load(), first)
    again = jacobian(first, model)
    assert catjac.cache.info().rows_computed == rows
    xr.testing.assert_identical(again, first)
    assert catjac.as_sequence(first).strands == "++-"
    from catjac_widgets.analysis.labels import sequence_of

    assert sequence_of(first) == catjac.as_sequence(first)


# -- as its authors compute it


def authors_jacobian(network: Any, text: str, fast: bool) -> np.ndarray:
    """Every token is perturbed by all 24, then rows of the other alphabet and of strands are set to 0."""
    tokens = tokens_of(text)
    letters = [*range(29, 33), *range(4, 24)]
    T = len(tokens)
    before = logits_of(network, tokens)[:, letters]
    made = np.zeros((T, 1 if fast else 24, T, 24))
    for n in range(T):
        for slot, letter in enumerate([35] if fast else letters):
            changed = [*tokens[:n], letter, *tokens[n + 1 :]]
            made[n, slot] = logits_of(network, changed)[:, letters] - before
    nucleotide = np.isin(tokens, letters[:4])
    amino = np.isin(tokens, letters[4:])
    of_letters = np.arange(24) < 4
    valid = (nucleotide[:, None] & of_letters) | (amino[:, None] & ~of_letters)
    return np.where(valid[:, :, None, None], made, 0.0)


@pytest.mark.parametrize("fast", [False, True])
def test_the_authors_form(model: LanguageModel, network: Any, fast: bool) -> None:
    J = catjac.glm2.tattabio_jacobian(GENOME, model, fast=fast, batch_size=7, progress=False)
    wanted = authors_jacobian(network, GENOME, fast)
    assert J.shape == wanted.shape == (20, 24, 20, 24)
    np.testing.assert_allclose(J.values, wanted, rtol=0, atol=1e-4)
    X = centred_part(wanted)
    C = np.sqrt((X**2).sum(axis=(1, 3)))
    C = (C + C.T) / 2
    np.fill_diagonal(C, 0)
    C = C - C.sum(0, keepdims=True) * C.sum(1, keepdims=True) / C.sum()
    np.fill_diagonal(C, 0)
    found = catjac.contacts(J, order="C")
    np.testing.assert_allclose(found.values, C, rtol=0, atol=1e-4 * abs(C).max())
    assert [str(each) for each in J["wild_type_in"].values] == list(f"+{FIRST}+{BETWEEN}-{SECOND}")
    # What it does not restrict: strands and the other alphabet are read.
    assert abs(J.values[1, :, 0]).max() > 0.01


def test_the_authors_form_is_of_genomes_only() -> None:
    model = catjac.wrap(lambda tokens: tokens, letters=PROTEIN, fingerprint="0")
    with pytest.raises(ModelError, match="reads no strands"):
        catjac.glm2.tattabio_jacobian("MKVA", model)


# -- elements


class ElementsApart(torch.nn.Module):
    """Logits follow from the letters of a token's own element, whatever their places; elements are apart."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.vectors = torch.nn.Parameter(torch.randn(37, 16, generator=generator))
        self.head = torch.nn.Parameter(torch.randn(16, 37, generator=generator))

    def forward(self, input_ids: torch.Tensor) -> Any:
        shown = self.vectors[input_ids]
        element = ((input_ids == 33) | (input_ids == 34)).cumsum(dim=1)
        same = (element[:, :, None] == element[:, None, :]).float()
        logits = torch.tanh(shown + same @ shown / 4) @ self.head
        return type("Result", (), {"logits": logits})


def test_elements_without_a_coupling_have_an_empty_block() -> None:
    model = catjac.glm2.wrap(ElementsApart(), fingerprint="apart")
    J = jacobian(GENOME, model)
    chains = J["chain_in"].values
    for one, other in itertools.permutations("ABC", 2):
        assert abs(J.values[chains == one][:, :, chains == other]).max() < 1e-5
        assert abs(J.values[chains == one][:, :, chains == one]).max() > 0.1
    C = catjac.contacts(J)
    assert catjac.chain_block(C, "A", "B").shape == (6, 6)
    assert catjac.chain_block(C, "A", "C").shape == (6, 5)


def test_swapped_elements_swap_blocks() -> None:
    model = catjac.glm2.wrap(ElementsApart(), fingerprint="apart")
    J, swapped = jacobian(PROTEINS, model), jacobian(f"<->{SECOND}<+>{FIRST}", model)
    order = [*range(5, 11), *range(5)]
    np.testing.assert_allclose(J.values, swapped.values[order][:, :, order], rtol=0, atol=1e-5)
