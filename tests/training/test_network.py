"""The training forward pass against fair-esm's own class."""

from __future__ import annotations

import pytest
import torch
from esm.model.esm2 import ESM2

from training import weights
from training.network import EOS, MASK, PAD, Network, Shape, with_ends


@pytest.fixture(scope="module")
def pair() -> tuple[Network, ESM2]:
    torch.manual_seed(0)
    network = Network(Shape(3, 32, 4))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    reference = ESM2(3, 32, 4, alphabet="ESM-1b", token_dropout=True)
    state = network.state_dict()
    missing, unexpected = reference.load_state_dict(
        state | {"lm_head.weight": state["embed_tokens.weight"]}, strict=False
    )
    assert not unexpected
    assert set(missing) == {"contact_head.regression.weight", "contact_head.regression.bias"}
    return network, reference.eval()


def residues(rows: int, length: int) -> torch.Tensor:
    return with_ends(torch.randint(4, 24, (rows, length)))


@torch.no_grad()
def test_forward_is_fair_esm_s(pair: tuple[Network, ESM2]) -> None:
    network, reference = pair
    plain, masked, padded = residues(2, 17), residues(3, 30), residues(4, 23)
    masked[0, 3:9] = MASK
    masked[1, 1:29] = MASK
    padded[1, 20:], padded[1, 19] = PAD, EOS
    padded[2, 9:], padded[2, 8], padded[2, 3] = PAD, EOS, MASK
    groups = [plain, masked, padded]
    expected = torch.cat([reference(group)["logits"].flatten(0, 1) for group in groups])[:, 4:24]
    known = torch.cat([(group != PAD).flatten() for group in groups])
    assert expected[known].abs().max() > 0.5
    torch.testing.assert_close(network(groups)[known], expected[known], atol=1e-5, rtol=0)


@torch.no_grad()
def test_grouping_does_not_change_the_answer(pair: tuple[Network, ESM2]) -> None:
    network, _ = pair
    first, second = residues(2, 12), residues(3, 20)
    torch.testing.assert_close(
        network([first, second]), torch.cat([network([first]), network([second])]), atol=1e-5, rtol=0
    )


@torch.no_grad()
def test_weights_file_loads_into_fair_esm(pair: tuple[Network, ESM2], tmp_path) -> None:
    network, _ = pair
    head = torch.randn(1, 12), torch.randn(1)
    weights.save(tmp_path / "model.safetensors", network, head)
    loaded = weights.load_esm(tmp_path / "model.safetensors")
    tokens = residues(2, 15)
    torch.testing.assert_close(
        loaded(tokens)["logits"].flatten(0, 1)[:, 4:24], network([tokens]), atol=1e-5, rtol=0
    )
    assert torch.equal(loaded.contact_head.regression.weight, head[0])
    again = weights.load_network(tmp_path / "model.safetensors")
    assert torch.equal(again([tokens]), network([tokens]))
