"""Models in memory that somebody has altered: their own forward runs, and fingerprints tell them apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import random_esm1, random_esm1b, random_esm2

from catjac_widgets.errors import ModelError, UsageError
from catjac_widgets.language_models.adapters.running import full_float32
from catjac_widgets.language_models.esm import forward as fair_esm_forward
from catjac_widgets.language_models.esm.alterations.found import alterations
from catjac_widgets.language_models.fingerprints import content_hash
from catjac_widgets.language_models.registry import resolve_model, wrap

RESIDUES = "MKTAYIAKQRQISFVK"


class LowRank(torch.nn.Linear):
    """A dense layer with an adapter, as fine-tuning libraries put in."""

    scale = 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + self.scale * x.mean(-1, keepdim=True)


def hook_on_a_layer(model: Any) -> None:
    model.layers[0].register_forward_hook(lambda module, args, output: (output[0] * 1.5, output[1]))


def hook_before_a_layer(model: Any) -> None:
    model.layers[1].fc1.register_forward_pre_hook(lambda module, args: (args[0] * 1.5,))


def replaced_forward(model: Any) -> None:
    dense = model.layers[0].fc2
    original = dense.forward
    dense.forward = lambda x: 1.5 * original(x)


def replaced_layer(model: Any) -> None:
    old = model.layers[0].fc1
    new = LowRank(old.in_features, old.out_features)
    new.load_state_dict(old.state_dict())
    model.layers[0].fc1 = new


def parametrised(model: Any) -> None:
    class Half(torch.nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight / 2

    torch.nn.utils.parametrize.register_parametrization(model.layers[0].fc1, "weight", Half())


def another_norm(model: Any) -> None:
    model.emb_layer_norm_after = torch.nn.Sequential(model.emb_layer_norm_after, torch.nn.Tanh())


ALTERATIONS: dict[str, Callable[[Any], None]] = {
    function.__name__: function
    for function in (
        hook_on_a_layer, hook_before_a_layer, replaced_forward, replaced_layer, parametrised, another_norm,
    )
}  # fmt: skip


@pytest.mark.parametrize("make", [random_esm2, random_esm1b])
@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_an_altered_model_runs_as_its_owner_made_it(make: Callable[[], Any], alteration: str) -> None:
    model = make()
    adapter = wrap(model)
    plain, fingerprint = adapter.prepare(RESIDUES).wild_type(), adapter.fingerprint
    assert not alterations(model)
    ALTERATIONS[alteration](model)
    assert alterations(model)
    alphabet = adapter.alphabet
    _, _, tokens = alphabet.get_batch_converter()([("", RESIDUES)])
    with torch.no_grad():
        wanted = model(tokens)["logits"][0, 1:-1, 4:24].numpy()
        contacts = model.predict_contacts(tokens)[0].numpy()
    assert abs(wanted - plain).max() > 1e-3
    np.testing.assert_allclose(adapter.prepare(RESIDUES).wild_type(), wanted, rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        adapter.contact_probabilities(RESIDUES, [None])[0], contacts, rtol=0, atol=1e-6
    )
    if alteration == "replaced_forward":
        # What such a function holds on to cannot be copied.
        with pytest.raises(ModelError, match="cannot be copied to float64"):
            adapter.prepare(RESIDUES, None, "float64")
    else:
        wide = adapter.prepare(RESIDUES, None, "float64").wild_type()
        np.testing.assert_allclose(wide, wanted, rtol=0, atol=1e-5 * abs(wanted).max())
    assert adapter.fingerprint != fingerprint
    assert adapter.fingerprint == adapter.fingerprint
    assert adapter.row_bytes(100) > wrap(make()).row_bytes(100)


def test_a_hook_everywhere_is_seen() -> None:
    model = random_esm2()
    handle = torch.nn.modules.module.register_module_forward_hook(lambda module, args, output: None)
    try:
        assert alterations(model)
    finally:
        handle.remove()
    assert not alterations(model)


def test_a_fingerprint_of_ones_own_stands_for_what_cannot_be_seen() -> None:
    first, second = random_esm2(), random_esm2()
    for model in (first, second):
        replaced_layer(model)
    assert wrap(first).unseen == "layers.0.fc1: test_altered_models.LowRank"
    assert wrap(first, fingerprint="mine").unseen == ""
    same = wrap(first, fingerprint="mine").fingerprint
    assert wrap(second, fingerprint="mine").fingerprint == same
    assert wrap(second, fingerprint="other").fingerprint != same
    with torch.no_grad():
        second.layers[1].fc1.weight[0, 0] += 1
    assert wrap(second, fingerprint="mine").fingerprint != same
    with pytest.raises(UsageError, match="is no text"):
        wrap(first, fingerprint=3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="already"):
        wrap(wrap(first), fingerprint="mine")


def test_another_vocabulary_is_another_model() -> None:
    """Its tokens stand for other letters, in the same order."""
    import esm

    model = random_esm2()
    usual = wrap(model, esm.Alphabet.from_architecture("ESM-1b"))
    other = wrap(model, esm.Alphabet.from_architecture("ESM-1"))
    assert usual.letters == other.letters
    assert usual.fingerprint == wrap(model).fingerprint != other.fingerprint


def test_two_hooks_that_look_alike_are_told_apart() -> None:
    first, second = random_esm2(), random_esm2()
    for model in (first, second):
        hook_on_a_layer(model)
    assert wrap(first).fingerprint != wrap(second).fingerprint


def test_policies_are_part_of_the_fingerprint() -> None:
    model = random_esm2()
    before = wrap(model).fingerprint
    model.token_dropout = False
    assert wrap(model).fingerprint != before
    other = random_esm1b()
    before = wrap(other).fingerprint
    other.args.token_dropout = False
    assert wrap(other).fingerprint != before


def test_equal_models_have_equal_fingerprints_whatever_their_names() -> None:
    assert wrap(random_esm2(), name="one").fingerprint == wrap(random_esm2(), name="two").fingerprint
    assert wrap(random_esm2(seed=1)).fingerprint != wrap(random_esm2(seed=2)).fingerprint
    assert wrap(random_esm2()).fingerprint != wrap(random_esm2().half()).fingerprint


@pytest.mark.parametrize(
    ("make", "fingerprint"),
    [
        (random_esm2, "0dcbbae8a91605e3cc26b03887a65a36dc057f29338c74f96b4b20fa17a4816b"),
        (random_esm1b, "1c911bb6017ef2cb6c8bcb602d86c7cae3f9bcf841c57fc88fe5a83b77a7daa6"),
        (random_esm1, "545ffa3ffdf449e89fa43cd2535d627373b9472d88242ff9c0b8d6e18cc251a8"),
    ],
)
def test_fingerprints_of_stock_models_stay_what_version_0_1_made(
    make: Callable[[], Any], fingerprint: str
) -> None:
    model = make()
    with torch.no_grad():
        for index, values in enumerate(model.parameters()):
            numbers = torch.arange(values.numel()) * (index + 3) % 64 / 32 - 1
            values.copy_(numbers.view(values.shape))
        for values in model.buffers():
            values.copy_((torch.arange(values.numel()) % 64 / 64).view(values.shape))
    assert wrap(model).fingerprint == f"memory:{fingerprint}"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int8])
@pytest.mark.parametrize("size", [3, 64, 100_001])
def test_a_hash_of_contents_depends_on_where_each_value_stands(dtype: torch.dtype, size: int) -> None:
    values = (torch.arange(size) % 101 - 50).to(dtype)
    first, last = values.clone(), values.clone()
    first[0], last[-1] = 77, 77
    exchanged = values.clone()
    exchanged[[0, -1]] = values[[-1, 0]]
    others = [values.flip(0), values.roll(1), -values, first, last, exchanged, values + 1]
    hashes = [content_hash(other) for other in (values, *others)]
    assert len(set(hashes)) == len({tuple(other.tolist()) for other in (values, *others)})
    assert content_hash(values.clone()) == hashes[0]
    assert content_hash(values.view(1, -1).t()) == hashes[0]


def test_a_fine_tuned_model_has_a_new_fingerprint() -> None:
    model = random_esm2()
    adapter = wrap(model)
    before = adapter.fingerprint
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    model(adapter.encode(RESIDUES)[None])["logits"].square().mean().backward()
    optimiser.step()
    assert adapter.fingerprint != before


def test_weights_made_in_inference_mode_work() -> None:
    with torch.inference_mode():
        model = random_esm2()
    assert wrap(model).fingerprint == wrap(random_esm2()).fingerprint


def test_what_may_be_wrapped() -> None:
    model = random_esm2()
    adapter = wrap(model, name="mine")
    assert (adapter.name, wrap(model).name) == ("mine", "ESM2 in memory")
    assert wrap(adapter) is adapter
    assert resolve_model((model, model.alphabet)).fingerprint == resolve_model(model).fingerprint
    for wrong in (torch.nn.Linear(2, 2), object(), 3, None):
        with pytest.raises(ModelError, match="is not a model of fair-esm"):
            resolve_model(wrong)
    with pytest.raises(ModelError, match=r"\(model, alphabet\)"):
        resolve_model((model, 1, 2))


def test_an_unfitted_contact_head_is_refused() -> None:
    import esm

    for seed in range(5):
        torch.manual_seed(seed)
        adapter = wrap(esm.ESM2(2, 32, 4))
        assert adapter.has_contact_head is False
        with pytest.raises(ModelError, match="no fitted contact head"):
            adapter.contact_probabilities(RESIDUES, [None])


@pytest.fixture
def precision() -> Iterator[None]:
    switches = [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul]
    yield
    for switch in switches:
        switch.fp32_precision = "none"
    torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("through", ["the older switch", "the newer switch"])
@pytest.mark.usefixtures("precision")
def test_float32_is_full_during_a_pass_and_the_setting_comes_back(
    through: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    matmul = torch.backends.cuda.matmul
    if through == "the older switch":
        torch.set_float32_matmul_precision("medium")
    else:
        matmul.fp32_precision = "tf32"
    assert matmul.fp32_precision == "tf32"
    seen = []
    original = fair_esm_forward.letter_logits
    monkeypatch.setattr(
        fair_esm_forward,
        "letter_logits",
        lambda *given: (seen.append(matmul.fp32_precision), original(*given))[1],
    )
    model = wrap(random_esm2())
    model.logits(model.encode(RESIDUES)[None])
    assert seen == ["ieee"]
    assert matmul.fp32_precision == "tf32"
    with full_float32, full_float32:
        assert matmul.fp32_precision == "ieee"
    assert matmul.fp32_precision == "tf32"
