"""Fingerprint of a fair-esm model in memory: its weights, settings, and what of it was altered."""

from __future__ import annotations

import functools
import hashlib
import json
import uuid
import weakref
from typing import TYPE_CHECKING, Any

from catjac_widgets.language_models.esm.alterations.found import Alterations
from catjac_widgets.language_models.esm.alterations.stock import fair_esm, token_dropout
from catjac_widgets.language_models.fingerprints import content_hash, weights_sha256
from catjac_widgets.proteins.alphabets import ESM_LETTERS

if TYPE_CHECKING:
    import torch

#: Stands in for code that was replaced for all models of this process.
_THIS_PROCESS = uuid.uuid4().hex

#: Stands in for what cannot be seen of one model.
_THIS_MODEL: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()

#: Tokens whose rows of the vocabulary decide outputs beside those of the letters.
_SPECIAL = ("padding_idx", "mask_idx", "cls_idx", "eos_idx")


def policies(model: Any, alphabet: Any) -> dict[str, Any]:
    """List the settings beside the weights that change the outputs.

    The vocabulary is among them where it is not the one that such a model is trained with.
    """
    found = {
        "class": type(model).__qualname__,
        "version": getattr(model, "model_version", "ESM-2"),
        "heads": heads_of(model),
        "token_dropout": token_dropout(model),
        "start_token": bool(model.prepend_bos),
        "end_token": bool(model.append_eos),
    }
    usual = _usual_vocabulary("ESM-1" if found["version"] == "ESM-1" else "ESM-1b")
    used = [getattr(model, name, None) for name in _SPECIAL], _vocabulary(alphabet)
    if used != (usual[: len(_SPECIAL)], usual):
        found["vocabulary"] = repr(used)
    return found


def heads_of(model: Any) -> int:
    """Attention heads of a layer; where somebody's own class does not tell, those of the model, or 0."""
    return int(getattr(model.layers[0], "attention_heads", getattr(model, "attention_heads", 0)))


def _vocabulary(alphabet: Any) -> list[Any]:
    """Rows of the special tokens and of the letters."""
    special = [getattr(alphabet, name, None) for name in _SPECIAL]
    return [*special, *(alphabet.get_idx(letter) for letter in ESM_LETTERS)]


@functools.cache
def _usual_vocabulary(version: str) -> list[Any]:
    return _vocabulary(fair_esm().Alphabet.from_architecture(version))


def of_model(model: torch.nn.Module, settings: dict[str, Any], found: Alterations) -> str:
    """Fingerprint of what can be seen of a model in memory: weights, policies, and what was altered."""
    parts = {
        "weights": weights_sha256(model),
        "policies": settings,
        "code": [*found.unlike, *found.settings],
    }
    return f"memory:{_sha256(parts)}"


def of_vouched(given: str, known: str, found: Alterations) -> str:
    """Fingerprint of a model whose owner stands in for what cannot be seen of it.

    Parameters
    ----------
    given
        The owner's text.
    known
        Fingerprint of the rest.
    """
    return f"given:{_sha256([given, known, found.hidden])}"


def of_unseen(model: torch.nn.Module, settings: dict[str, Any], found: Alterations) -> str:
    """Something that tells this model from others in this process, and stays while its parameters do.

    It is no fingerprint to keep anything by.
    """
    try:
        weights = [
            (name, str(tensor.dtype), list(tensor.shape), content_hash(tensor))
            for name, tensor in model.named_parameters()
        ]
    except Exception:  # whatever somebody's own tensors raise when they are read
        weights = []
    token = _THIS_MODEL.setdefault(model, uuid.uuid4().hex) if found.unseen else _THIS_PROCESS
    return f"unseen:{token}:{_sha256([weights, settings, found.own, found.marks])}"


def of_patched(known: str) -> str:
    """Tell a model that is known by its file from itself, where code was replaced for all models."""
    return f"unseen:{_THIS_PROCESS}:{known}"


def _sha256(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
