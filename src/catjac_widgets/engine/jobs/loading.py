"""Loading the model of a request, when rows turn out to be missing."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from catjac_widgets.engine.cache.store import cache
from catjac_widgets.errors import ModelError

if TYPE_CHECKING:
    from catjac_widgets.engine.plans.request import JacobianRequest
    from catjac_widgets.language_models.base import LanguageModel

#: Models that this process has loaded by name, to count each once.
_LOADED: weakref.WeakValueDictionary[int, LanguageModel] = weakref.WeakValueDictionary()


def load_for(request: JacobianRequest) -> LanguageModel:
    """Return the model of a request, loading (and counting) it if it was given by name or path.

    Raises
    ------
    ModelError
        If it cannot be loaded, or its weights are no longer those that the request was made for.
    """
    from catjac_widgets.language_models.registry import resolve_model

    by_name = isinstance(request.model, str | Path)
    made = resolve_model(request.model)
    if by_name and _LOADED.get(id(made)) is not made:
        _LOADED[id(made)] = made
        cache.count(models_loaded=1)
    # Rows of other weights must not be kept under this key.
    if made.fingerprint != request.identity.fingerprint:
        what = "The checkpoint of" if by_name else "The model"
        raise ModelError(f"{what} {request.identity.name} changed since it was asked for; ask again.")
    return made
