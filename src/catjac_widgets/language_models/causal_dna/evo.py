"""Evo 1 and Evo 2: their own code, asked for logits; not run by those who wrote this."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import DependencyError, DeviceError, ModelError
from catjac_widgets.language_models.adapters.encoding import Encoding
from catjac_widgets.language_models.base import EXACT, Numerics
from catjac_widgets.language_models.causal_dna.wrapping import CausalNetwork
from catjac_widgets.language_models.identity import ModelIdentity
from catjac_widgets.language_models.weights.remote_code import how_to_allow, may_run_code
from catjac_widgets.proteins.alphabets import DNA_LETTERS

if TYPE_CHECKING:
    import torch

    from catjac_widgets.language_models.causal_dna.hosted import Hosted


#: The revision that the authors name for use through transformers.
_REVISION = "1.1_fix"

#: In which numbers Evo 2 runs; its package decides.
_OF_ITS_OWN = Numerics(
    "bfloat16",
    "as the model's own package runs it: bfloat16, in part FP8",
    approximate=False,
    devices=("cuda",),
    asked_as=("exact",),
)


class Evo(CausalNetwork):
    """A model whose code came with it: what it computes is not kept, because that code may change.

    Parameters
    ----------
    network, encoding
        See `NetworkModel`.
    hosted
        Which one.
    unseen
        See `LanguageModel.unseen`.
    numerics
        In which it runs.
    """

    def __init__(
        self, network: Any, encoding: Encoding, hosted: Hosted, unseen: str, numerics: tuple[Numerics, ...]
    ) -> None:
        super().__init__(network, encoding, name=hosted.name, max_residues=hosted.context, causal=True)
        self._unseen, self.numerics = unseen, numerics

    @property
    def fingerprint(self) -> str:
        """Its name: billions of weights are not read for what is not kept anyway."""
        return fingerprint_of(self.name)

    @property
    def unseen(self) -> str:
        """See `LanguageModel.unseen`."""
        return self._unseen


def fingerprint_of(name: str) -> str:
    """Fingerprint of a model of which nothing is kept."""
    return f"hosted:{name}"


class _Source(ABC):
    """What both have in common; see `Source`."""

    numerics: tuple[Numerics, ...]

    def __init__(self, hosted: Hosted) -> None:
        self._hosted = hosted

    @property
    @abstractmethod
    def _unseen(self) -> str:
        """Say whose code it runs, see `LanguageModel.unseen`."""

    def identity(self) -> ModelIdentity:
        """See `Source`; nothing is downloaded."""
        return ModelIdentity(
            self._hosted.name,
            fingerprint_of(self._hosted.name),
            DNA_LETTERS,
            self._hosted.context,
            has_contact_head=False,
            numerics=self.numerics,
            unseen=self._unseen,
            causal=True,
            has_mask_token=False,
        )


class Evo1Source(_Source):
    """Evo 1 through transformers; see `Source`."""

    numerics = (EXACT,)

    @property
    def _unseen(self) -> str:
        return f"the code in {self._hosted.place}"

    def load(self, device: torch.device, dtype: torch.dtype) -> Evo:
        """See `Source`.

        Raises
        ------
        ModelError
            If nobody allowed the code of its repository to run.
        """
        place = self._hosted.place
        if not may_run_code(place):
            raise ModelError(
                f"{self._hosted.name} runs code that is downloaded from huggingface.co/{place}; "
                f"{how_to_allow(place)}."
            )
        try:
            from transformers import AutoModelForCausalLM
        except ImportError as error:
            raise DependencyError(
                f"{self._hosted.name} needs the package transformers; run: pip install transformers"
            ) from error
        network: Any = AutoModelForCausalLM.from_pretrained(
            place, revision=_REVISION, trust_remote_code=True, torch_dtype=dtype
        )
        # Bytes of text; 0 ends a document, and stands before the next one.
        encoding = Encoding(DNA_LETTERS, tuple(map(ord, DNA_LETTERS)), prefix=(0,), shift=1)
        return Evo(network.to(device).eval(), encoding, self._hosted, self._unseen, self.numerics)


class Evo2Source(_Source):
    """Evo 2 through its own package; see `Source`."""

    numerics = (_OF_ITS_OWN,)

    @property
    def _unseen(self) -> str:
        return "the package evo2"

    def load(self, device: torch.device, dtype: torch.dtype) -> Evo:
        """See `Source`; the package puts the model onto GPUs by itself, in numbers of its own choice.

        Raises
        ------
        DependencyError, DeviceError
            If the package cannot be imported, or there is no GPU.
        """
        if device.type != "cuda":
            raise DeviceError(f"{self._hosted.name} runs on CUDA only; choose device='cuda'.")
        try:
            loaded = import_module("evo2").Evo2(self._hosted.place)
        except ImportError as error:
            raise DependencyError(
                f"{self._hosted.name} needs the package evo2 ({error}); run: pip install evo2"
            ) from error
        tokens = tuple(int(loaded.tokenizer.tokenize(letter)[0]) for letter in DNA_LETTERS)
        encoding = Encoding(DNA_LETTERS, tokens, prefix=(int(loaded.tokenizer.eod_id),), shift=1)
        return _Evo2(loaded.model, encoding, self._hosted, self._unseen, self.numerics)


class _Evo2(Evo):
    """Evo 2's network gives logits and what it keeps for the next token."""

    def all_logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `NetworkModel.all_logits`."""
        logits, _ = self.network(tokens)
        return logits
