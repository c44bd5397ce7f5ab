"""What every adapter must do, whatever its family: one battery over all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from shipped_models import (
    ADAPTERS,
    OTHERS,
    RESIDUES,
    Subclassed,
    residues_of,
)

import catjac_widgets as catjac
from catjac_widgets.errors import ModelError, SequenceError, UsageError
from catjac_widgets.language_models.base import ContactHead, LanguageModel, Substitution
from catjac_widgets.language_models.custom.callable_model import CallableModel
from catjac_widgets.language_models.esm.adapter import FairEsm
from catjac_widgets.language_models.registry import identify, resolve_model, wrap
from catjac_widgets.proteins.alphabets import MASK_LETTER
from catjac_widgets.proteins.masks import Mask


@pytest.fixture(params=[*ADAPTERS, *OTHERS])
def any_model(request: pytest.FixtureRequest) -> LanguageModel:
    """One of each family."""
    return {**ADAPTERS, **OTHERS}[request.param]()


@pytest.fixture(params=ADAPTERS)
def model(request: pytest.FixtureRequest) -> Any:
    """One of each that is a network of fair-esm."""
    return ADAPTERS[request.param]()


def test_it_says_what_it_is(any_model: LanguageModel) -> None:
    assert any_model.name
    assert len(set(any_model.letters)) == len(any_model.letters) > 1
    assert not any_model.changed
    assert any_model.parameters > 100 or isinstance(any_model, CallableModel)
    assert any_model.device == torch.device("cpu")
    assert any_model.row_bytes(100) > any_model.row_bytes(10) > 0
    assert any_model.seconds_per_sequence(100) >= any_model.seconds_per_sequence(10) > 0
    assert identify(any_model).fingerprint == any_model.fingerprint
    assert identify(any_model).letters == any_model.letters
    assert resolve_model(any_model) is any_model


def test_tokens_are_integers_one_a_residue_and_the_ends(model: Any) -> None:
    tokens = model.encode(RESIDUES)
    assert tokens.dtype == torch.int64
    assert tokens.device == torch.device("cpu")
    assert len(RESIDUES) < len(tokens) <= len(RESIDUES) + 2
    hidden = model.encode(RESIDUES, Mask.hiding(RESIDUES, [(3, 4)]))
    assert (tokens != hidden).nonzero()[:, 0].tolist() == [3, 4]
    assert hidden[3] == hidden[4]


def test_logits_of_a_batch_have_residue_rows_and_letter_columns(any_model: LanguageModel) -> None:
    residues = residues_of(any_model)
    tokens = torch.stack([any_model.encode(residues), any_model.encode(residues[::-1])])
    logits = any_model.logits(tokens)
    assert logits.shape == (2, len(residues), len(any_model.letters))
    wanted = any_model.prepare(residues).wild_type()
    columns = [any_model.letters.index(letter) for letter in any_model.letters_of(residues)]
    np.testing.assert_allclose(
        logits[0].float().numpy()[:, columns], wanted, rtol=0, atol=1e-5 * abs(wanted).max()
    )


def test_columns_are_in_the_order_of_the_letters(model: Any) -> None:
    """The bias of a letter's logit moves that letter's column and no other."""
    network = model.model
    bias = network.lm_head.bias if hasattr(network, "lm_head") else network.embed_out_bias
    before = model.prepare(RESIDUES).wild_type()
    for column, letter in enumerate(model.letters):
        with torch.no_grad():
            bias[model.alphabet.get_idx(letter)] += 1 + column
    moved = (model.prepare(RESIDUES).wild_type() - before).mean(axis=0)
    factor = 2 if isinstance(network, Subclassed) else 1
    np.testing.assert_allclose(moved, factor * np.arange(1, 21), rtol=1e-4)
    with torch.no_grad():
        for column, letter in enumerate(model.letters):
            bias[model.alphabet.get_idx(letter)] -= 1 + column


def test_a_substitution_is_the_sequence_with_that_letter(any_model: LanguageModel) -> None:
    residues = residues_of(any_model)
    runner = any_model.prepare(residues)
    own = any_model.letters_at(residues[4])
    other = next(letter for letter in reversed(own) if letter != residues[4])
    rows = runner.rows([Substitution(4, other), Substitution(21, residues[21])])
    changed = residues[:4] + other + residues[5:]
    scale = abs(rows).max()
    np.testing.assert_allclose(rows[0], any_model.prepare(changed).wild_type(), rtol=0, atol=1e-5 * scale)
    np.testing.assert_allclose(rows[1], runner.wild_type(), rtol=0, atol=1e-5 * scale)
    assert abs(rows[0] - runner.wild_type()).max() > 1e-3


def test_a_hidden_residue_is_one_under_a_mask(any_model: LanguageModel) -> None:
    residues = residues_of(any_model)
    hide, mask = [Substitution(0, MASK_LETTER)], Mask.hiding(residues, [(1, 1)])
    if not any_model.has_mask_token:
        for call in (
            lambda: any_model.encode(residues, mask),
            lambda: any_model.prepare(residues, mask),
            lambda: any_model.prepare(residues).rows(hide),
        ):
            with pytest.raises(ModelError, match="no mask token"):
                call()
        return
    rows = any_model.prepare(residues).rows(hide)
    masked = any_model.prepare(residues, mask).wild_type()
    np.testing.assert_allclose(rows[0], masked, rtol=0, atol=1e-5 * abs(rows).max())


def test_a_causal_model_changes_nothing_before_a_substitution(any_model: LanguageModel) -> None:
    residues = residues_of(any_model)
    letter = next(letter for letter in any_model.letters_at(residues[9]) if letter != residues[9])
    runner = any_model.prepare(residues)
    effects = abs(runner.rows([Substitution(9, letter)])[0] - runner.wild_type()).max(axis=1)
    assert (effects[:10].max() <= 1e-5 * abs(runner.wild_type()).max()) == any_model.causal


def test_a_row_does_not_depend_on_its_batch(any_model: LanguageModel) -> None:
    residues = residues_of(any_model)
    mask = Mask.showing(residues, [(2, 15)]) if any_model.has_mask_token else None
    runner = any_model.prepare(residues, mask)
    changes = [
        Substitution(position, letter)
        for position in (1, 7)
        for letter in any_model.letters_at(residues[position])
    ]
    together = runner.rows(changes)
    one_by_one = np.concatenate([runner.rows([change]) for change in changes])
    np.testing.assert_allclose(together, one_by_one, rtol=0, atol=1e-5 * abs(together).max())
    assert runner.rows([]).shape == (0, len(residues), len(any_model.letters_of(residues)))


@pytest.mark.parametrize(("numerics", "dtype"), [("exact", np.float32), ("float64", np.float64)])
def test_numerics(any_model: LanguageModel, numerics: str, dtype: type) -> None:
    residues = residues_of(any_model)
    if numerics not in {each.name for each in any_model.numerics}:
        with pytest.raises(UsageError, match="use 'exact'"):
            any_model.prepare(residues, None, numerics)
        return
    runner = any_model.prepare(residues, None, numerics)
    assert runner.wild_type().dtype == dtype
    assert runner.rows([Substitution(0, any_model.letters[0])]).dtype == dtype
    exact = any_model.prepare(residues).wild_type()
    np.testing.assert_allclose(runner.wild_type(), exact, rtol=0, atol=1e-5 * abs(exact).max())


def test_contact_probabilities(model: Any) -> None:
    assert isinstance(model, ContactHead)
    found = model.contact_probabilities(RESIDUES, [None, Mask.hiding(RESIDUES, [(3, 9)])])
    assert found.dtype == np.float32
    assert found.shape == (2, len(RESIDUES), len(RESIDUES))
    assert np.isfinite(found).all()
    assert ((found > 0) & (found < 1)).all()
    np.testing.assert_allclose(found, found.transpose(0, 2, 1), atol=1e-6)
    assert abs(found[0] - found[1]).max() > 0
    assert model.contact_probabilities(RESIDUES, []).shape == (0, len(RESIDUES), len(RESIDUES))


def test_the_fingerprint_is_stable_and_follows_the_weights(model: Any) -> None:
    before = model.fingerprint
    assert model.fingerprint == before
    weight = model.model.layers[0].fc1.weight
    for change in (lambda: weight[0, 0].add_(1), lambda: weight.data[0, 0].add_(1)):
        value = weight[0, 0].item()
        with torch.no_grad():
            change()
            assert model.fingerprint != before
            weight[0, 0] = value
        assert identify(wrap(model.model, model.alphabet)).fingerprint == wrap(model.model).fingerprint


def test_it_reads_from_the_sides_that_it_says(any_model: LanguageModel) -> None:
    residues = residues_of(any_model)
    runner = any_model.prepare(residues)
    other = next(letter for letter in any_model.letters_at(residues[12]) if letter != residues[12])
    effect = np.abs(runner.rows([Substitution(12, other)])[0] - runner.wild_type()).max(axis=1)
    scale = abs(runner.wild_type()).max()
    assert effect[13:].max() > 1e-3
    if any_model.causal:
        assert effect[:13].max() <= 1e-5 * scale
    else:
        assert effect[:12].max() > 1e-3


def test_residues_are_hidden_or_it_says_that_they_cannot_be(any_model: LanguageModel) -> None:
    residues = residues_of(any_model)
    if any_model.has_mask_token:
        hidden = any_model.encode(residues, Mask.hiding(residues, [(2, 3)]))
        assert 0 < (hidden != any_model.encode(residues)).sum() <= 2
        return
    with pytest.raises(ModelError, match="no mask token") as failure:
        any_model.encode(residues, Mask.hiding(residues, [(2, 3)]))
    assert "\n" not in str(failure.value)


def test_the_jacobian_is_that_of_logits_alone(any_model: LanguageModel) -> None:
    """Rows of the engine against `encode` and `logits`, one sequence at a time."""
    residues = residues_of(any_model)
    J = catjac.jacobian(residues, any_model, positions=[3, 20], cache=False, progress=False)
    letters = any_model.letters_of(residues)
    columns = [any_model.letters.index(letter) for letter in letters]
    strand = "+" * any_model.strands

    def logits(text: str) -> np.ndarray:
        found = any_model.logits(any_model.encode(strand + text)[None])[0].double().cpu().numpy()
        return found[len(strand) :, columns]

    before = logits(residues)
    for k, index in enumerate((2, 19)):
        for slot, letter in enumerate(letters):
            effect = logits(residues[:index] + letter + residues[index + 1 :]) - before
            np.testing.assert_allclose(J.values[k, slot], effect, rtol=0, atol=2e-5 * abs(before).max())
        assert not J.values[k, letters.index(residues[index])].any()


def test_bad_input_is_one_sentence(any_model: LanguageModel) -> None:
    residues = residues_of(any_model)
    L, A = len(residues), any_model.letters[0]
    cases: list[tuple[Callable[[], Any], type[Exception]]] = [
        (lambda: any_model.encode(""), SequenceError),
        (lambda: any_model.encode(residues[:2] + "X" + residues[3:]), SequenceError),
        (lambda: any_model.prepare(residues, None, "float16"), UsageError),
        (lambda: any_model.prepare(residues).rows([Substitution(L, A)]), ModelError),
        (lambda: any_model.prepare(residues).rows([Substitution(-1, A)]), ModelError),
        (lambda: any_model.prepare(residues).rows([Substitution(0, "X")]), ModelError),
    ]
    if any_model.max_residues is not None:
        longest = (residues * any_model.max_residues)[: any_model.max_residues]
        letters = any_model.letters_of(longest)
        assert any_model.prepare(longest).wild_type().shape == (len(longest), len(letters))
        cases.append((lambda: any_model.encode(longest + A), SequenceError))
    for call, kind in cases:
        with pytest.raises(kind) as failure:
            call()
        assert "\n" not in str(failure.value)


def test_a_letter_that_is_none_is_named_with_its_place(model: Any) -> None:
    with pytest.raises(SequenceError, match="residue 3 is 'X'"):
        model.encode("MKXT")


def test_no_row_at_all(any_model: LanguageModel) -> None:
    residues = residues_of(any_model)
    rows = any_model.prepare(residues).rows([])
    assert rows.shape == (0, len(residues), len(any_model.letters_of(residues)))
    assert rows.dtype == np.float32


def test_every_module_keeps_its_mode_and_its_gradients(model: Any) -> None:
    network = model.model
    modes = {name: index % 3 == 0 for index, (name, _) in enumerate(network.named_modules())}
    before = {name: module.training for name, module in network.named_modules()}
    gradients = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    try:
        for name, module in network.named_modules():
            module.training = modes[name]
        wild_type = model.prepare(RESIDUES).wild_type()
        model.prepare(RESIDUES, None, "float64").rows([Substitution(1, "A")])
        model.contact_probabilities(RESIDUES, [None])
        model.logits(model.encode(RESIDUES)[None])
        with pytest.raises(Exception, match="index out of range"):
            model.logits(torch.full((1, 5), 10**6))
        assert {name: module.training for name, module in network.named_modules()} == modes
        assert {name: parameter.requires_grad for name, parameter in network.named_parameters()} == gradients
        network.eval()
        np.testing.assert_array_equal(model.prepare(RESIDUES).wild_type(), wild_type)
    finally:
        for name, module in network.named_modules():
            module.training = before[name]


def test_it_can_be_trained_after_it_was_looked_at(model: Any) -> None:
    """Nothing that a pass leaves behind (say, remembered rotary tables) stands in the way of a gradient."""
    network = model.model
    model.prepare(RESIDUES).wild_type()
    model.contact_probabilities(RESIDUES, [None])
    logits = network(model.encode(RESIDUES)[None])["logits"]
    logits.square().mean().backward()
    assert network.layers[0].self_attn.q_proj.weight.grad.abs().max() > 0
    network.zero_grad(set_to_none=True)


def test_threads_do_not_disturb_each_other(model: Any) -> None:
    sequences = [RESIDUES[k:] + RESIDUES[:k] for k in range(4)]
    wanted = [model.prepare(residues).wild_type() for residues in sequences]
    model.model.train()
    found: dict[int, np.ndarray] = {}

    def work(index: int) -> None:
        for _ in range(3):
            found[index] = model.prepare(sequences[index]).wild_type()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(module.training for module in model.model.modules())
    model.model.eval()
    for index in range(4):
        np.testing.assert_allclose(found[index], wanted[index], rtol=0, atol=1e-5 * abs(wanted[index]).max())


def test_float64_leaves_the_model_as_it_is(model: Any) -> None:
    assert isinstance(model, FairEsm)
    before = model.model.embed_tokens.weight.dtype, model.fingerprint
    model.prepare(RESIDUES, None, "float64").wild_type()
    assert (model.model.embed_tokens.weight.dtype, model.fingerprint) == before
