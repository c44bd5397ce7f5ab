"""What there is to a network of transformers beside its weights: classes, settings, positions."""

from __future__ import annotations

import functools
import hashlib
import json
from importlib import metadata
from typing import TYPE_CHECKING, Any

from catjac_widgets.language_models.adapters.network_structure import structure_of

if TYPE_CHECKING:
    import torch

#: Settings that only describe.
_DESCRIBES = ("transformers_version", "_name_or_path", "architectures", "dtype", "torch_dtype")


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
