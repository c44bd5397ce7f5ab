"""Networks that read DNA from left to right, of somebody's own or of transformers, as language models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import ModelError, UsageError
from catjac_widgets.language_models.adapters.encoding import Encoding
from catjac_widgets.language_models.adapters.network import NetworkModel
from catjac_widgets.language_models.base import LanguageModel
from catjac_widgets.language_models.causal_dna.both_strands import BothStrands
from catjac_widgets.language_models.custom.probing import encoding_of, tokenizer_encode
from catjac_widgets.proteins.alphabets import DNA_LETTERS

if TYPE_CHECKING:
    import torch


def both_strands(model: Any) -> LanguageModel:
    """Sum what a causal model of DNA tells of both strands.

    Parameters
    ----------
    model
        Anything that `catjac.jacobian` takes as ``model=``, reading from left to right.

    Returns
    -------
    LanguageModel
        Its logits at a nucleotide are the sum of those after reading what lies before it and, on the other
        strand, what lies behind it; see `BothStrands`. It has a fingerprint of its own.

    Raises
    ------
    ModelError
        If the model reads from both sides already, or its letters are no nucleotides.
    """
    from catjac_widgets.language_models.registry import resolve_model

    return BothStrands(resolve_model(model))


def wrap_causal(
    network: torch.nn.Module,
    tokenizer: Any = None,
    *,
    letters: str = DNA_LETTERS,
    tokens: Iterable[int] = (),
    start: int | None = None,
    max_residues: int | None = None,
    name: str = "",
    fingerprint: str | None = None,
) -> LanguageModel:
    """Use a network that reads letters from left to right, one token a letter; it is never moved.

    Any ``AutoModelForCausalLM`` of transformers will do, and any torch network from tokens (B, T) to logits
    (B, T, V), those at a token being of the next one. Of functions that are no network make a model by
    ``catjac.wrap(function, letters="ACGT", causal=True, …)``.

    Parameters
    ----------
    network
        Used where it is.
    tokenizer
        Of transformers: what it makes of letters, and puts before them, is found out by asking it.
    letters
        The letters that a residue may be. RNA is given to a model of DNA with ``unknown={"U": "T"}``.
    tokens
        In the place of a tokenizer: the token of each letter.
    start
        The token that begins a sequence, where the tokenizer puts none there: the logits of the first letter
        are those at this token. By default the tokenizer's ``bos_token_id``, ``eod_id`` or ``eos_token_id``.
    max_residues
        The longest sequence that it takes; None for any.
    name, fingerprint
        See `catjac.wrap`.

    Returns
    -------
    LanguageModel
        One that reads from left to right; `catjac.dna.both_strands` sums its strands.

    Raises
    ------
    ModelError
        If the tokenizer does not give one token a letter, or it is no torch network.
    UsageError
        If nothing says with which token a sequence begins.
    """
    import torch

    if not isinstance(network, torch.nn.Module):
        raise ModelError(
            f"A {type(network).__name__} is no torch network; wrap a function by catjac.wrap(function, "
            "letters='ACGT', causal=True, …)."
        )
    name = name or type(network).__name__
    chosen = tuple(tokens)
    if tokenizer is None:
        found = Encoding(letters, chosen)
    elif chosen:
        raise UsageError("tokenizer and tokens= both say what the tokens are; give one of them.")
    else:
        found = encoding_of(tokenizer_encode(tokenizer, letters), letters, name=name, mask=None)
    prefix = found.prefix
    if start is not None or not prefix:
        begins = _beginning(tokenizer) if start is None else int(start)
        if begins is None:
            raise UsageError(
                "Logits of the first letter are those at a token before it, and nothing says with which one "
                f"{name} begins a sequence; give start=."
            )
        prefix = (begins,)
    # What comes after the last letter tells nothing of it: no token stands there.
    return CausalNetwork(
        network,
        Encoding(letters, found.tokens, prefix, shift=1),
        name=name,
        settings=_settings(network),
        fingerprint=fingerprint,
        max_residues=max_residues,
        causal=True,
    )


def _settings(network: Any) -> dict[str, str]:
    """Give what a configuration of transformers says; a network of torch alone has none."""
    text = getattr(getattr(network, "config", None), "to_json_string", None)
    return {} if text is None else {"config": text()}


def _beginning(tokenizer: Any) -> int | None:
    """Tell which token a tokenizer has for the beginning of a sequence, or the end of the one before."""
    for attribute in ("bos_token_id", "eod_id", "eos_token_id"):
        found = getattr(tokenizer, attribute, None)
        if found is not None:
            return int(found)
    return None


class CausalNetwork(NetworkModel):
    """A network that reads from left to right; one of transformers keeps nothing for the next token."""

    def all_logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `NetworkModel.all_logits`."""
        if not hasattr(self.network, "config"):
            return super().all_logits(tokens)
        return self.network(tokens, use_cache=False).logits
