"""Sentences for a person from several sources that share one trait."""

from __future__ import annotations

from catjac_widgets.errors import CatjacError


class Sentences:
    """What several sources have to say, each one sentence at a time; "" says nothing.

    Parameters
    ----------
    lasting
        What is always said, first.
    """

    def __init__(self, lasting: str = "") -> None:
        self._lasting = lasting
        self._said: dict[str, str] = {}

    def say(self, source: str, sentence: str) -> str:
        """Put a sentence in place of what the same source said before; return all of them as one text."""
        self._said[source] = sentence
        return " ".join(filter(None, (self._lasting, *self._said.values())))


def reason(error: BaseException) -> str:
    """Say why something failed: an error's own sentence, or that it is our mistake."""
    if isinstance(error, CatjacError):
        return str(error)
    return f"Something went wrong inside catjac ({type(error).__name__}: {error})."
