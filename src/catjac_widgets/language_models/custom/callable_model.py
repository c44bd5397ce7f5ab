"""Any function from tokens to logits as a language model."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from catjac_widgets.errors import ModelError, UsageError
from catjac_widgets.language_models import fingerprints
from catjac_widgets.language_models.adapters.encoding import Encoding, check_length
from catjac_widgets.language_models.adapters.running import evaluating, full_float32
from catjac_widgets.language_models.base import LanguageModel
from catjac_widgets.language_models.custom.probing import Encode, encoding_of, mask_id, tokenizer_encode
from catjac_widgets.proteins.alphabets import ESM_LETTERS

if TYPE_CHECKING:
    import torch

    from catjac_widgets.proteins.masks import Mask

#: Puts mask tokens into tokens (T,) where residues (L,) are hidden.
Hide = Callable[["torch.Tensor", np.ndarray], "torch.Tensor"]


class CallableModel(LanguageModel):
    """A function of somebody's own, called with tokens; made by `catjac.wrap`.

    Parameters
    ----------
    function
        From tokens (B, T), int64, to logits (B, T, V) or (B, L, V): an array of torch or numpy, the first of
        a tuple, or ``logits`` of a result. It must not depend on the rest of its batch.
    letters
        The letters that a residue may be, in any order; the 20 amino acids by default.
    tokenizer
        Of transformers: what it makes of residues is found out by asking it.
    encode
        In its place, a function from residues to token ids, ends included.
    tokens, prefix, suffix
        In the place of both, see `Encoding`.
    columns
        Which column of the logits is that of each letter, in the order of `letters`; by default the one of
        its token.
    mask_token
        The token of a hidden residue: its id, its text (with `tokenizer`), or a function from tokens (T,) and
        a bool array (L,), True where hidden, to tokens. The tokenizer's own by default; without one, nothing
        can be hidden.
    causal
        Whether it reads from left to right. Its logits at a token are then those of the next one.
    shift
        See `Encoding`; 1 for a causal model and 0 otherwise by default.
    length, max_residues
        See `LanguageModel`.
    name
        What a person calls it; the function's own by default.
    fingerprint
        Text that stands for its code, see `catjac.wrap`.
    extra_fingerprint
        Text, or a function that gives it, of what else it depends on, such as a structure that it was given.
    device
        Where tokens are put; where its weights are, or the CPU, by default.
    takes
        "torch" or "numpy": what it is called with.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        letters: str | None = None,
        *,
        tokenizer: Any = None,
        encode: Encode | None = None,
        tokens: Iterable[int] = (),
        prefix: Iterable[int] = (),
        suffix: Iterable[int] = (),
        columns: Iterable[int] = (),
        mask_token: int | str | Hide | None = None,
        causal: bool = False,
        shift: int | None = None,
        length: int | None = None,
        max_residues: int | None = None,
        name: str = "",
        fingerprint: str | None = None,
        extra_fingerprint: str | Callable[[], str] = "",
        device: Any = None,
        takes: Literal["torch", "numpy"] = "torch",
    ) -> None:
        if not callable(function):
            raise ModelError(
                f"A {type(function).__name__} cannot be called; give a function from tokens to logits."
            )
        if takes not in ("torch", "numpy"):
            raise UsageError(f"takes={takes!r} is unknown; use 'torch' or 'numpy'.")
        ways = [
            word
            for word, way in (("tokenizer", tokenizer), ("encode", encode), ("tokens", tuple(tokens)))
            if way
        ]
        if len(ways) > 1:
            raise UsageError(f"{ways[0]}= and {ways[1]}= both say what the tokens are; give one of them.")
        self.function, self.name = function, name or _name_of(function)
        self._hide = mask_token if callable(mask_token) else None
        hidden = None if self._hide is not None else mask_id(tokenizer, mask_token, self.name)
        chosen = ESM_LETTERS if letters is None else letters
        rows_before = int(causal) if shift is None else int(shift)
        if encode is not None or tokenizer is not None:
            if tuple(prefix) or tuple(suffix):
                raise UsageError(
                    "prefix= and suffix= are found out where there is a tokenizer; leave them out."
                )
            asked = encode if encode is not None else tokenizer_encode(tokenizer, chosen)
            self.encoding = encoding_of(
                asked, chosen, name=self.name, mask=hidden, columns=tuple(columns), shift=rows_before
            )
        else:
            self.encoding = Encoding(
                chosen, tuple(tokens), tuple(prefix), tuple(suffix), hidden, tuple(columns), rows_before
            )
        self.letters, self.causal = chosen, bool(causal)
        self.length, self.max_residues = length, max_residues
        self.has_mask_token = hidden is not None or self._hide is not None
        self._networks = list(_networks_in(function))
        self._vouched, self._extra = fingerprint, extra_fingerprint
        self._code = [_source_of(each) for each in (function, encode, self._hide) if each is not None]
        self._takes, self._device = takes, device
        self._watches = [fingerprints.WeightsWatch(network) for network in self._networks]

    # -- what it is

    @property
    def fingerprint(self) -> str:
        """See `LanguageModel.fingerprint`: of the owner's text, settings, source code, and weights."""
        extra = self._extra() if callable(self._extra) else self._extra
        content = [
            self._vouched,
            str(extra),
            self.encoding.described(),
            [self.causal, self.length, self._takes],
            self._code,
            [fingerprints.weights_sha256(network) for network in self._networks],
        ]
        return f"function:{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}"

    @property
    def unseen(self) -> str:
        """See `LanguageModel.unseen`."""
        return "" if self._vouched is not None else f"the function {_name_of(self.function)}"

    @property
    def changed(self) -> bool:
        """See `LanguageModel.changed`."""
        return any(watch.moved() for watch in self._watches)

    @property
    def altered_with(self) -> object:
        """See `LanguageModel.altered_with`."""
        return self._networks[0] if self._networks else self

    @property
    def device(self) -> torch.device:
        """Where tokens are put."""
        import torch

        if self._device is not None:
            return torch.device(self._device)
        held = (parameter for network in self._networks for parameter in network.parameters())
        found = next(held, None)
        return torch.device("cpu") if found is None else found.device

    @property
    def parameters(self) -> int:
        """How many parameters its networks have, 0 where none is known."""
        return sum(parameter.numel() for network in self._networks for parameter in network.parameters())

    def seconds_per_sequence(self, length: int) -> float:
        """See `LanguageModel.seconds_per_sequence`; of a function without weights nothing is known."""
        return max(1e-4, super().seconds_per_sequence(length))

    # -- what it does

    def encode(self, residues: str, mask: Mask | None = None) -> torch.Tensor:
        """See `LanguageModel.encode`.

        Raises
        ------
        SequenceError
            If there is no residue, one that is none of `letters`, or another number of them than it takes.
        ModelError
            If residues are hidden and it has no mask token.
        """
        import torch

        check_length(residues, model=self.name, most=self.max_residues, exactly=self.length)
        if self._hide is None or mask is None:
            return self.encoding.encode(residues, mask, self.name)
        made = self._hide(self.encoding.encode(residues, None, self.name), mask.array)
        return torch.as_tensor(made).to("cpu", torch.int64)

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `LanguageModel.logits`.

        Raises
        ------
        ModelError
            If the function gives anything but logits of these tokens.
        """
        import torch

        length = tokens.shape[1] - len(self.encoding.prefix) - len(self.encoding.suffix)
        with ExitStack() as stack:
            for network in self._networks:
                stack.enter_context(evaluating(network))
            stack.enter_context(full_float32)
            stack.enter_context(torch.no_grad())
            given: Any = tokens.numpy() if self._takes == "numpy" else tokens.to(self.device)
            found = self._tensor(self.function(given))
        if found.shape[:1] != tokens.shape[:1]:
            raise ModelError(
                f"{self.name} gave logits of shape {tuple(found.shape)} for {len(tokens)} sequences; it must "
                "give one set of logits a sequence."
            )
        return self.encoding.of_residues(found, length, self.name)

    def _tensor(self, result: Any) -> torch.Tensor:
        import torch

        if isinstance(result, dict):
            result = result.get("logits")
        elif isinstance(result, tuple | list) and result:
            result = result[0]
        result = getattr(result, "logits", result)
        try:
            found = torch.as_tensor(result if isinstance(result, torch.Tensor) else np.asarray(result))
        except (TypeError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"{self.name} gave a {type(result).__name__}, not logits; it must give an array (sequences, "
                "tokens, vocabulary)."
            ) from error
        if not found.is_floating_point():
            raise ModelError(
                f"{self.name} gave {found.dtype} for logits; they must be floating-point numbers."
            )
        return found


def _name_of(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _networks_in(function: Any) -> Iterator[torch.nn.Module]:
    """Find the torch networks that a function is, belongs to, or refers to."""
    import torch

    reached = [function, getattr(function, "__self__", None), getattr(function, "__wrapped__", None)]
    if isinstance(function, functools.partial):
        reached += [
            function.func,
            getattr(function.func, "__self__", None),
            *function.args,
            *function.keywords.values(),
        ]
    code = getattr(function, "__code__", None)
    if code is not None:
        variables = inspect.getclosurevars(function)
        reached += [*variables.nonlocals.values(), *variables.globals.values()]
    elif not isinstance(function, torch.nn.Module):
        reached += list(getattr(function, "__dict__", {}).values())
    seen: set[int] = set()
    for each in reached:
        if isinstance(each, torch.nn.Module) and id(each) not in seen:
            seen.add(id(each))
            yield each


def _source_of(function: Any) -> str:
    """Give the source code of a function, or of the class of what is called; "" where none can be read."""
    if isinstance(function, functools.partial):
        return _source_of(function.func)
    try:
        return inspect.getsource(function if inspect.isroutine(function) else type(function))
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return "" if code is None else repr((code.co_code, code.co_consts, code.co_names))
