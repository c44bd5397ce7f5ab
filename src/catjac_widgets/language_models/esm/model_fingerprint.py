"""Fingerprint of a fair-esm model in memory: its weights, settings, and code where that was altered."""

from __future__ import annotations

import hashlib
import inspect
import json
import uuid
from typing import TYPE_CHECKING, Any

from catjac_widgets.language_models.esm.stock import altered_modules, token_dropout
from catjac_widgets.language_models.fingerprints import weights_sha256

if TYPE_CHECKING:
    import torch

#: Stands in for code that cannot be named (a hook, say): such results are good for this process only.
_THIS_PROCESS = uuid.uuid4().hex


def policies(model: Any) -> dict[str, Any]:
    """List the settings beside the weights that change the outputs."""
    return {
        "class": type(model).__qualname__,
        "version": getattr(model, "model_version", "ESM-2"),
        "heads": int(model.layers[0].attention_heads),
        "token_dropout": token_dropout(model),
        "start_token": bool(model.prepend_bos),
        "end_token": bool(model.append_eos),
    }


def of_model(model: torch.nn.Module) -> str:
    """Fingerprint of a model in memory: weights, policies, and its code where that is not fair-esm's own."""
    parts = {"weights": weights_sha256(model), "policies": policies(model), "code": code_identity(model)}
    return "memory:" + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def code_identity(model: torch.nn.Module) -> list[str]:
    """Name what was altered in a model; with a token of this process where code cannot be named."""
    altered = altered_modules(model)
    if not altered:
        return []
    sources = set()
    for module in model.modules():
        if type(module).__module__.startswith(("torch.", "esm.")):
            continue
        try:
            source = inspect.getsource(type(module))
        except (OSError, TypeError):
            source = _THIS_PROCESS
        simple = {
            key: value
            for key, value in vars(module).items()
            if isinstance(value, str | int | float | bool | None) and key != "training"
        }
        sources.add(hashlib.sha256(f"{source}|{sorted(simple.items())!r}".encode()).hexdigest())
    unnamed = [_hook_ids(model), _THIS_PROCESS] if any("hook" in text for text in altered) else []
    return [*altered, *sorted(sources), *map(str, unnamed)]


def _hook_ids(model: torch.nn.Module) -> list[tuple[str, list[int], list[int], int]]:
    """Hooks by torch's running number (used once in a process), replaced `forward`s by their identity."""
    return [
        (name, list(module._forward_hooks), list(module._forward_pre_hooks), id(vars(module).get("forward")))
        for name, module in model.named_modules()
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    ]
