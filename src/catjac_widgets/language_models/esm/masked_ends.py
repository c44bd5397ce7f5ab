"""A model without its start and end tokens: both are replaced by the mask token.

The nearby-pair experiments of Zhang et al. (2024), PNAS 121:e2406285121, run so. The residues' rows stay
where they are, and token dropout counts two more masks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from catjac_widgets.errors import MaskError, ModelError
from catjac_widgets.language_models.base import LanguageModel
from catjac_widgets.language_models.esm.adapter import FairEsm
from catjac_widgets.language_models.esm.published import ENDS_MASKED, MASKED_ENDS

if TYPE_CHECKING:
    import torch

    from catjac_widgets.proteins.masks import Mask


class MaskedEnds(FairEsm):
    """A fair-esm model whose start and end tokens are mask tokens; shares the weights of the plain one."""

    def __init__(self, plain: FairEsm) -> None:
        super().__init__(
            plain.model,
            plain.alphabet,
            name=f"{MASKED_ENDS}:{plain.name}",
            file_fingerprint=plain.file_fingerprint,
            contact_head=plain.contact_head_loaded,
            fingerprint=plain.vouched,
        )

    @property
    def fingerprint(self) -> str:
        """See `LanguageModel.fingerprint`; never that of the plain model."""
        return f"{super().fingerprint}{ENDS_MASKED}"

    def encode(self, residues: str, mask: Mask | None = None) -> torch.Tensor:
        """See `FairEsm.encode`; the first and the last token are mask tokens.

        Raises
        ------
        MaskError
            If every residue is masked as well: token dropout then divides by 0.
        """
        if mask is not None and all(mask.masked):
            raise MaskError(f"With every residue masked {self.name} sees no token at all; show one or more.")
        tokens = super().encode(residues, mask)
        outside = [*range(self._first), *range(self._first + len(residues), len(tokens))]
        tokens[outside] = self.alphabet.mask_idx
        return tokens


def masked_ends(model: LanguageModel) -> LanguageModel:
    """Give the same model with mask tokens in place of its start and end tokens.

    Raises
    ------
    ModelError
        If it is no model of fair-esm, whose ends are known.
    """
    if isinstance(model, MaskedEnds):
        return model
    if not isinstance(model, FairEsm):
        raise ModelError(
            f"{model.name} is no model of fair-esm, so its start and end tokens cannot be masked; pass "
            "masked_ends=False."
        )
    return MaskedEnds(model)
