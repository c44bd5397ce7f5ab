"""The weights file: fair-esm's own state_dict in safetensors, and what builds the model again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from esm.model.esm2 import ESM2
from safetensors import safe_open
from safetensors.torch import save_file

from .network import Network, Shape

VERSION = "2"
REGRESSION = "contact_head.regression"


def metadata(shape: Shape) -> dict[str, str]:
    """Make the header that says how to build the model again."""
    fixed = {"format": "catjac-mini", "token_dropout": "true", "alphabet": "ESM-1b", "version": VERSION}
    return fixed | {name: str(value) for name, value in shape.as_dict().items()}


def save(path: Path, network: Network, head: tuple[torch.Tensor, torch.Tensor] | None = None) -> None:
    """Write a network and its contact head: (1, layers * heads) weight and (1,) bias, zeros without one."""
    shape = network.shape
    tensors = {name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}
    weight, bias = head or (torch.zeros(1, shape.num_layers * shape.attention_heads), torch.zeros(1))
    tensors |= {f"{REGRESSION}.weight": weight.contiguous(), f"{REGRESSION}.bias": bias.contiguous()}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata=metadata(shape))
    part.replace(path)


def read(path: Path) -> tuple[Shape, dict[str, torch.Tensor]]:
    """(shape, tensors) of a weights file."""
    with safe_open(path, framework="pt") as stored:
        header = stored.metadata()
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    return Shape(*(int(header[name]) for name in ("num_layers", "embed_dim", "attention_heads"))), tensors


def digest(path: Path) -> str:
    """Fingerprint of a file's tensors; the order of the header's entries may vary from file to file."""
    found = hashlib.sha256()
    for name, tensor in sorted(read(path)[1].items()):
        found.update(name.encode() + tensor.numpy().tobytes())
    return found.hexdigest()[:12]


def load_network(path: Path) -> Network:
    """Our own forward pass with the weights of a file."""
    shape, tensors = read(path)
    network = Network(shape)
    network.load_state_dict(
        {name: tensor for name, tensor in tensors.items() if not name.startswith(REGRESSION)}
    )
    return network.eval()


def load_esm(path: Path) -> ESM2:
    """fair-esm's class with the weights of a file, contact head included."""
    shape, tensors = read(path)
    model = ESM2(
        shape.num_layers, shape.embed_dim, shape.attention_heads, alphabet="ESM-1b", token_dropout=True
    )
    model.load_state_dict(tensors | {"lm_head.weight": tensors["embed_tokens.weight"]})
    return model.eval()
