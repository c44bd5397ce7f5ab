"""The package fair-esm, and settings of its models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import DependencyError

if TYPE_CHECKING:
    import numpy as np
    import torch


def fair_esm() -> Any:
    """Import the package `esm` of fair-esm.

    Raises
    ------
    DependencyError
        If it is missing, or if the other package of that name is installed in its place.
    """
    try:
        import esm
    except ImportError as error:
        raise DependencyError(f"fair-esm cannot be imported ({error}); run: pip install fair-esm") from error
    if not hasattr(esm, "Alphabet"):
        raise DependencyError(
            "The installed package 'esm' is EvolutionaryScale's, which takes the place of fair-esm; "
            "run: pip uninstall -y esm && pip install --force-reinstall --no-deps fair-esm"
        )
    import esm.pretrained

    return esm


def token_dropout(model: Any) -> bool:
    """Whether embeddings are rescaled by the share of masks.

    ESM-2 has an attribute for it, ESM-1b an argument of its checkpoint.
    """
    settings = getattr(model, "args", None)
    return bool(getattr(model, "token_dropout", getattr(settings, "token_dropout", False)))


def regression_is_fitted(weight: torch.Tensor | np.ndarray, bias: torch.Tensor | np.ndarray) -> bool:
    """Whether a contact head's regression was fitted, not left at its random start.

    torch starts weights and bias within ±1/sqrt(features); a fitted bias (contacts are rare) lies far out.
    """
    start = weight.shape[-1] ** -0.5
    return any(bool(part.max() > start or part.min() < -start) for part in (weight, bias))
