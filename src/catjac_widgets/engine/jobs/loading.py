"""Loading the model of a plan, when rows turn out to be missing."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.engine.cache.store import cache
from catjac_widgets.errors import ModelError

if TYPE_CHECKING:
    from catjac_widgets.engine.plans.jacobian import Plan
    from catjac_widgets.language_models.base import LanguageModel

#: Models that this process has loaded by name, to count each once.
_LOADED: weakref.WeakValueDictionary[int, LanguageModel] = weakref.WeakValueDictionary()


def load_for(plan: Plan, model: Any) -> LanguageModel:
    """Return the model of a plan, loading (and counting) it if it was given by name or path.

    Raises
    ------
    ModelError
        If it cannot be loaded, or its checkpoint is no longer the one that the plan was made for.
    """
    from catjac_widgets.language_models.base import LanguageModel
    from catjac_widgets.language_models.registry import resolve_model

    if isinstance(model, LanguageModel):
        return model
    made = resolve_model(model)
    if isinstance(model, str | Path):
        if _LOADED.get(id(made)) is not made:
            _LOADED[id(made)] = made
            cache.count(models_loaded=1)
        if made.fingerprint != plan.fingerprint:
            raise ModelError(f"The checkpoint of {plan.model} changed while it was read; call again.")
    return made
