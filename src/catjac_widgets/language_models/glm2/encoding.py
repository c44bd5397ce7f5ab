"""How a genome's elements become tokens: one a residue, and one a strand before each element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.adapters.encoding import Encoding
from catjac_widgets.language_models.glm2.published import LETTERS, MASK, STRAND_TOKENS, STRANDS, TOKENS


@dataclass(frozen=True)
class GenomicEncoding(Encoding):
    """Residues of both alphabets, and the marks "+" and "-" that stand for strands among them.

    Attributes
    ----------
    strands
        The tokens of "+" and "-"; () where strands are not told.
    others
        See `Encoding`.
    """

    strands: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self._token_of.update(zip(STRAND_TOKENS, self.strands, strict=False))

    def described(self) -> dict[str, Any]:
        """See `Encoding.described`."""
        return {**super().described(), "strands": self.strands}


def published_encoding(*, strands: bool = True) -> GenomicEncoding:
    """Give the encoding of the published vocabulary; nothing stands around the elements."""
    return GenomicEncoding(LETTERS, TOKENS, mask=MASK, strands=STRANDS if strands else ())


def encoding_by(tokenizer: Any, name: str, *, strands: bool = True) -> GenomicEncoding:
    """Find out how a tokenizer of transformers writes elements, and check it on some.

    Raises
    ------
    ModelError
        If its vocabulary lacks a letter, a strand or the mask, or it does not give one token for each.
    """
    vocabulary = dict(tokenizer.get_vocab())
    wanted = [*LETTERS, *STRAND_TOKENS.values()]
    gone = [token for token in wanted if token not in vocabulary]
    if gone or getattr(tokenizer, "mask_token_id", None) is None:
        raise ModelError(
            f"The vocabulary of {name} has no {gone[0] if gone else 'mask'}; gLM2 has amino acids in upper "
            "case, nucleotides in lower case, <+>, <-> and a mask."
        )
    ids = [int(vocabulary[token]) for token in wanted]
    probe = f"<+>{LETTERS[:20]}<->{LETTERS[20:]}<+>{LETTERS[19::-1]}"
    inner = [*ids[-2:-1], *ids[:20], ids[-1], *ids[20:24], ids[-2], *ids[19::-1]]
    found = [int(each) for each in tokenizer(probe)["input_ids"]]
    first = next((k for k in range(len(found)) if found[k : k + len(inner)] == inner), None)
    if first is None:
        raise ModelError(
            f"The tokenizer of {name} does not give one token for each letter and strand; use the one that "
            "was published with its weights."
        )
    return GenomicEncoding(
        LETTERS,
        tuple(ids[:24]),
        tuple(found[:first]),
        tuple(found[first + len(inner) :]),
        int(tokenizer.mask_token_id),
        strands=tuple(ids[24:]) if strands else (),
    )
