"""The models that benchmarks run: `mini`, and random weights in the shapes of the published ESM-2."""

from __future__ import annotations

import copy
from typing import Any

import torch

from catjac_widgets.language_models.devices import place
from catjac_widgets.language_models.esm.adapter import FairEsm

#: Layers, channels, attention heads of ESM-2 (Lin et al., Science 2023, table S1).
SHAPES = {
    "8M": (6, 320, 20),
    "35M": (12, 480, 20),
    "150M": (30, 640, 20),
    "650M": (33, 1280, 20),
    "3B": (36, 2560, 40),
}


def random_model(name: str, device: str) -> FairEsm:
    """Make an ESM-2 of that shape with random weights, or `mini`."""
    if name == "mini":
        from catjac_widgets.language_models.registry import load_model

        found = load_model("mini", device=device)
        assert isinstance(found, FairEsm)
        return found
    import esm

    torch.manual_seed(0)
    layers, channels, heads = SHAPES[name]
    alphabet = esm.Alphabet.from_architecture("ESM-1b")
    with torch.device(device):
        model = esm.model.esm2.ESM2(layers, channels, heads, alphabet)
    return FairEsm(model.eval().to(device), name=name)


def in_half(model: FairEsm) -> FairEsm:
    """Copy a model to float16."""
    half = place(copy.deepcopy(model.model), model.name, model.device, torch.float16)
    return FairEsm(half, model.alphabet, name=f"{model.name} in float16")


def some_residues(length: int) -> str:
    """Repeat an example up to that length, so that `mini` has something that it knows."""
    import catjac

    known = str(catjac.examples()["fibronectin"].sequence.residues)
    return (known * (length // len(known) + 1))[:length]


def layer_operations(model: Any, length: int) -> float:
    """Operations of one sequence in the layers' matrix products, attention's included."""
    layer = model.layers[0]
    dense = 2.0 * (4 * layer.embed_dim**2 + 2 * layer.embed_dim * layer.ffn_embed_dim) * (length + 2)
    return len(model.layers) * (dense + 4.0 * layer.embed_dim * (length + 2) ** 2)
