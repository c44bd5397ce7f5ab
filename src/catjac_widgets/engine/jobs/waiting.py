"""Waiting for work in the background, so that a person sees how far it is and can stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

#: How long an interrupt waits for the batch in flight.
INTERRUPT_SECONDS = 10.0


class Awaited(Protocol):
    """Work that ends some time, earlier if it is cancelled."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; False if that took longer than `timeout` seconds."""
        ...

    def cancel(self) -> None:
        """Have it end after the step in hand."""
        ...


def wait_for(work: Awaited, look: Callable[[], object], *, stop: threading.Event | None = None) -> None:
    """Wait for work on another thread, looking at it now and then, and once when it has ended.

    Parameters
    ----------
    work
        What to wait for.
    look
        Called about ten times a second on this thread, to show how far the work is.
    stop
        Cancels the work when it is set.
    """
    began = time.monotonic()
    # Short work is answered at once, long work looked at in peace.
    while not work.wait(0.02 if time.monotonic() - began < 0.1 else 0.1):
        if stop is not None and stop.is_set():
            work.cancel()
        look()
    look()
