"""Who may send to the front end, and how often.

Handlers of front-end messages and a job's listeners run on whatever thread calls them (JupyterLab may use
subshell threads, the engine its worker). They post; one `Delivery.deliver` owns all sends, under one lock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger("catjac.widgets")

#: Seconds between two rounds. A round sends up to three messages (rows, label, progress): about 20 a second.
INTERVAL = 0.15

#: Seconds without work after which the thread ends; the next post starts another.
IDLE = 1.0


@dataclass
class _Post:
    send: Callable[[Any], None]
    prepare: Callable[[], Any] | None
    urgent: bool


class Delivery:
    """A queue of things to tell the front end, told in rounds by one thread.

    Attributes
    ----------
    lock
        Held while something is sent, and by widgets while they take a front end's message in.
    """

    def __init__(self, interval: float = INTERVAL, idle: float = IDLE) -> None:
        self.lock = threading.RLock()
        self._interval = interval
        self._idle = idle
        self._turn = threading.RLock()
        self._posted = threading.Condition()
        self._pending: dict[Hashable, _Post] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    def post(
        self,
        key: Hashable,
        send: Callable[[Any], None],
        *,
        prepare: Callable[[], Any] | None = None,
        urgent: bool = False,
    ) -> None:
        """Ask for something to be sent; of posts under one key that wait, the last one goes.

        Parameters
        ----------
        key
            What it is about.
        send
            Called with what `prepare` returned (None without it), holding the lock.
        prepare
            Called before, without the lock: for what takes longer.
        urgent
            Whether a person waits for it: it goes at once, not with the next round.
        """
        with self._posted:
            if self._closed:
                return
            self._pending[key] = _Post(send, prepare, urgent)
            if self._thread is None:
                self._thread = threading.Thread(target=self._rounds, name="catjac-delivery", daemon=True)
                self._thread.start()
            self._posted.notify_all()

    def deliver(self, *, urgent_only: bool = False) -> None:
        """Send what waits. May be called from any thread; calls take turns."""
        with self._turn:
            with self._posted:
                chosen = {key: post for key, post in self._pending.items() if post.urgent or not urgent_only}
                for key in chosen:
                    del self._pending[key]
            for key, post in chosen.items():
                try:
                    value = post.prepare() if post.prepare else None
                    with self.lock:
                        if not self._closed:
                            post.send(value)
                except Exception:
                    # One view's mistake must not silence the others.
                    logger.exception("could not deliver %s", key)

    def close(self) -> None:
        """Forget what waits, take nothing more and let the thread end."""
        with self._posted:
            self._closed = True
            self._pending.clear()
            self._posted.notify_all()

    def _rounds(self) -> None:
        due = 0.0
        while True:
            with self._posted:
                if not self._pending and not self._closed:
                    self._posted.wait(self._idle)
                if not self._pending or self._closed:
                    self._thread = None
                    return
                wait = due - time.monotonic()
                if wait > 0 and not any(post.urgent for post in self._pending.values()):
                    self._posted.wait(wait)
                    continue
            if wait > 0:
                self.deliver(urgent_only=True)
            else:
                self.deliver()
                due = time.monotonic() + self._interval
