"""Adapter for ESM-2 and ESM-1b of transformers that runs them in fair-esm's form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.adapters.encoding import Encoding
from catjac_widgets.language_models.base import Runner
from catjac_widgets.language_models.esm.adapter import FairEsm
from catjac_widgets.language_models.huggingface.adapter import EsmNetwork, MaskedNetwork, no_contact_head
from catjac_widgets.language_models.huggingface.esm_form import EsmForm, fits

if TYPE_CHECKING:
    import torch

    from catjac_widgets.proteins.masks import Mask


class TransformersEsm(FairEsm):
    """ESM-2 or ESM-1b of transformers through our own kernels, as long as nobody alters its code.

    Parameters
    ----------
    network
        An ``EsmForMaskedLM`` that `esm_form.fits`.
    encoding
        How its tokenizer writes residues.
    name, file_fingerprint, contact_head, fingerprint
        See `FairEsm`.

    Notes
    -----
    The fair-esm model is made of the network's own parameters. Where the network is altered later in ways
    that fair-esm cannot follow (a hook, a layer replaced), it runs through its own code from then on.
    """

    def __init__(
        self,
        network: Any,
        encoding: Encoding,
        *,
        name: str,
        file_fingerprint: str | None = None,
        contact_head: bool | None = None,
        fingerprint: str | None = None,
    ) -> None:
        self.network = network
        self._form = EsmForm(network, encoding)
        self._own = EsmNetwork(
            network, encoding, name=name, fingerprint=fingerprint, contact_head=contact_head
        )
        super().__init__(
            self._form.model,
            self._form.alphabet,
            name=name,
            file_fingerprint=file_fingerprint,
            contact_head=contact_head,
            fingerprint=fingerprint,
        )

    @property
    def fingerprint(self) -> str:
        """See `LanguageModel.fingerprint`."""
        return super().fingerprint if self._form.holds() else self._own.fingerprint

    @property
    def unseen(self) -> str:
        """See `LanguageModel.unseen`."""
        return super().unseen if self._form.holds() else self._own.unseen

    @property
    def changed(self) -> bool:
        """See `LanguageModel.changed`."""
        return not self._form.holds() or super().changed

    @property
    def altered_with(self) -> object:
        """See `LanguageModel.altered_with`."""
        return self.network

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `LanguageModel.logits`."""
        return super().logits(tokens) if self._form.holds() else self._own.logits(tokens)

    def vocabulary_logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `WholeVocabulary.vocabulary_logits`.

        Raises
        ------
        ModelError
            If the network was altered.
        """
        self._refuse_altered("the logits of its whole vocabulary are not told then")
        return super().vocabulary_logits(tokens)

    def prepare(self, residues: str, mask: Mask | None = None, numerics: str = "exact") -> Runner:
        """See `LanguageModel.prepare`."""
        if self._form.holds():
            return super().prepare(residues, mask, numerics)
        return self._own.prepare(residues, mask, numerics)

    def contact_probabilities(self, residues: str, masks: list[Mask | None]) -> np.ndarray:
        """See `ContactHead.contact_probabilities`; equals transformers' `predict_contacts`.

        Raises
        ------
        ModelError
            If its contact head was never fitted.
        """
        if not self._form.holds():
            return self._own.contact_probabilities(residues, masks)
        if not self.has_contact_head:
            raise ModelError(no_contact_head(self.name))
        return super().contact_probabilities(residues, masks)

    def first_order(
        self, residues: str, mask: Mask | None = None, stages: Iterable[int] = (3,)
    ) -> Iterator[tuple[int, np.ndarray] | None]:
        """See `FirstOrderModel.first_order`.

        Raises
        ------
        ModelError
            If the network was altered, or is in 16-bit floats.
        """
        self._refuse_altered("previews know fair-esm's own layers only")
        return super().first_order(residues, mask, stages)

    def _refuse_altered(self, why: str) -> None:
        if not self._form.holds():
            raise ModelError(f"{self.name} was altered, and {why}.")


def adapter_of(
    network: Any,
    encoding: Encoding,
    *,
    name: str,
    file_fingerprint: str | None = None,
    fingerprint: str | None = None,
    remote_code: bool = False,
    contact_head: bool | None = None,
) -> FairEsm | MaskedNetwork:
    """Choose the adapter of a network of transformers: through our kernels where fair-esm has the same model.

    See the classes for the parameters.
    """
    given: dict[str, Any] = {
        "name": name,
        "file_fingerprint": file_fingerprint,
        "fingerprint": fingerprint,
    }
    if fits(network, encoding):
        return TransformersEsm(network, encoding, contact_head=contact_head, **given)
    if has_esm_contact_head(network):
        return EsmNetwork(network, encoding, contact_head=contact_head, remote_code=remote_code, **given)
    return MaskedNetwork(network, encoding, remote_code=remote_code, **given)


def has_esm_contact_head(network: Any) -> bool:
    """Whether a network is made of transformers' `EsmForMaskedLM`, with its contact head in its place."""
    head = getattr(getattr(network, "esm", None), "contact_head", None)
    return hasattr(network, "predict_contacts") and hasattr(head, "regression")
