"""Finding out an encoding by asking a tokenizer about single letters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.adapters.encoding import Encoding

#: From residues to token ids.
Encode = Callable[[str], Iterable[int]]


def encoding_of(
    encode: Encode,
    letters: str,
    *,
    name: str,
    mask: int | None,
    columns: tuple[int, ...] = (),
    shift: int = 0,
) -> Encoding:
    """Find the tokens of letters and ends by encoding short sequences, and check it on longer ones.

    Parameters
    ----------
    encode
        The whole encoding of residues, ends included.
    letters, columns, shift, mask
        See `Encoding`.
    name
        The model's, for messages.

    Raises
    ------
    ModelError
        If there is not one token a residue, the same wherever it stands.
    """
    pairs = {letter: _ids(encode, letter * 2, name) for letter in letters}
    single = {letter: _ids(encode, letter, name) for letter in letters}
    first, second = list(letters)[:2]
    ends = len(pairs[first]) - 2
    if ends < 0 or any(len(single[each]) != ends + 1 or len(pairs[each]) != ends + 2 for each in letters):
        raise ModelError(
            f"The tokenizer of {name} does not give one token a residue; give encode=, a function of your "
            "own from residues to token ids."
        )
    prefix = next((k for k in range(ends + 1) if single[first][k] != single[second][k]), None)
    if prefix is None:
        raise ModelError(
            f"The tokenizer of {name} gives {first} and {second} the same tokens; say with letters= which "
            "letters the model knows."
        )
    found = Encoding(
        letters,
        tuple(single[letter][prefix] for letter in letters),
        tuple(single[first][:prefix]),
        tuple(single[first][prefix + 1 :]),
        mask,
        columns,
        shift,
    )
    drawn = np.random.default_rng(0).choice(list(letters), size=3 * len(letters))
    for residues in (letters, letters[::-1], "".join(drawn)):
        if found.encode(residues, None, name).tolist() != _ids(encode, residues, name):
            raise ModelError(
                f"The tokenizer of {name} gives residues other tokens in longer sequences than alone; a "
                "Jacobian needs one token a residue."
            )
    return found


def tokenizer_encode(tokenizer: Any, letters: str) -> Encode:
    """Make a function from residues to ids of a tokenizer of transformers, with blanks where needed."""

    def plain(residues: str) -> Iterable[int]:
        return tokenizer(residues)["input_ids"]

    def spaced(residues: str) -> Iterable[int]:
        return tokenizer(" ".join(residues))["input_ids"]

    # Tokenizers of ProtBERT's kind take a word of several letters for one unknown word.
    return plain if len(list(plain(letters))) >= len(letters) else spaced


def mask_id(tokenizer: Any, mask_token: Any, name: str) -> int | None:
    """Find the id of the mask token: as given, or the tokenizer's own.

    Raises
    ------
    ModelError
        If it is text that the tokenizer does not know.
    """
    if isinstance(mask_token, str):
        if tokenizer is None:
            raise ModelError(f"mask_token={mask_token!r} of {name} needs tokenizer=; give its id instead.")
        found = tokenizer.convert_tokens_to_ids(mask_token)
        if found is None or found == getattr(tokenizer, "unk_token_id", None):
            raise ModelError(f"The tokenizer of {name} knows no token {mask_token!r}; give its id.")
        return int(found)
    if mask_token is None:
        own = getattr(tokenizer, "mask_token_id", None)
        return None if own is None else int(own)
    return int(mask_token)


def _ids(encode: Encode, residues: str, name: str) -> list[int]:
    found = np.asarray(list(encode(residues))).ravel()
    if not np.issubdtype(found.dtype, np.integer):
        raise ModelError(f"The encoding of {name} gave {found.dtype} for tokens; it must give whole numbers.")
    return [int(each) for each in found]
