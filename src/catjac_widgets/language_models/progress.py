"""Work that takes long before a model is ready: whoever waits for it can follow and end it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: Told what is going on and which share of it is done; an exception that it raises ends the work.
Watcher = Callable[[str, float], None]

_WATCHER: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched(by: Watcher) -> Iterator[None]:
    """Let `by` follow the long work that is done within, on this thread."""
    token = _WATCHER.set(by)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def watcher() -> Watcher | None:
    """Who follows the work of this thread, or None."""
    return _WATCHER.get()
