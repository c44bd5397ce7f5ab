"""Who may send to the front end, and how often.

Handlers of front-end messages and a job's listeners run on whatever thread calls them (JupyterLab may use
subshell threads, the engine its worker). They post; one `Delivery.deliver` owns all sends, under one lock.
What takes long is prepared on a thread of its own, outside the lock, and sent when it is ready.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from catjac_widgets.engine.telling import is_for_the_caller

logger = logging.getLogger("catjac.widgets")

#: Seconds between two rounds. A round sends up to three messages (rows, label, progress): about 20 a second.
INTERVAL = 0.15

#: Seconds without work after which the thread ends; the next post starts another.
IDLE = 1.0

#: Names of the threads that send and that prepare.
SENDING, PREPARING = "catjac-delivery", "catjac-prepare"


@dataclass(frozen=True)
class _Post:
    send: Callable[[Any], None]
    prepare: Callable[[], Any] | None
    urgent: bool


class Delivery:
    """A queue of things to tell the front end, told in rounds by one thread.

    Parameters
    ----------
    interval
        Seconds between two rounds; urgent posts do not wait for them.
    idle
        Seconds without work after which the thread ends.

    Attributes
    ----------
    lock
        Held while something is sent, and by widgets while they take a front end's message in.
    """

    def __init__(self, interval: float = INTERVAL, idle: float = IDLE) -> None:
        self.lock = threading.RLock()
        #: The thread that sends now; it holds the lock.
        self._sender = 0
        self._interval = interval
        self._idle = idle
        #: Guards everything below. Whoever holds it takes no other lock.
        self._changed = threading.Condition()
        self._waiting: dict[Hashable, _Post] = {}
        self._preparing: set[Hashable] = set()
        self._ready: dict[Hashable, Callable[[], None]] = {}
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
            Called with what `prepare` returned (None without it), holding the lock; it must be quick.
        prepare
            Called before, on a thread of its own and without the lock: for what takes longer. Under one key
            nothing is prepared twice at a time; a newer post waits until the one in hand is ready.
        urgent
            Whether a person waits for it: it goes at once, not with the next round.
        """
        with self._changed:
            if self._closed:
                return
            self._waiting[key] = _Post(send, prepare, urgent)
            self._wake()

    def deliver(self, *, urgent_only: bool = False) -> None:
        """Send what is ready and begin to prepare what is not; quick. May be called from any thread.

        Parameters
        ----------
        urgent_only
            Leave what is not urgent to the next round.
        """
        with self._changed:
            for key in [key for key in self._startable() if self._waiting[key].urgent or not urgent_only]:
                self._start(key, self._waiting.pop(key))
            keys = list(self._ready)
        for key in keys:
            # The lock is let go of between two sends, so that messages come in.
            with self.lock:
                with self._changed:
                    send = self._ready.pop(key, None)
                if send is not None:
                    before, self._sender = self._sender, threading.get_ident()
                    _try(key, send)
                    self._sender = before
        with self.lock:
            pass  # what another thread has in hand has gone too

    def flush(self, timeout: float | None = None) -> bool:
        """Deliver until nothing waits any more, preparations included.

        Not to be called by whoever holds the lock, nor while something is prepared for that thread.

        Parameters
        ----------
        timeout
            Seconds to wait at most; for ever by default.

        Returns
        -------
        bool
            False if the time was not enough; what waits goes on its way all the same.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            self.deliver()
            # With the lock: what another thread has in hand may post again.
            with self.lock, self._changed:
                if self._closed or not (self._waiting or self._preparing or self._ready):
                    return True
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return False
            with self._changed:
                if self._preparing and not (self._startable() or self._ready or self._closed):
                    self._changed.wait(left)

    @property
    def sending(self) -> bool:
        """Whether this thread is sending something now, and holds the lock for it."""
        return self._sender == threading.get_ident()

    def close(self) -> None:
        """Forget what waits, take nothing more and let the threads end."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._ready.clear()
            self._changed.notify_all()

    # ---- with `_changed` held

    def _startable(self) -> list[Hashable]:
        return [key for key in self._waiting if key not in self._preparing]

    def _start(self, key: Hashable, post: _Post) -> None:
        if post.prepare is None:
            self._ready[key] = lambda: post.send(None)
            return
        self._preparing.add(key)
        threading.Thread(target=self._prepare, args=(key, post), name=PREPARING, daemon=True).start()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._rounds, name=SENDING, daemon=True)
            self._thread.start()
        self._changed.notify_all()

    # ---- on their own threads

    def _prepare(self, key: Hashable, post: _Post) -> None:
        assert post.prepare is not None
        made: list[Any] = []
        _try(key, lambda: made.append(post.prepare and post.prepare()))
        with self._changed:
            self._preparing.discard(key)
            if self._closed:
                return
            if made:
                self._ready[key] = lambda: post.send(made[0])
            self._wake()

    def _rounds(self) -> None:
        due = 0.0
        while True:
            with self._changed:
                if not (self._startable() or self._ready or self._closed):
                    self._changed.wait(self._idle)
                startable = self._startable()
                if self._closed or not (startable or self._ready):
                    self._thread = None
                    return
                wait = due - time.monotonic()
                if wait > 0 and not self._ready and not any(self._waiting[key].urgent for key in startable):
                    self._changed.wait(wait)
                    continue
            if wait > 0:
                self.deliver(urgent_only=True)
            else:
                self.deliver()
                due = time.monotonic() + self._interval


def _try(key: Hashable, call: Callable[[], Any]) -> None:
    try:
        call()
    except BaseException as error:
        if is_for_the_caller(error):
            raise
        # One view's mistake must not silence the others.
        logger.exception("could not deliver %s", key)
