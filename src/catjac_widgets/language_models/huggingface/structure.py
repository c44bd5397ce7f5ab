"""What there is to a network of transformers beside its weights: classes, settings, positions."""

from __future__ import annotations

import functools
import hashlib
import json
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

#: Attributes that decide no output of a pass in evaluation mode, and settings that only describe.
_DECIDES_NOTHING = {"training", "name_or_path", "gradient_checkpointing", "kernel_config"}
_DESCRIBES = ("transformers_version", "_name_or_path", "architectures", "dtype", "torch_dtype")

_PLAIN = (bool, int, float, str, type(None))


def structure_of(network: torch.nn.Module) -> list[Any]:
    """List modules with their classes and plain settings, and parameters with their shapes."""
    modules = []
    for name, module in network.named_modules(remove_duplicate=False):
        kind = type(module)
        settings = {
            key: value
            for key, value in vars(module).items()
            if not key.startswith("_") and key not in _DECIDES_NOTHING and _is_plain(value)
        }
        modules.append([name, f"{kind.__module__}.{kind.__qualname__}", settings])
    parameters = network.named_parameters(remove_duplicate=False)
    return [modules, [[name, list(parameter.shape)] for name, parameter in parameters]]


def settings_of(network: Any) -> dict[str, Any]:
    """Tell what decides a network's outputs beside its weights: structure, configuration, and whose code.

    Its code is that of transformers, known by its version.
    """
    configuration: Any = getattr(network, "config", None)
    told = configuration.to_dict() if hasattr(configuration, "to_dict") else {}
    described = {key: value for key, value in told.items() if key not in _DESCRIBES}
    content = json.dumps([structure_of(network), described], sort_keys=True, default=str)
    return {
        "class": type(network).__qualname__,
        "structure": hashlib.sha256(content.encode()).hexdigest(),
        "transformers": metadata.version("transformers"),
    }


def without_weights(configuration: Any, *, trusted: bool = False) -> Any:
    """Build the masked language model of a configuration, its weights without values or memory."""
    import torch
    from transformers import AutoModelForMaskedLM

    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return AutoModelForMaskedLM.from_config(configuration, trust_remote_code=trusted).eval()


def as_built(configuration: Any) -> list[Any]:
    """Give the structure that transformers itself builds of a configuration."""
    kind: Any = type(configuration)
    return _as_built(kind, json.dumps(configuration.to_dict(), sort_keys=True, default=str))


@functools.lru_cache(maxsize=16)
def _as_built(kind: Any, told: str) -> list[Any]:
    return structure_of(without_weights(kind.from_dict(json.loads(told))))


def most_tokens(network: torch.nn.Module) -> int | None:
    """Tell how many tokens learned positions allow; None where there are no learned positions."""
    import torch

    for name, module in network.named_modules():
        table = name.rpartition(".")[2] in ("position_embeddings", "embed_positions", "wpe")
        if table and isinstance(module, torch.nn.Embedding):
            # With a padding token, positions are counted from behind it.
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - unused
    return None


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)
