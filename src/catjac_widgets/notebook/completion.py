"""Completion after ``%catjac``: commands, options, models, examples and variables."""

from __future__ import annotations

import re
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

import catjac_widgets

_OPTIONS = ("--model", "--structure", "--chain", "--record", "--visible", "--variant", "--to")
_MAGIC = re.compile(r"^\s*(?:[\w.,\s]+=\s*)?%%?catjac\s+(?P<rest>.*)$")


@context_matcher()
def complete(context: CompletionContext) -> SimpleMatcherResult:
    """Complete the word at the cursor in a ``%catjac`` or ``%%catjac`` line."""
    found = _MAGIC.match(context.line_with_cursor[: context.cursor_position])
    if found is None:
        return {"completions": []}
    words = found["rest"].split(" ")
    before, word = [text for text in words[:-1] if text], words[-1]
    fitting = [text for text in suggestions(before, word) if text.startswith(word)]
    return {
        "completions": [SimpleCompletion(text, type="magic") for text in fitting],
        "suppress": bool(fitting),
        # The word as a person sees it, also where it holds "-" or "$".
        "matched_fragment": word,
    }


def suggestions(before: list[str], word: str) -> list[str]:
    """Everything that may stand after the words `before`, for a word that begins like `word`."""
    from catjac_widgets.notebook.magics import COMMANDS

    previous = before[-1] if before else ""
    if not before:
        return list(COMMANDS)
    if previous in ("--model", "-m"):
        return _model_names()
    if previous == "--variant":
        return ["full", "fast"]
    if word.startswith("-"):
        return list(_OPTIONS)
    if word.startswith("$"):
        return [f"${name}" for name in _variables()]
    if before[0] == "cache":
        return ["info", "clear"]
    if before[0] in ("explore", "jacobian"):
        from catjac_widgets.proteins.spec import known_words, prefixes

        return [*known_words(), *(f"{prefix}:" for prefix in prefixes()), *_OPTIONS]
    return []


def _model_names() -> list[str]:
    return [row["name"] for row in catjac_widgets.models().rows]


def _variables() -> list[str]:
    from IPython import get_ipython

    shell: Any = get_ipython()
    return [name for name in shell.user_ns if not name.startswith("_")] if shell is not None else []
