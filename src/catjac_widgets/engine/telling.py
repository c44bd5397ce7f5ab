"""Calling functions of somebody else's, none of which may end the thread that calls them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from catjac_widgets.errors import WorkError

_LOG = logging.getLogger("catjac")


def tell(what: str, listener: Callable[..., object], *arguments: Any) -> None:
    """Call somebody's function; what it raises goes to the log, and nobody else suffers from it.

    `SystemExit` and `KeyboardInterrupt` too: raised by a listener on a thread of ours, they are its mistake.
    On the main thread they may be a person's wish, and go on their way.

    Parameters
    ----------
    what
        What failed, for the log ("a row listener").
    listener
        What to call, with `arguments`.
    """
    try:
        listener(*arguments)
    except BaseException as error:
        if is_for_the_caller(error):
            raise
        _LOG.exception("%s failed", what)


def is_for_the_caller(error: BaseException) -> bool:
    """Whether an error is the wish of a person who waits: an interrupt or exit on the main thread."""
    return not isinstance(error, Exception) and threading.current_thread() is threading.main_thread()


def as_exception(error: BaseException) -> Exception:
    """Return what went wrong as whoever waits for it may be told; an exit or interrupt as a `WorkError`.

    Raised where somebody waits for a result, those would end that thread, or the kernel.
    """
    if isinstance(error, Exception):
        return error
    said = f"{type(error).__name__}({error})" if str(error) else type(error).__name__
    made = WorkError(
        f"The work in the background was ended by {said}, which its model or a package that it uses raised; "
        "what was computed is kept: ask again."
    )
    made.__cause__ = error
    return made
