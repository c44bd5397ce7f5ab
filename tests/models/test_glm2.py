"""gLM2's elements, strands and alphabets, on small networks of transformers' own classes in its vocabulary.

Its own class is in no package: none of these networks is gLM2, see `genomic_models`.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from genomic_models import GENOMIC_VOCABULARY, genomic_network, genomic_tokenizer, rotary_network
from transformers_models import bert_tokenizer, written

import catjac_widgets as catjac
from catjac_widgets.analysis.likelihood.masked_perplexity import random_masks
from catjac_widgets.errors import CheckpointError, ModelError, SequenceError, UsageError
from catjac_widgets.language_models.base import LanguageModel, Substitution
from catjac_widgets.language_models.glm2.adapter import IMPOSSIBLE
from catjac_widgets.language_models.glm2.encoding import encoding_by, published_encoding
from catjac_widgets.language_models.identity import identity_of
from catjac_widgets.language_models.registry import identify, load_model, release_models
from catjac_widgets.language_models.weights.remote_code import REMOTE_CODE
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.widgets.jacobian_slice.mean_block import mean_block_of
from catjac_widgets.widgets.jacobian_slice.values import mean_of, row_of, slice_of

PROTEIN, DNA = "LAGVSERTIDPKQNFYMHWC", "atcg"
FIRST, BETWEEN, SECOND = "MALTKV", "aattcg", "MLGIE"
GENOME = f"<+>{FIRST}<+>{BETWEEN}<->{SECOND}"
PROTEINS = f"<+>{FIRST}<->{SECOND}"


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a cache of its own, and no model loaded by another test."""
    monkeypatch.setenv("CATJAC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(REMOTE_CODE, raising=False)
    release_models()


@pytest.fixture(scope="module")
def network() -> Any:
    return genomic_network()


@pytest.fixture
def model(network: Any) -> LanguageModel:
    return catjac.wrap((network, genomic_tokenizer()))


def tokens_of(text: str) -> list[int]:
    """Ids by the published vocabulary, written out here once more."""
    ids = {token: k for k, token in enumerate(GENOMIC_VOCABULARY)}
    made, rest = [], text
    while rest:
        token = next(each for each in ("<+>", "<->", "<mask>", rest[0]) if rest.startswith(each))
        made.append(ids[token])
        rest = rest[len(token) :]
    return made


def logits_of(network: Any, tokens: list[int]) -> np.ndarray:
    with torch.no_grad():
        return network(input_ids=torch.tensor([tokens])).logits[0].double().numpy()


def plain_jacobian(network: Any, text: str, letters: str) -> np.ndarray:
    """One sequence at a time: residues only, and on both sides only the letters that each may have."""
    ids = {token: k for k, token in enumerate(GENOMIC_VOCABULARY)}
    tokens = tokens_of(text)
    places = [k for k, token in enumerate(tokens) if GENOMIC_VOCABULARY[token] not in ("<+>", "<->")]
    columns = [ids[letter] for letter in letters]
    before = logits_of(network, tokens)
    made = np.zeros((len(places), len(letters), len(places), len(letters)))
    for i, a in itertools.product(range(len(places)), range(len(letters))):
        if (GENOMIC_VOCABULARY[tokens[places[i]]] in DNA) != (letters[a] in DNA):
            continue
        changed = list(tokens)
        changed[places[i]] = ids[letters[a]]
        effect = (logits_of(network, changed) - before)[np.ix_(places, columns)]
        for j, b in itertools.product(range(len(places)), range(len(letters))):
            if (GENOMIC_VOCABULARY[tokens[places[j]]] in DNA) == (letters[b] in DNA):
                made[i, a, j, b] = effect[j, b]
    return made


def jacobian(text: str, model: Any, **options: Any) -> xr.DataArray:
    return catjac.jacobian(text, model, progress=False, **options)


# -- reading


def test_elements_are_chains_on_strands_and_case_is_kept() -> None:
    read = catjac.as_sequence(GENOME, letters=PROTEIN + DNA)
    assert [chain.residues for chain in read.chains] == [FIRST, BETWEEN, SECOND]
    assert read.strands == "++-"
    assert str(read) == f"{FIRST}:{BETWEEN}:{SECOND}"
    for text in (
        f"<+>{FIRST}:<+>{BETWEEN}:<->{SECOND}",
        f">two elements\n<+>{FIRST}\n<+>{BETWEEN}<->\n{SECOND}",
    ):
        assert catjac.as_sequence(text, letters=PROTEIN + DNA) == read
    assert catjac.as_sequence(f"{FIRST}:{BETWEEN}", letters=PROTEIN + DNA).residues == FIRST + BETWEEN
    # Of others, case goes on to be forgiven, and no strand is known.
    plain = catjac.as_sequence(f"{FIRST.lower()}:{SECOND.lower()}:{FIRST}")
    assert (plain.residues, plain.strands) == (FIRST + SECOND + FIRST, "")


def test_a_strand_that_is_none_is_refused() -> None:
    read = catjac.as_sequence("MKV:MKV")
    with pytest.raises(SequenceError, match="2 chains have no 3 strands"):
        read.on_strands("+++")
    with pytest.raises(SequenceError, match="give '\\+' or '-'"):
        read.on_strands("+x")
    assert read.on_strands("").strands == ""
    assert read.on_strands("+-") != read


def test_strands_matter_to_models_that_read_them_only() -> None:
    model = catjac.wrap(lambda tokens: torch.zeros(*tokens.shape, 20), letters=PROTEIN, fingerprint="0")
    J = jacobian("<+>MKVA<->MKVA", model)
    assert J.attrs["sequence"] == "MKVA:MKVA"
    assert "element_strands" not in J.attrs
    assert J.attrs["key"] == jacobian("MKVA:MKVA", model).attrs["key"]


# -- encoding


def test_the_published_vocabulary() -> None:
    encoding = published_encoding()
    assert encoding.letters == PROTEIN + DNA
    assert encoding.encode("+LCatcg-M", None, "it").tolist() == [33, 4, 23, 29, 30, 31, 32, 34, 20]
    assert encoding.mask == 35
    assert encoding_by(genomic_tokenizer(), "it") == encoding
    with pytest.raises(SequenceError, match="residue 1 is '\\+'"):
        published_encoding(strands=False).encode("+L", None, "it")


def test_another_tokenizer_is_refused() -> None:
    with pytest.raises(ModelError, match=r"no (a|<\+>)") as failure:
        encoding_by(bert_tokenizer(), "it")
    assert "\n" not in str(failure.value)
    merging = genomic_tokenizer()
    merging.add_tokens(["LA"])
    with pytest.raises(ModelError, match="one token for each letter"):
        encoding_by(merging, "it")


def test_tokens_around_all_elements_are_found() -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = genomic_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<cls> $A <eos>", special_tokens=[("<cls>", 0), ("<eos>", 2)]
    )
    found = encoding_by(tokenizer, "it")
    assert (found.prefix, found.suffix) == ((0,), (2,))


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


# -- contact maps


def centred_part(part: np.ndarray) -> np.ndarray:
    for axis in range(4):
        if part.shape[axis] > 1:
            part = part - part.mean(axis=axis, keepdims=True)
    return part


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


# -- bad input


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<+>ACGTTGCA", r"nucleotides are written in lower case, behind their strand: <\+>acgttgca"),
        ("<+>MKVA<+>GATTACA", "Chain B"),
        ("<+>MKVAacgt", "Chain A has upper-case and lower-case letters"),
        ("<+>MKXA", "residue 3 is 'X'"),
        ("<+>mkva", "residue 1 is 'm'"),
        ("<+>aauu", "residue 3 is 'u'"),
    ],
)
def test_what_is_written_wrongly_is_refused(model: LanguageModel, text: str, said: str) -> None:
    with pytest.raises(SequenceError, match=said) as failure:
        jacobian(text, model)
    assert "\n" not in str(failure.value)


def test_short_peptides_of_such_letters_are_taken(model: LanguageModel) -> None:
    assert jacobian("<+>GAG", model).shape == (3, 20, 3, 20)


def test_letters_of_rna_are_put_in(model: LanguageModel) -> None:
    assert jacobian("<+>aauu", model, unknown={"u": "t"}).attrs["sequence"] == "aatt"


def test_what_the_model_does_not_take(model: LanguageModel) -> None:
    with pytest.raises(UsageError, match="leave linker= out"):
        jacobian(PROTEINS, model, linker="GGG")
    assert model.max_residues == 60
    with pytest.raises(SequenceError, match="61 residues with its strands"):
        jacobian("<+>" + "MKVLE" * 6 + "<+>" + "M" * 29, model)
    runner = model.prepare("+MK+ac")
    for change in (Substitution(1, "a"), Substitution(4, "M"), Substitution(0, "M"), Substitution(9, "M")):
        with pytest.raises(ModelError):
            runner.rows([change])
    with pytest.raises(ModelError, match="no torch network"):
        catjac.glm2.wrap(lambda tokens: tokens)


def test_what_cannot_be_has_no_probability(model: LanguageModel) -> None:
    found = model.prepare("+MK+ac").wild_type()
    assert found.shape == (6, 24)
    assert (found[4:, :20] == IMPOSSIBLE).all()
    assert (found[1:3, 20:] == IMPOSSIBLE).all()
    assert abs(found[4:, 20:]).max() < 100
    assert model.prepare("+MK+ac", None, "float64").wild_type().dtype == np.float64
    assert model.letters_of("+MK") == PROTEIN
    assert model.letters_at("c") == DNA
    assert model.letters_at("+") == ""


# -- what it is, and where it comes from


def test_its_fingerprint_follows_weights_and_strands() -> None:
    network = genomic_network()
    model = catjac.glm2.wrap(network)
    before = model.fingerprint
    assert identity_of(model).strands
    assert catjac.glm2.wrap(network, strands=False).fingerprint != before
    assert catjac.glm2.wrap(network, genomic_tokenizer()).fingerprint == before
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] += 1
    assert model.changed
    assert model.fingerprint != before


def test_a_folder(tmp_path: Path, network: Any) -> None:
    folder = written(tmp_path / "genomes", network, genomic_tokenizer())
    name = f"glm2:{folder}"
    known = identify(name)
    loaded = load_model(name, device="cpu")
    assert known == identity_of(loaded)
    assert (known.letters, known.strands, known.max_residues) == (PROTEIN + DNA, True, 60)
    np.testing.assert_allclose(
        jacobian(GENOME, name).values, plain_jacobian(network, GENOME, PROTEIN + DNA), rtol=0, atol=1e-4
    )
    bare = f"no_strands:{name}"
    assert identify(bare) == identity_of(load_model(bare, device="cpu"))
    assert identify(bare).fingerprint != known.fingerprint
    assert identify(bare).fingerprint == catjac.glm2.without_strands(loaded).fingerprint
    # The same folder is looked at by both.
    assert identify(name) == known
    assert identify(bare).strands is False


def test_code_that_comes_with_weights_runs_only_where_that_was_allowed(tmp_path: Path, network: Any) -> None:
    folder = written(tmp_path / "genomes", network, genomic_tokenizer())
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "gLM2", "auto_map": {"AutoModelForMaskedLM": "modeling_glm2.gLM2ForMaskedLM"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=REMOTE_CODE) as failure:
        load_model(f"glm2:{folder}", device="cpu")
    assert "\n" not in str(failure.value)


def test_the_table_says_that_it_was_not_run_here() -> None:
    row = catjac.models()["glm2_650M"]
    assert row["status"].startswith("not run here")
    assert "CATJAC_REMOTE_CODE=tattabio/gLM2_650M" in row["status"]
    assert (row["context"], row["licence"], row["letters"]) == (4096, "Apache-2.0", PROTEIN + DNA)


def test_a_hidden_residue_is_read_in_its_own_alphabet(model: LanguageModel) -> None:
    runner = model.prepare("+MK+ac", Mask.from_array(np.array([False, True, False, False, True, False])))
    found = runner.wild_type()
    assert (found[1, 20:] == IMPOSSIBLE).all()
    assert (found[4, :20] == IMPOSSIBLE).all()
