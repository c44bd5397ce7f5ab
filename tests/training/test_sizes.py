"""The small checkpoints of different sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import catjac
from training import sizes, weights
from training.families import LETTERS
from training.network import Network, Shape, with_ends

SHIPPED = sorted(sizes.FOLDER.glob("*.safetensors"))


def test_a_shipped_file_opens_and_answers_as_the_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = Shape(2, 32, 4)
    network = Network(shape).eval()
    weights.save(tmp_path / "whole.safetensors", network, (torch.randn(1, 8), torch.randn(1)))
    target = tmp_path / "sizes" / "half.safetensors"
    sizes.ship(tmp_path / "whole.safetensors", target, shape)
    assert target.stat().st_size < 0.6 * (tmp_path / "whole.safetensors").stat().st_size
    model = catjac.load_model(target, device="cpu")
    assert model.has_contact_head
    states = torch.randint(0, 20, (30,))
    with torch.no_grad():
        expected = network([with_ends(states[None] + 4)])[1:-1]
    sequence = "".join(LETTERS[state] for state in states)
    found = model.prepare(sequence).wild_type()
    order = [model.letters.index(letter) for letter in LETTERS]
    # Half precision rounds each weight by up to 2^-11 of its size.
    np.testing.assert_allclose(np.asarray(found)[:, order], expected.numpy(), atol=0.05)


@pytest.mark.skipif(not SHIPPED, reason="the small checkpoints are not in this checkout")
def test_shipped_sizes_are_three_and_small() -> None:
    assert {path.stem for path in SHIPPED} == set(sizes.SHAPES)
    assert sum(path.stat().st_size for path in SHIPPED) <= 1.5e6
    for path in SHIPPED:
        assert catjac.load_model(path, device="cpu").has_contact_head
