"""The approximate Jacobian: its gradients, its sum against a plain loop, and where it is exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from checkpoints import random_esm1b, random_esm2

from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.base import FirstOrderModel, Substitution
from catjac_widgets.language_models.esm.adapter import FairEsm
from catjac_widgets.language_models.esm.first_order import approximation as first_order
from catjac_widgets.language_models.esm.first_order.approximation import FirstOrder
from catjac_widgets.language_models.esm.first_order.backward import (
    BackwardBlock,
    BackwardHead,
    BackwardNorm,
    gelu_slope,
)
from catjac_widgets.language_models.esm.first_order.bfloat16 import approximate_logits
from catjac_widgets.language_models.esm.forward import (
    AS_THEY_ARE,
    attend,
    embed,
    feed_forward,
    read_out,
    rotary,
)
from catjac_widgets.proteins.masks import Mask

RESIDUES = "MKVLAWGQ"
MODELS = {
    "ESM-2": lambda: random_esm2(3),
    "ESM-2, one layer": lambda: random_esm2(1),
    "ESM-1b": lambda: random_esm1b(3),
}


def in_float64(make: Callable[[], Any]) -> FairEsm:
    return FairEsm(make().double())


def approximate(adapter: FairEsm, mask: Mask | None = None, letters: int = 0, **options: Any) -> np.ndarray:
    """Direct effects, corrected by some letters of every position; (L, A, L, A)."""
    tokens = adapter.encode(RESIDUES, mask)
    columns = torch.tensor(adapter._columns())
    made = FirstOrder(adapter.model, tokens, adapter._residues(tokens), columns, **options)
    stages = [stage for stage in made.steps((letters,)) if stage is not None]
    assert stages == ([0, letters] if letters else [0])
    return made.jacobian.double().numpy()


def exactly(adapter: FairEsm) -> np.ndarray:
    """Raw Jacobian by running every mutant, (L, A, L, A)."""
    runner = adapter.prepare(RESIDUES)
    changes = [Substitution(i, letter) for i in range(len(RESIDUES)) for letter in adapter.letters]
    found = runner.rows(changes) - runner.wild_type()
    return found.reshape(len(RESIDUES), len(adapter.letters), *found.shape[1:]).astype(np.float64)


# ---- gradients


def finite_difference(
    of: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor, along: torch.Tensor
) -> float:
    step = 1e-5
    with torch.no_grad():
        return float((of(at + step * along) - of(at - step * along)).sum() / (2 * step))


def states(adapter: FairEsm, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A state (T, C) and two directions of the same shape."""
    generator = torch.Generator().manual_seed(seed)
    shape = len(RESIDUES) + 2, adapter.model.layers[0].embed_dim
    x, along, gradient = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3))
    return x, along, gradient


@pytest.mark.parametrize("name", ["ESM-2", "ESM-1b"])
def test_gradients_agree_with_finite_differences(name: str) -> None:
    adapter = in_float64(MODELS[name])
    model, layer = adapter.model, adapter.model.layers[1]
    with torch.no_grad():
        x, along, gradient = states(adapter, 1)
        norm, dense = layer.final_layer_norm, layer.fc1
        wide = torch.randn(len(x), dense.out_features, dtype=torch.float64)
        found = BackwardNorm(norm, x, dense.weight, torch.float64)(wide[None])[0]
        expected = finite_difference(lambda at: (dense(norm(at)) * wide).sum(), x, along)
        assert float((found * along).sum()) == pytest.approx(expected, rel=1e-7)

        at_x, at_mixture = BackwardBlock(layer, x, torch.float64)(gradient[None])
        expected = finite_difference(lambda at: ((at + feed_forward(layer, at)) * gradient).sum(), x, along)
        assert float((at_x[0] * along).sum()) == pytest.approx(expected, rel=1e-7)

        def by_way_of_mixture(mixture: torch.Tensor) -> torch.Tensor:
            at = x + layer.self_attn.out_proj(mixture) - layer.self_attn.out_proj(torch.zeros_like(x))
            return ((at + feed_forward(layer, at)) * gradient).sum()

        expected = finite_difference(by_way_of_mixture, torch.zeros_like(x), along)
        assert float((at_mixture[0] * along).sum()) == pytest.approx(expected, rel=1e-7)

        letters = torch.tensor(adapter._columns())
        head = BackwardHead(model, x, letters)
        tokens = torch.tensor([2, 5])
        found = head(tokens)  # (2, A, C)
        torch.testing.assert_close(head.read(x), read_out(model, x, letters))
        for row, token in enumerate(tokens):
            for letter in (0, 7, 19):
                expected = finite_difference(
                    lambda at, b=letter: read_out(model, at, letters)[b], x[token], along[token]
                )
                assert float(found[row, letter] @ along[token]) == pytest.approx(expected, rel=1e-6)


def test_slope_of_gelu() -> None:
    x = torch.linspace(-6, 6, 41, dtype=torch.float64)
    expected = (F.gelu(x + 1e-5) - F.gelu(x - 1e-5)) / 2e-5
    torch.testing.assert_close(gelu_slope(x), expected, rtol=1e-7, atol=1e-9)


# ---- the whole, against a plain loop


def plain_first_order(adapter: FairEsm, position: int, letter: int, mask: Mask | None = None) -> torch.Tensor:
    """One substitution's change of the logits (L, A): softmax run anew, later layers by finite differences.

    All other tokens change their logits by the slope of the later layers along the change of their mixture in
    every layer, what attention brings them there held; the mutated one is followed by itself.
    """
    model = adapter.model
    tokens = adapter.encode(RESIDUES, mask)
    where = position + 1
    mutant = tokens.clone()
    mutant[where] = adapter._columns()[letter]
    x, own = embed(model, tokens[None]), embed(model, mutant[None])[0, where]
    turn = rotary(model, len(tokens))
    letters = torch.tensor(adapter._columns())
    total = torch.zeros(len(tokens), len(letters), dtype=x.dtype)
    for index, layer in enumerate(model.layers):
        attention, norm = layer.self_attn, layer.self_attn_layer_norm
        mixed = x.clone()
        mixed[0, where] = own
        query, key, value = AS_THEY_ARE.projections(attention, norm(x), turn)
        own_query, own_key, own_value = AS_THEY_ARE.projections(attention, norm(mixed), turn)

        def mixture(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            weights = (q @ k.transpose(-1, -2) * attention.scaling).softmax(-1)  # noqa: B023
            return (weights @ v).transpose(1, 2).flatten(2)

        before = mixture(query, key, value)
        after = mixture(own_query, own_key, own_value)
        change = (after - before).clone()
        change[0, where] = 0

        def tail(
            at: torch.Tensor, index: int = index, layer: Any = layer, x: torch.Tensor = x
        ) -> torch.Tensor:
            y = x + layer.self_attn.out_proj(at)
            y = y + feed_forward(layer, y)
            held = x + layer.self_attn.out_proj(before)  # noqa: B023
            held = held + feed_forward(layer, held)
            for later in model.layers[index + 1 :]:
                brought = attend(later, held, turn)
                y, held = y + brought, held + brought
                y, held = y + feed_forward(later, y), held + feed_forward(later, held)
            return read_out(model, y, letters)[0]

        step = 1e-5
        total = total + (tail(before + step * change) - tail(before - step * change)) / (2 * step)
        own = own + attention.out_proj(after[0, where])
        own = own + feed_forward(layer, own)
        x = x + attention.out_proj(before)
        x = x + feed_forward(layer, x)
    logits = read_out(model, x, letters)[0]
    total[where] = read_out(model, own, letters) - logits[where]
    return total[1:-1]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("mask", [None, Mask.showing(RESIDUES, [(2, 5), (7, 8)])])
def test_sum_agrees_with_a_plain_loop(name: str, mask: Mask | None) -> None:
    adapter = in_float64(MODELS[name])
    found = approximate(adapter, mask)
    hidden = mask.masked if mask is not None else (False,) * len(RESIDUES)
    for position, letter in ((1, 0), (4, 11), (6, 19)):
        with torch.no_grad():
            expected = plain_first_order(adapter, position, letter, mask).numpy()
        ours = found[position, letter]
        assert np.abs(expected).max() > 1e-2  # there is something to agree on
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-7)
    for position in np.flatnonzero(hidden):
        assert np.abs(found[position]).max() < 1e-9
    for position in np.flatnonzero(~np.array(hidden)):
        wild = adapter.letters.index(RESIDUES[position])
        assert np.abs(found[position, wild]).max() < 1e-9


def test_one_layer_is_exact_to_first_order() -> None:
    """Letters drawn together: the error, of second order, shrinks four times as they come twice as near."""
    errors, effects = [], []
    for spread in (0.02, 0.01):
        adapter = in_float64(lambda: random_esm2(1))
        with torch.no_grad():
            # The head's weights are the embeddings'; its own from here on.
            head = adapter.model.lm_head
            head.weight = torch.nn.Parameter(head.weight.clone())
            rows = adapter.model.embed_tokens.weight[4:24]
            rows.copy_(rows.mean(0) + spread * (rows - rows.mean(0)))
        runner = adapter.prepare(RESIDUES, None, "float64")
        changes = [Substitution(i, letter) for i in range(len(RESIDUES)) for letter in adapter.letters]
        exact = (runner.rows(changes) - runner.wild_type()).reshape(8, 20, 8, 20)
        difference = approximate(adapter) - exact
        difference[np.arange(len(RESIDUES)), :, np.arange(len(RESIDUES))] = 0
        errors.append(np.abs(difference).max())
        effects.append(np.abs(exact).max())
    assert 1.8 < effects[0] / effects[1] < 2.2
    assert 3.0 < errors[0] / errors[1] < 5.0
    assert errors[1] < 0.05 * effects[1]


def test_own_token_of_one_layer_is_exact() -> None:
    adapter = in_float64(MODELS["ESM-2, one layer"])
    found, exact = approximate(adapter), exactly(adapter)
    rows = np.arange(len(RESIDUES))
    np.testing.assert_allclose(found[rows, :, rows], exact[rows, :, rows], atol=2e-5)


# ---- letters


def off_diagonal(J: np.ndarray) -> np.ndarray:
    J = J - J.mean(1, keepdims=True)
    J = J - J.mean(3, keepdims=True)
    J[np.arange(len(J)), :, np.arange(len(J))] = 0
    return J


@pytest.mark.parametrize("name", MODELS)
def test_all_letters_give_the_exact_jacobian(name: str) -> None:
    adapter = in_float64(MODELS[name])
    exact = exactly(adapter)
    # The adapter's rows come in float32.
    np.testing.assert_allclose(approximate(adapter, letters=19), exact, atol=2e-6)


def test_more_letters_come_nearer() -> None:
    adapter = in_float64(MODELS["ESM-2"])
    exact = off_diagonal(exactly(adapter))
    errors = [
        np.linalg.norm(off_diagonal(approximate(adapter, letters=letters)) - exact)
        for letters in (0, 2, 6, 12)
    ]
    assert errors[0] > errors[1] > errors[2] > errors[3] > 0


def test_masked_rows_are_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = in_float64(MODELS["ESM-2"])
    mask = Mask.showing(RESIDUES, [(2, 5)])
    sizes: list[int] = []

    def counted(model: Any, tokens: torch.Tensor, *rest: Any) -> torch.Tensor:
        sizes.append(len(tokens))
        return approximate_logits(model, tokens, *rest)

    monkeypatch.setattr(first_order, "approximate_logits", counted)
    found = approximate(adapter, mask, letters=2)
    assert sum(sizes) == 1 + 2 * 4
    assert np.abs(found[np.array(mask.masked)]).max() == 0


def test_bfloat16_backwards_is_enough() -> None:
    adapter = FairEsm(random_esm2(3))
    whole = off_diagonal(approximate(adapter))
    rounded = off_diagonal(approximate(adapter, backwards=torch.bfloat16))
    assert 0 < np.linalg.norm(rounded - whole) < 0.02 * np.linalg.norm(whole)


# ---- the adapter


def test_adapter_gives_it_in_steps() -> None:
    adapter = FairEsm(random_esm2(3))
    assert isinstance(adapter, FirstOrderModel)
    training = adapter.model.train().training
    steps = list(adapter.first_order(RESIDUES, None, (1, 3)))
    assert adapter.model.training is training is True
    assert steps.count(None) >= 3
    made = [step for step in steps if step is not None]
    assert [number for number, _ in made] == [0, 1, 3]
    length = len(RESIDUES)
    assert all(J.shape == (length, 20, length, 20) and J.dtype == np.float32 for _, J in made)


def test_altered_models_say_that_they_cannot() -> None:
    adapter = FairEsm(random_esm2(2))
    adapter.model.layers[0].register_forward_hook(lambda *_: None)
    with pytest.raises(ModelError, match="altered"):
        adapter.first_order(RESIDUES)
    with pytest.raises(ModelError, match="16-bit floats"):
        FairEsm(random_esm2(2).half()).first_order(RESIDUES)
