"""A torch network as a language model: tokens to logits, one token a residue."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from catjac_widgets.language_models import fingerprints
from catjac_widgets.language_models.adapters.encoding import Encoding, check_length
from catjac_widgets.language_models.adapters.running import evaluating, full_float32, lock_of
from catjac_widgets.language_models.base import (
    EXACT,
    FLOAT64,
    LanguageModel,
    Numerics,
    Runner,
    choose_numerics,
)
from catjac_widgets.language_models.runners import EncodedRunner

if TYPE_CHECKING:
    import torch

    from catjac_widgets.proteins.masks import Mask

#: Packages whose code is known by their versions; classes of others cannot be seen through.
SEEN_THROUGH = ("torch", "transformers", "catjac_widgets", "esm")

#: Hooks of transformers that note what layers give and change nothing; put in where attention is asked for.
_RECORDS_ONLY = "transformers.utils.output_capturing"


class NetworkModel(LanguageModel):
    """A torch network with the encoding of its sequences; used where it is, left in the mode it was found in.

    Parameters
    ----------
    network
        Called with tokens (B, T), int64; gives logits (B, T, V), as a tensor or as ``logits`` of a result.
    encoding
        How residues become tokens.
    name
        What a person calls it.
    settings
        What else decides its outputs, as text and numbers.
    file_fingerprint
        Of the file that its weights come from; holds while no weight changes.
    fingerprint
        The owner's text for what cannot be seen of it, see `catjac.wrap`.
    max_residues, causal
        See `LanguageModel`.
    """

    numerics: tuple[Numerics, ...] = (EXACT, FLOAT64)
    #: See `hidden_code`.
    seen_through: tuple[str, ...] = SEEN_THROUGH

    def __init__(
        self,
        network: torch.nn.Module,
        encoding: Encoding,
        *,
        name: str,
        settings: Mapping[str, Any] | None = None,
        file_fingerprint: str | None = None,
        fingerprint: str | None = None,
        max_residues: int | None = None,
        causal: bool = False,
    ) -> None:
        self.network, self.encoding, self.name = network, encoding, name
        self.letters, self.max_residues, self.causal = encoding.letters, max_residues, causal
        self.has_mask_token = encoding.mask is not None
        self.settings = dict(settings or {})
        self._vouched, self._file = fingerprint, file_fingerprint
        self._loaded_as = fingerprints.weights_stamp(network) if file_fingerprint else None
        self._watch = fingerprints.WeightsWatch(network)

    # -- what it is

    @property
    def fingerprint(self) -> str:
        """See `LanguageModel.fingerprint`; all weights are read for it."""
        weights = self._weights_fingerprint()
        given = () if self._vouched is None else (self._vouched, self._hidden_code())
        return fingerprint_of(weights, self.encoding, self.settings, str(self.dtype), *given)

    def _weights_fingerprint(self) -> str:
        """Text that stands for the weights: the file that they come from, or what they are."""
        if self._file is not None and self._loaded_as == fingerprints.weights_stamp(self.network):
            return self._file
        return f"memory:{fingerprints.weights_sha256(self.network)}"

    @property
    def changed(self) -> bool:
        """See `LanguageModel.changed`."""
        return self._watch.moved()

    @property
    def unseen(self) -> str:
        """See `LanguageModel.unseen`."""
        return "" if self._vouched is not None else self._hidden_code()

    @property
    def altered_with(self) -> object:
        """See `LanguageModel.altered_with`."""
        return self.network

    @property
    def device(self) -> torch.device:
        """Where its first parameter is."""
        return self._first.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of its first parameter."""
        return self._first.dtype

    @property
    def _first(self) -> torch.Tensor:
        import torch

        return next(self.network.parameters(), torch.empty(0))

    @property
    def parameters(self) -> int:
        """How many parameters it has; tied ones count once."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def _hidden_code(self) -> str:
        return hidden_code(self.network, self.seen_through)

    # -- what it does

    def encode(self, residues: str, mask: Mask | None = None) -> torch.Tensor:
        """See `LanguageModel.encode`.

        Raises
        ------
        SequenceError
            If there is no residue, one that is none of `letters`, or more than it takes.
        ModelError
            If residues are hidden and it has no mask token.
        """
        check_length(residues, model=self.name, most=self.max_residues, exactly=self.length)
        return self.encoding.encode(residues, mask, self.name)

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `LanguageModel.logits`; on the model's device and in its type."""
        import torch

        length = tokens.shape[1] - len(self.encoding.prefix) - len(self.encoding.suffix)
        with evaluating(self.network), full_float32, torch.no_grad():
            found = self.all_logits(tokens.to(self.device))
        return self.encoding.of_residues(found, length, self.name)

    def all_logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (B, T, V) of tokens (B, T), both on the model's device."""
        found = self.network(tokens)
        return getattr(found, "logits", found)

    def prepare(self, residues: str, mask: Mask | None = None, numerics: str = "exact") -> Runner:
        """See `LanguageModel.prepare`."""
        chosen = choose_numerics(self.numerics, numerics, model=self.name)
        model = self.in_float64() if chosen.dtype == "float64" else self
        return EncodedRunner(model, residues, mask, chosen.dtype)

    def in_float64(self) -> NetworkModel:
        """Copy it to float64, on the CPU where its device has none; the model itself stays as it is."""
        made = copy.copy(self)
        with lock_of(self.network):
            network = copy.deepcopy(self.network)
        made.network = (network.cpu() if self.device.type == "mps" else network).double()
        return made


def fingerprint_of(
    weights: str, encoding: Encoding, settings: Mapping[str, Any], dtype: str, *given: str
) -> str:
    """Fingerprint of a network: of its weights, and of all else that decides its logits.

    Parameters
    ----------
    weights
        What stands for the weights.
    encoding, settings, dtype, given
        See `NetworkModel`; the type of numbers as torch writes it.
    """
    content = [weights, encoding.described(), dict(settings), dtype, *given]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def hidden_code(network: torch.nn.Module, seen_through: tuple[str, ...] = SEEN_THROUGH) -> str:
    """Say what of a network's code is somebody's own, so that weights do not tell its outputs, or "".

    Hooks, methods that were put in the place of a class's own, and classes that come from no package of
    `seen_through`.
    """
    for name, module in network.named_modules():
        where = f"of {name}" if name else f"of the {type(module).__name__}"
        hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        if any(getattr(hook, "__module__", "") != _RECORDS_ONLY for hook in hooks):
            return f"a hook {where}"
        own = next(
            (key for key, value in vars(module).items() if callable(value) and _is_method(module, key)), ""
        )
        if own:
            return f"the replaced {own} {where}"
        if type(module).__module__.partition(".")[0] not in seen_through:
            return f"the class {type(module).__qualname__}"
    return ""


def _is_method(module: Any, name: str) -> bool:
    return callable(getattr(type(module), name, None))
