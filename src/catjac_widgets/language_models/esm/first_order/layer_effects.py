"""What an approximate Jacobian keeps of one layer until its direct effects are added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catjac_widgets.language_models.esm.first_order.backward import BackwardBlock

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class LayerEffects:
    """What is kept of one layer of the wild type, and of the mutants' own tokens in it.

    Attributes
    ----------
    query, value, mixture
        Of the wild type's residues, (H, L, D); queries are scaled.
    weights
        Attention among residues (L, L, H): of the first on the second.
    key_change, value_change
        Of the mutated token, (H, D, L, A) and (L, A, H, D).
    block
        The layer backwards.
    """

    query: Tensor
    value: Tensor
    mixture: Tensor
    weights: Tensor
    key_change: Tensor
    value_change: Tensor
    block: BackwardBlock
