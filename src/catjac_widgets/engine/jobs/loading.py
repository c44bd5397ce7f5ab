"""Loading the model that rows were asked of, when rows turn out to be missing."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.engine.cache.store import cache
from catjac_widgets.errors import ModelError

if TYPE_CHECKING:
    from catjac_widgets.language_models.base import LanguageModel

#: Models that this process has loaded by name, to count each once.
_LOADED: weakref.WeakValueDictionary[int, LanguageModel] = weakref.WeakValueDictionary()


def load_for(model: Any, name: str, fingerprint: str) -> LanguageModel:
    """Return a model, loading (and counting) it if it was given by name or path.

    Parameters
    ----------
    model
        A name or path, or a language model.
    name, fingerprint
        What its identity said when the key was made.

    Raises
    ------
    ModelError
        If it cannot be loaded, or its weights are no longer those that the key was made for.
    """
    from catjac_widgets.language_models.registry import resolve_model

    by_name = isinstance(model, str | Path)
    made = resolve_model(model)
    if by_name and _LOADED.get(id(made)) is not made:
        _LOADED[id(made)] = made
        cache.count(models_loaded=1)
    # Rows of other weights must not be kept under this key.
    if made.fingerprint != fingerprint:
        what = "The checkpoint of" if by_name else "The model"
        raise ModelError(f"{what} {name} changed since it was asked for; ask again.")
    return made
