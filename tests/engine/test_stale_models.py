"""Whatever becomes of a model in memory, its Jacobian is that of a plain loop over the model as it is now."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import esm
import numpy as np
import pytest
import torch
from checkpoints import random_esm2
from esm.modules import TransformerLayer

import catjac
from catjac_widgets.engine.api import jacobian
from catjac_widgets.proteins.alphabets import ESM_LETTERS

RESIDUES = "MKT"


def plain(model: Any) -> np.ndarray:
    """J by one batch through the model's own forward pass, in evaluation mode."""
    alphabet = esm.Alphabet.from_architecture("ESM-1b")
    letters = sorted(ESM_LETTERS, key=alphabet.get_idx)
    columns = [alphabet.get_idx(letter) for letter in letters]
    wild = [alphabet.cls_idx, *(alphabet.get_idx(letter) for letter in RESIDUES), alphabet.eos_idx]
    batch = [wild]
    for position in range(len(RESIDUES)):
        for column in columns:
            batch.append([*wild])
            batch[-1][1 + position] = column
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    with torch.no_grad():
        tokens = torch.tensor(batch, device=next(model.parameters()).device)
        logits = model(tokens)["logits"][:, 1:-1][..., columns].cpu().numpy()
    for module, mode in modes:
        module.training = mode
    L, A = len(RESIDUES), len(letters)
    return (logits[1:] - logits[0]).reshape(L, A, L, A)


Alter = Callable[[Any, int], None]
ALTERATIONS: dict[str, Alter] = {}


def alteration(function: Alter) -> Alter:
    ALTERATIONS[function.__name__] = function
    return function


# -- weights


@alteration
def permuted_through_data(model: Any, turn: int) -> None:
    weight = model.layers[0].fc1.weight
    weight.data.copy_(weight.data.roll(turn, 0))


@alteration
def negated_through_data(model: Any, turn: int) -> None:
    model.layers[turn % 2].fc2.weight.data.neg_()


@alteration
def exchanged_through_data(model: Any, turn: int) -> None:
    weight = model.layers[0].fc1.weight.data.view(-1)
    weight[:2] = weight[:2].flip(0) if turn > 1 else 30 * weight[:2]


@alteration
def through_a_numpy_view(model: Any, turn: int) -> None:
    view = model.layers[1].self_attn.v_proj.weight.detach().numpy()
    view[:] = view[::-1].copy()
    view[0, turn] += 1


@alteration
def other_storage(model: Any, turn: int) -> None:
    model.layers[0].fc2.weight.data = model.layers[0].fc2.weight.data * 1.5


@alteration
def in_place(model: Any, turn: int) -> None:
    with torch.no_grad():
        model.layers[0].fc1.weight[turn] += 1


@alteration
def an_optimisers_step(model: Any, turn: int) -> None:
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    optimiser.zero_grad()
    model(torch.tensor([[0, 5, 6, 2]]))["logits"].square().mean().backward()
    optimiser.step()


@alteration
def another_state_dict(model: Any, turn: int) -> None:
    model.load_state_dict(random_esm2(seed=turn).state_dict(), assign=turn == 2)


@alteration
def frequencies_of_one_layer(model: Any, turn: int) -> None:
    table = model.layers[1].self_attn.rot_emb
    table.inv_freq.data.mul_(1.5)
    table._seq_len_cached = None  # fair-esm goes by what it remembers of a length


# -- settings


@alteration
def epsilon_of_a_norm(model: Any, turn: int) -> None:
    model.layers[0].final_layer_norm.eps = 0.3 * turn


@alteration
def embed_scale(model: Any, turn: int) -> None:
    model.embed_scale = 1 + turn


@alteration
def embed_scale_as_a_tensor(model: Any, turn: int) -> None:
    if turn == 1:
        model.embed_scale = torch.tensor(1.0)
    model.embed_scale += 1


@alteration
def scaling_of_attention(model: Any, turn: int) -> None:
    model.layers[0].self_attn.scaling *= 3


@alteration
def token_dropout(model: Any, turn: int) -> None:
    model.token_dropout = turn == 2


@alteration
def left_in_training(model: Any, turn: int) -> None:
    model.train()
    model.layers[0].self_attn.dropout = 0.2 * turn


@alteration
def rotary_tables(model: Any, turn: int) -> None:
    table = model.layers[0].self_attn.rot_emb
    if table._seq_len_cached is None:
        plain(model)
    table._sin_cached = -table._sin_cached + 0.1 * turn


@alteration
def rotary_tables_in_place(model: Any, turn: int) -> None:
    if model.layers[0].self_attn.rot_emb._seq_len_cached is None:
        plain(model)
    model.layers[0].self_attn.rot_emb._sin_cached.data.mul_(-0.5)


@alteration
def a_layer_twice(model: Any, turn: int) -> None:
    model.layers[1] = model.layers[0]


@alteration
def a_layer_less(model: Any, turn: int) -> None:
    if turn == 1:
        model.layers = model.layers[:1]


@alteration
def a_plain_list_of_layers(model: Any, turn: int) -> None:
    if turn == 1:
        layers = list(model.layers)
        del model.layers
        model.layers = layers
    model.layers[0].fc1.weight.data.neg_()
    model.layers[1].fc1.weight.data.mul_(1.5)


@alteration
def a_weight_that_is_no_parameter(model: Any, turn: int) -> None:
    if turn == 1:
        dense = model.layers[0].fc1
        weight = dense.weight.detach().clone()
        del dense.weight
        dense.weight = weight
    model.layers[0].fc1.weight.neg_()


@alteration
def another_norm(model: Any, turn: int) -> None:
    kind = torch.nn.Sigmoid if turn == 1 else torch.nn.Identity
    model.layers[0].final_layer_norm = kind()


# -- code of somebody's own

GLOBAL = {"scale": 1.0}


class WithState(torch.nn.Linear):
    """A dense layer that multiplies by whatever it is given."""

    factors: Any = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        factors = self.factors.values() if isinstance(self.factors, dict) else self.factors
        return super().forward(x) * float(sum(float(factor) for factor in factors)) * GLOBAL["scale"]


def with_state(model: Any, factors: Any) -> None:
    old = model.layers[0].fc2
    if not isinstance(old, WithState):
        new = WithState(old.in_features, old.out_features).eval()
        new.load_state_dict(old.state_dict())
        model.layers[0].fc2 = new
    model.layers[0].fc2.factors = factors


for kind, of in {
    "list": lambda turn: [1.0, turn],
    "dictionary": lambda turn: {"a": 1.0, "b": turn},
    "tuple": lambda turn: (1.0, turn),
    "array": lambda turn: np.array([1.0, turn]),
    "tensor": lambda turn: torch.tensor([1.0, turn]),
}.items():
    ALTERATIONS[f"attribute_{kind}"] = lambda model, turn, of=of: with_state(model, of(turn))


@alteration
def variable_of_the_module(model: Any, turn: int) -> None:
    with_state(model, (1.0,))
    GLOBAL["scale"] = 1.0 + turn


@alteration
def closure_of_a_forward(model: Any, turn: int) -> None:
    layer = model.layers[0].fc2
    if turn == 1:
        cell = layer.cell = [1.0]
        original = layer.forward
        layer.forward = lambda x: original(x) * cell[0]
    layer.cell[0] = 1.0 + turn


@alteration
def closure_of_a_hook(model: Any, turn: int) -> None:
    layer = model.layers[0]
    if turn == 1:
        cell = layer.cell = [1.0]
        layer.register_forward_hook(lambda module, args, output: (output[0] * cell[0], output[1]))
    layer.cell[0] = 1.0 + turn


@alteration
def hook_before(model: Any, turn: int) -> None:
    model.layers[0].fc1.register_forward_pre_hook(lambda module, args: (args[0] * 1.5,))


@alteration
def hook_behind_a_backward_hook(model: Any, turn: int) -> None:
    model.layers[0].fc1.register_full_backward_hook(lambda module, *_: None)
    model.layers[0].fc1.register_forward_hook(lambda module, args, output: output * 1.5)


class Around(torch.nn.Module):
    """A whole layer in something of somebody's own."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.factors = inner, [1.0]

    def forward(self, *args: Any, **named: Any) -> Any:
        x, attention = self.inner(*args, **named)
        return x * self.factors[0], attention


@alteration
def around_a_layer(model: Any, turn: int) -> None:
    if turn == 1:
        model.layers[0] = Around(model.layers[0])
    model.layers[0].factors[0] = 1.0 + turn


class Own(type(random_esm2())):  # type: ignore[misc]
    """A subclass that changes nothing by itself."""


@alteration
def hook_on_a_subclass(model: Any, turn: int) -> None:
    model.__class__ = Own
    model.register_forward_hook(
        lambda module, args, output: {**output, "logits": output["logits"] * (1 + turn)}
    )


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    GLOBAL["scale"] = 1.0


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("name", ALTERATIONS)
@pytest.mark.filterwarnings("ignore:Results of")
def test_an_altered_model_gives_its_own_jacobian(name: str, cache: bool, cache_folder: Any) -> None:
    model = random_esm2()
    seen = [jacobian(RESIDUES, model, cache=cache, progress=False).values]
    np.testing.assert_allclose(seen[0], plain(model), rtol=0, atol=1e-4)
    for turn in (1, 2):
        ALTERATIONS[name](model, turn)
        wanted = plain(model)
        # An adapter is made for each call: nothing is remembered by the pair that is not by the model.
        given = model if turn == 1 else (model, model.alphabet)
        seen.append(jacobian(RESIDUES, given, cache=cache, progress=False).values)
        np.testing.assert_allclose(seen[-1], wanted, rtol=0, atol=1e-4 + 1e-5 * abs(wanted).max())
    if name != "left_in_training":
        assert abs(seen[1] - seen[0]).max() > 1e-3


# -- code that was replaced for all models


@contextlib.contextmanager
def replaced(owner: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    before = vars(owner)[name]
    setattr(owner, name, make(before))
    try:
        yield
    finally:
        setattr(owner, name, before)


def scaled_layer(before: Any) -> Any:
    @functools.wraps(before)
    def forward(self: Any, *args: Any, **named: Any) -> Any:
        x, attention = before(self, *args, **named)
        return 1.5 * x, attention

    return forward


def scaled_output(before: Any) -> Any:
    def forward(self: Any, *args: Any, **named: Any) -> Any:
        found = before(self, *args, **named)
        return {**found, "logits": 1.5 * found["logits"]}

    return forward


def scaled(before: Any) -> Any:
    return lambda *args, **named: 1.5 * before(*args, **named)


def first_scaled(before: Any) -> Any:
    def forward(self: Any, *args: Any, **named: Any) -> Any:
        x, weights = before(self, *args, **named)
        return 1.5 * x, weights

    return forward


PATCHES: dict[str, Callable[[], Any]] = {
    "a layer": lambda: replaced(TransformerLayer, "forward", scaled_layer),
    "attention": lambda: replaced(esm.multihead_attention.MultiheadAttention, "forward", first_scaled),
    "the model": lambda: replaced(esm.ESM2, "forward", scaled_output),
    "gelu": lambda: replaced(esm.modules, "gelu", scaled),
    "rotary positions": lambda: replaced(esm.rotary_embedding, "apply_rotary_pos_emb", scaled),
    "torch's norm": lambda: replaced(torch.nn.LayerNorm, "forward", scaled),
    "torch's softmax": lambda: replaced(torch.nn.functional, "softmax", scaled),
    "a hook on all modules": lambda: contextlib.closing(
        Removed(
            torch.nn.modules.module.register_module_forward_hook(
                lambda module, args, output: 1.5 * output if isinstance(module, torch.nn.Linear) else None
            )
        )
    ),
}


class Removed:
    def __init__(self, handle: Any) -> None:
        self.close = handle.remove


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("name", PATCHES)
@pytest.mark.filterwarnings("ignore:Results of")
def test_code_that_was_replaced_for_all_models_runs(name: str, cache: bool, cache_folder: Any) -> None:
    model = random_esm2()
    before = jacobian(RESIDUES, model, cache=cache, progress=False).values
    named_before = jacobian(RESIDUES, "mini", cache=cache, progress=False).values
    named = catjac.load_model("mini").model
    with PATCHES[name]():
        wanted = plain(model)
        assert abs(wanted - before).max() > 1e-3
        made = jacobian(RESIDUES, model, cache=cache, progress=False).values
        np.testing.assert_allclose(made, wanted, rtol=0, atol=1e-4 + 1e-5 * abs(wanted).max())
        wanted = plain(named)
        made = jacobian(RESIDUES, "mini", cache=cache, progress=False).values
        np.testing.assert_allclose(made, wanted, rtol=0, atol=1e-4 + 1e-5 * abs(wanted).max())
    np.testing.assert_array_equal(jacobian(RESIDUES, model, cache=cache, progress=False).values, before)
    again = jacobian(RESIDUES, "mini", cache=cache, progress=False).values
    np.testing.assert_array_equal(again, named_before)
