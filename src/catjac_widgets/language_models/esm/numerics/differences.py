"""What numerics that multiply differences from the wild type have in common, whatever the number of bits.

Such numerics try their products on a few of the protein's own mutants first, and leave in float32 what is too
far off.
"""

from __future__ import annotations

import torch

from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.esm.alterations.found import alterations
from catjac_widgets.language_models.esm.prepared import PreparedInput, with_changes

#: A layer stays in float32 if its product of a difference is off by more than this share, root mean square.
LARGEST_LAYER_ERROR = 0.05

#: Mutants on which layers are tried.
SAMPLED_MUTANTS = 8


def check_model(prepared: PreparedInput) -> None:
    """Check that a model's layers can be multiplied by differences.

    Raises
    ------
    ModelError
        If the model is altered, or not in float32.
    """
    model = prepared.model
    if alterations(model) or model.embed_tokens.weight.dtype != torch.float32:
        raise ModelError(
            f"{prepared.name} is altered or not in float32, and numerics='delta' knows fair-esm's own "
            "layers in float32 only; use numerics='exact'."
        )


def sampled_mutants(prepared: PreparedInput) -> torch.Tensor:
    """Tokens (B, T) of a few mutants, spread over the residues and the letters that a person may put."""
    first, length, columns = prepared.residues.start, prepared.length, prepared.columns
    number = SAMPLED_MUTANTS
    places = [first + (2 * row + 1) * length // (2 * number) for row in range(number)]
    letters = [columns[(7 * row) % len(columns)] for row in range(number)]
    return with_changes(prepared.tokens, torch.tensor([places, letters]).t())
