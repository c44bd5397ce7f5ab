"""Another model for an explorer: found, fetched if need be, and put in the place of the former one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from catjac_widgets.errors import Cancelled
from catjac_widgets.input_files import shown
from catjac_widgets.language_models.progress import watched
from catjac_widgets.widgets.explorer.session import Session
from catjac_widgets.widgets.explorer.state import ExplorerState, sentence


class ModelSwitch:
    """Prepares another model on a thread of its own, so that a download holds nothing up.

    Parameters
    ----------
    state
        Told how far it is.
    reopen
        Called with a model, returns its session; may take long, and raises what is wrong with the model.
    begin
        Called, in a turn of the delivery, before anything is done: stops the former model's work.
    take_up
        Called, in a turn, with the new session.
    go_back
        Called, in a turn, where there is none: goes on with the former model.
    """

    def __init__(
        self,
        state: ExplorerState,
        reopen: Callable[[Any], Session],
        *,
        begin: Callable[[], None],
        take_up: Callable[[Session], None],
        go_back: Callable[[], None],
    ) -> None:
        self._state, self._reopen = state, reopen
        self._begin, self._take_up, self._go_back = begin, take_up, go_back
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether a model is being prepared."""
        return self._thread is not None

    def ask(self, model: Any) -> None:
        """Put a model in the place of the former one; returns at once."""
        with self._state.delivery.lock:
            self._stop.set()
            stop = self._stop = threading.Event()
            self._begin()
            self._report(stop, f"preparing {named(model)}", 0.0)
            self._thread = threading.Thread(
                target=self._run, args=(model, stop), name="catjac-model", daemon=True
            )
            self._thread.start()

    def cancel(self) -> None:
        """Stop preparing; the former model stays."""
        self._stop.set()

    def wait(self, timeout: float | None) -> None:
        """Wait until a model that is being prepared is there, or is not to be had."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
            self._state.delivery.flush(timeout)

    def _run(self, model: Any, stop: threading.Event) -> None:
        def watch(what: str, share: float) -> None:
            if stop.is_set():
                raise Cancelled("The model was not waited for.")
            self._post(stop, "model progress", lambda: self._report(stop, what, share))

        try:
            with watched(watch):
                session = self._reopen(model)
        except Cancelled:
            self._post(stop, "model", self._stopped, anyway=True)
        except Exception as error:
            said = f"{named(model)} cannot be used here. {sentence(error)}"
            self._post(stop, "model", lambda: self._stopped(said))
        else:
            self._post(stop, "model", lambda: self._arrived(session))

    def _post(
        self, stop: threading.Event, key: str, call: Callable[[], None], *, anyway: bool = False
    ) -> None:
        def in_turn(_: Any) -> None:
            # One that was overtaken has nothing to say.
            if stop is self._stop and (anyway or not stop.is_set()):
                call()
            elif stop is self._stop:
                self._stopped()

        self._state.delivery.post(key, in_turn, urgent=True)

    def _report(self, stop: threading.Event, what: str, share: float) -> None:
        if not stop.is_set():
            percent = round(100 * share)
            self._state.report("queued", {"message": what, "rows_done": percent, "rows_total": 100})

    def _arrived(self, session: Session) -> None:
        self._thread = None
        self._state.tell("model", "")
        self._take_up(session)

    def _stopped(self, said: str = "") -> None:
        self._thread = None
        self._state.tell("model", said)
        self._go_back()


def named(model: Any) -> str:
    """Give the name of a model that need not be loaded yet."""
    return shown(model) if isinstance(model, str) else str(getattr(model, "name", type(model).__name__))
