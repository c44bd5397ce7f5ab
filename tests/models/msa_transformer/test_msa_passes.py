"""fair-esm's MSA Transformer with random weights, against a plain loop over its forward pass.

The published weights (esm_msa1b_t12_100M_UR50S and esm_msa1_t12_100M_UR50S) were not run here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from aligned_rows import (
    ALPHABET,
    QUERY,
    TOLERANCE,
    homologues,
    named,
    plain_logits,
    wrapped,
)
from checkpoints import random_msa_transformer

import catjac_widgets as catjac
from catjac_widgets.errors import (
    ModelError,
    SequenceError,
)
from catjac_widgets.language_models.base import ContactHead, Substitution
from catjac_widgets.language_models.registry import identify, load_model
from catjac_widgets.proteins.alphabets import ESM_LETTERS, MASK_LETTER
from catjac_widgets.proteins.masks import Mask

CASES: dict[str, tuple[dict[str, Any], int]] = {
    "as published": ({}, 8),
    "as first released": ({"row_positions": "first release"}, 8),
    "nothing learned for rows": ({"row_positions": ""}, 8),
    "attention in parts": ({"tokens": 60}, 8),
    "the query alone": ({}, 1),
}


@pytest.mark.parametrize("case", CASES)
def test_the_jacobian_is_a_plain_loop(case: str) -> None:
    options, count = CASES[case]
    network, rows = random_msa_transformer(**options), homologues(count)
    model = wrapped(network, rows)
    J = catjac.jacobian(QUERY, model, positions=[1, 10, 22], cache=False, progress=False)
    assert J.attrs["alignment_rows"] == str(count)
    before = plain_logits(network, rows)
    np.testing.assert_allclose(model.prepare(QUERY).wild_type(), before, rtol=0, atol=TOLERANCE)
    for k, i in enumerate((0, 9, 21)):
        for slot, letter in enumerate(ESM_LETTERS):
            mutant = QUERY[:i] + letter + QUERY[i + 1 :]
            effect = plain_logits(network, [mutant, *rows[1:]]) - before
            np.testing.assert_allclose(J.values[k, slot], effect, rtol=0, atol=TOLERANCE)
    assert abs(J.values).max() > 0.1


def test_masks_are_mask_tokens_of_the_first_row() -> None:
    network, rows = random_msa_transformer(), homologues()
    model = wrapped(network, rows)
    mask = Mask.hiding(QUERY, [(4, 6), (20, 20)])
    hidden = tuple(np.flatnonzero(mask.array))
    found = model.prepare(QUERY, mask).wild_type()
    np.testing.assert_allclose(found, plain_logits(network, rows, hidden), rtol=0, atol=TOLERANCE)
    one = model.prepare(QUERY, mask).rows([Substitution(9, MASK_LETTER)])[0]
    np.testing.assert_allclose(one, plain_logits(network, rows, (*hidden, 9)), rtol=0, atol=TOLERANCE)
    assert abs(one - found).max() > 1e-2


@pytest.mark.parametrize("case", CASES)
def test_the_contact_head_is_that_of_fair_esm(case: str) -> None:
    options, count = CASES[case]
    network, rows = random_msa_transformer(**options), homologues(count)
    model = wrapped(network, rows)
    assert isinstance(model, ContactHead)
    tokens = ALPHABET.get_batch_converter()([(str(k), row) for k, row in enumerate(rows)])[2]
    masked = tokens.clone()
    masked[0, 0, 4:10] = ALPHABET.mask_idx
    with torch.no_grad():
        wanted = [network.predict_contacts(each)[0].numpy() for each in (tokens, masked)]
    found = model.contact_probabilities(QUERY, [None, Mask.hiding(QUERY, [(4, 9)])])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(catjac.contact_head(QUERY, model).values, found[0])
    assert abs(found[0] - found[1]).max() > 1e-4
    assert found[0].std() > 1e-2
    assert model.contact_probabilities(QUERY, []).shape == (0, 22, 22)


def test_a_contact_head_that_was_never_fitted_is_refused() -> None:
    network = random_msa_transformer()
    network.contact_head.regression.reset_parameters()
    model = wrapped(network)
    assert not identify(model).has_contact_head
    with pytest.raises(ModelError, match="no fitted contact head"):
        model.contact_probabilities(QUERY, [None])


def test_the_rows_matter_and_the_first_is_the_sequence() -> None:
    model = wrapped()
    others = wrapped(rows=homologues(seed=1))
    alone = wrapped(rows=[QUERY])
    logits = [each.prepare(QUERY).wild_type() for each in (model, others, alone)]
    assert abs(logits[0] - logits[1]).max() > 1e-2
    assert abs(logits[0] - logits[2]).max() > 1e-2
    # The query's own letters are replaced by those that are asked about.
    variant = QUERY[:5] + "W" + QUERY[6:]
    rows = homologues()
    np.testing.assert_allclose(
        model.prepare(variant).wild_type(),
        plain_logits(model.network, [variant, *rows[1:]]),
        rtol=0,
        atol=TOLERANCE,
    )


def test_chains_are_columns_of_one_alignment() -> None:
    model = wrapped()
    whole = catjac.jacobian(QUERY, model, positions=[3], cache=False, progress=False)
    chains = catjac.jacobian(f"{QUERY[:9]}:{QUERY[9:]}", model, positions=[3], cache=False, progress=False)
    np.testing.assert_array_equal(chains.values, whole.values)
    with pytest.raises(SequenceError, match="takes exactly"):
        catjac.jacobian(f"{QUERY[:9]}:{QUERY[9:]}", model, linker="GGG", cache=False, progress=False)


def test_all_that_needs_logits_works() -> None:
    model = wrapped()
    assert catjac.jacobian(QUERY, model, variant="fast", progress=False).shape == (22, 1, 22, 20)
    assert catjac.contacts(catjac.jacobian(QUERY, model, progress=False)).shape == (22, 22)
    logits = model.prepare(QUERY, Mask.hiding(QUERY, [(3, 3)])).wild_type()[2]
    marginals = catjac.marginals(QUERY, model)
    wanted = logits - np.log(np.exp(logits).sum())
    np.testing.assert_allclose(marginals.log_probability.isel(pos=2).values, wanted, atol=1e-4)
    assert float(catjac.pseudo_perplexity(QUERY, model)) > 1


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_sixteen_bits(kind: torch.dtype, tmp_path: Path) -> None:
    network = random_msa_transformer()
    name = named(tmp_path, network)
    model = load_model(name, device="cpu", dtype=str(kind).removeprefix("torch."))
    found = model.prepare(QUERY).wild_type()
    assert found.dtype == np.float32
    assert model.fingerprint != identify(name).fingerprint
    np.testing.assert_allclose(found, plain_logits(network, homologues()), rtol=0, atol=0.15)


def test_float64_is_the_same_network() -> None:
    network, rows = random_msa_transformer(), homologues()
    model = wrapped(network, rows)
    found = model.prepare(QUERY, None, "float64").wild_type()
    wanted = plain_logits(random_msa_transformer().double(), rows)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
    assert model.dtype == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU (CUDA)")
def test_on_a_gpu() -> None:
    network, rows = random_msa_transformer(), homologues()
    wanted = plain_logits(network, rows)
    model = wrapped(network.cuda(), rows)
    np.testing.assert_allclose(model.prepare(QUERY).wild_type(), wanted, rtol=0, atol=TOLERANCE)


def test_a_batch_is_bounded_by_the_memory_of_its_rows() -> None:
    small, large = wrapped(rows=homologues(2)), wrapped(rows=homologues(32))
    assert large.row_bytes(22) > 12 * small.row_bytes(22)
    assert large.seconds_per_sequence(22) > 12 * small.seconds_per_sequence(22)
    assert large.tokens_per_residue == 32
