"""A model that gives no numbers is refused everywhere, with a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from checkpoints import random_esm2

import catjac
from catjac_widgets.analysis.likelihood.masked_perplexity import masked_perplexity
from catjac_widgets.errors import ModelError

RESIDUES = "MKTAYIAKQR"

ASKED: dict[str, Callable[[Any], Any]] = {
    "jacobian": lambda model: catjac.jacobian(RESIDUES, model, progress=False),
    "contact_head": lambda model: catjac.contact_head(RESIDUES, model),
    "contact_head under a mask": lambda model: catjac.contact_head(
        RESIDUES, model, mask=catjac.Mask.showing(RESIDUES, [(2, 6)])
    ),
    **{
        f"pseudo_perplexity {method} {letters}": lambda model, method=method, letters=letters: (
            catjac.pseudo_perplexity(RESIDUES, model, method=method, letters=letters, progress=False)
        )
        for method in ("masked", "wild_type")
        for letters in (20, 33)
    },
    **{
        f"marginals {method}": lambda model, method=method: catjac.marginals(
            RESIDUES, model, method, progress=False
        )
        for method in ("masked", "wild_type", "approximate")
    },
    "masked_perplexity 20": lambda model: masked_perplexity(RESIDUES, model, samples=2, progress=False),
    "masked_perplexity 33": lambda model: masked_perplexity(
        RESIDUES, model, samples=2, letters=33, progress=False
    ),
    "double_mutants": lambda model: catjac.double_mutants(RESIDUES, model, pairs=[(2, 5)], progress=False),
}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("asked", ASKED)
def test_weights_that_are_no_numbers_are_refused(asked: str, value: float, own_cache: Any) -> None:
    model = random_esm2()
    with torch.no_grad():
        model.layers[0].fc1.weight[0, 0] = value
        model.contact_head.regression.weight.fill_(1.0)
    with pytest.raises(ModelError, match="not finite"):
        ASKED[asked](model)
