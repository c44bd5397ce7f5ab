"""The words for where a model's contact map comes from, the same in every ``source=`` and ``methods=``."""

from __future__ import annotations

import warnings

#: "contact_head": the supervised regression on attention; "jacobian": norms of the categorical Jacobian.
SOURCES = ("contact_head", "jacobian")

#: What version 0.1 called them.
_FORMER = {"attention": "contact_head", "head": "contact_head"}


def present_word(word: str) -> str:
    """Put the present word for a former one, as tables and results of version 0.1 hold it."""
    return _FORMER.get(word, word)


def as_source(word: str, *, stacklevel: int = 1) -> str:
    """Put the present word for a former one that somebody still writes, and say so.

    Parameters
    ----------
    stacklevel
        How many calls lie between this one and the person's.

    Warns
    -----
    DeprecationWarning
        With the word to write.
    """
    present = present_word(word)
    if present != word:
        warnings.warn(f"{word!r} is called {present!r} now.", DeprecationWarning, stacklevel=stacklevel + 2)
    return present
