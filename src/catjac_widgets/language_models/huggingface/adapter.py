"""Adapter for masked language models of transformers, through their own forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.adapters.encoding import Encoding
from catjac_widgets.language_models.adapters.network import NetworkModel
from catjac_widgets.language_models.adapters.running import evaluating, full_float32
from catjac_widgets.language_models.huggingface.structure import most_tokens, settings_of

if TYPE_CHECKING:
    import torch

    from catjac_widgets.proteins.masks import Mask

#: Of a network without a configuration that tells its sizes.
_WIDTH, _HIDDEN, _HEADS = 1024, 4096, 16


class MaskedNetwork(NetworkModel):
    """A masked language model of transformers, used where it is; left in the mode it was found in.

    Parameters
    ----------
    network
        Any ``AutoModelForMaskedLM``: called with `input_ids` and `attention_mask`, gives `logits`.
    encoding
        How its tokenizer writes residues.
    name, file_fingerprint, fingerprint
        See `NetworkModel`.
    remote_code
        Whether its classes came with its weights and are part of `file_fingerprint`.
    """

    def __init__(
        self,
        network: Any,
        encoding: Encoding,
        *,
        name: str,
        file_fingerprint: str | None = None,
        fingerprint: str | None = None,
        remote_code: bool = False,
    ) -> None:
        super().__init__(
            network,
            encoding,
            name=name,
            settings=settings_of(network),
            file_fingerprint=file_fingerprint,
            fingerprint=fingerprint,
            max_residues=longest(network, encoding),
        )
        if remote_code:
            self.seen_through = (*self.seen_through, "transformers_modules")

    @property
    def fingerprint(self) -> str:
        """See `LanguageModel.fingerprint`; settings of the network are part of it as they are now."""
        self.settings = settings_of(self.network)
        return super().fingerprint

    @property
    def changed(self) -> bool:
        """See `LanguageModel.changed`."""
        return super().changed or self.settings != settings_of(self.network)

    def all_logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `NetworkModel.all_logits`; token dropout counts the tokens of the attention mask."""
        import torch

        return self.network(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits

    def row_bytes(self, length: int) -> int:
        """See `LanguageModel.row_bytes`."""
        told = getattr(self.network, "config", None)
        width = int(getattr(told, "hidden_size", None) or _WIDTH)
        hidden = int(getattr(told, "intermediate_size", None) or _HIDDEN)
        heads = int(getattr(told, "num_attention_heads", None) or _HEADS)
        columns = int(getattr(told, "vocab_size", None) or len(self.letters))
        tokens, size = length + 2, self.dtype.itemsize
        maps = 2 * heads * tokens**2 if getattr(told, "_attn_implementation", "") == "eager" else 0
        return size * (tokens * (8 * width + 2 * hidden + columns) + maps) + 4 * length * len(self.letters)

    def seconds_per_sequence(self, length: int) -> float:
        """See `LanguageModel.seconds_per_sequence`."""
        import torch

        work = 2.0 * self.parameters * (length + 2)
        return work / (2e10 * torch.get_num_threads() if self.device.type == "cpu" else 1e13)


class EsmNetwork(MaskedNetwork):
    """ESM-2 or ESM-1b of transformers through their own code, with the contact head.

    Parameters
    ----------
    contact_head
        Whether the contact head's regression was loaded; None looks at its weights.
    others
        See `MaskedNetwork`.
    """

    def __init__(
        self, network: Any, encoding: Encoding, *, contact_head: bool | None = None, **others: Any
    ) -> None:
        super().__init__(network, encoding, **others)
        self._contact_head = contact_head

    @property
    def has_contact_head(self) -> bool:
        """Whether it has a contact head whose regression was fitted, not left at its random start."""
        if self._contact_head is not None:
            return self._contact_head
        from catjac_widgets.language_models.esm.alterations.stock import regression_is_fitted

        regression = self.network.esm.contact_head.regression  # type: ignore[union-attr]
        return regression_is_fitted(regression.weight, regression.bias)  # type: ignore[union-attr, arg-type]

    def contact_probabilities(self, residues: str, masks: list[Mask | None]) -> np.ndarray:
        """See `ContactHead.contact_probabilities`; transformers' `predict_contacts`.

        Raises
        ------
        ModelError
            If its contact head was never fitted.
        """
        import torch

        if not self.has_contact_head:
            raise ModelError(no_contact_head(self.name))
        tokens = torch.stack([self.encode(residues, mask) for mask in masks or [None]]).to(self.device)
        network: Any = self.network
        with evaluating(network), _attention_told(network), full_float32, torch.no_grad():
            found = [network.predict_contacts(each[None], torch.ones_like(each[None])) for each in tokens]
        return torch.cat(found).float().cpu().numpy()[: len(masks)]


def no_contact_head(name: str) -> str:
    """Say that a model's contact head is none."""
    return (
        f"{name} has no fitted contact head (its weights hold no esm.contact_head.regression, or one that "
        "was left at its random start); use contacts of the Jacobian, or a model that has one."
    )


def longest(network: Any, encoding: Encoding) -> int | None:
    """Give the most residues that a network's positions allow, or None."""
    tokens = most_tokens(network)
    return None if tokens is None else tokens - len(encoding.prefix) - len(encoding.suffix)


@contextmanager
def _attention_told(network: Any) -> Iterator[None]:
    """Let a network compute attention in the one way that tells its weights; then as before."""
    before = network.config._attn_implementation
    network.config._attn_implementation = "eager"
    try:
        yield
    finally:
        network.config._attn_implementation = before
