"""Which letters a model of transformers knows, and how its tokenizer writes them."""

from __future__ import annotations

from typing import Any

from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.adapters.encoding import Encoding
from catjac_widgets.language_models.custom.probing import encoding_of, mask_id, tokenizer_encode
from catjac_widgets.proteins.alphabets import DNA_LETTERS, ESM_LETTERS, RNA_LETTERS

#: A vocabulary that names residues has them, special tokens, and a few more; one of words has thousands.
_MOST_TOKENS = 1024

#: What tokenizers put in front of a token that begins a word.
_WORD_STARTS = "▁Ġ"


def letters_of(tokenizer: Any, name: str) -> str:
    """Find the residues in a vocabulary, in its own order: 20 amino acids, or else four nucleotides.

    Raises
    ------
    ModelError
        If its tokens are no single letters of residues.
    """
    ids: dict[str, int] = {}
    vocabulary = dict(tokenizer.get_vocab())
    for token, number in vocabulary.items():
        ids.setdefault(token if len(token) == 1 else token.lstrip(_WORD_STARTS), number)
    if len(vocabulary) <= _MOST_TOKENS:
        for letters in (ESM_LETTERS, DNA_LETTERS, RNA_LETTERS):
            if all(letter in ids for letter in letters):
                return "".join(sorted(letters, key=ids.__getitem__))
    raise ModelError(
        f"The vocabulary of {name} ({len(vocabulary):,} tokens) does not name residues by single letters (20 "
        "amino acids, or four nucleotides); wrap a function that does: catjac.wrap(function, letters=…)."
    )


def encoding_by(tokenizer: Any, name: str) -> Encoding:
    """Find out how a tokenizer of transformers encodes residues.

    Raises
    ------
    ModelError
        If it does not name residues by single letters, or does not give one token a residue.
    """
    letters = letters_of(tokenizer, name)
    asked = tokenizer_encode(tokenizer, letters)
    return encoding_of(asked, letters, name=name, mask=mask_id(tokenizer, None, name))
