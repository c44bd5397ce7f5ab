"""What there is to a torch network beside its weights: classes, plain settings, shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

#: Attributes that decide no output of a pass in evaluation mode.
_DECIDES_NOTHING = {"training", "name_or_path", "gradient_checkpointing", "kernel_config"}

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


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)
