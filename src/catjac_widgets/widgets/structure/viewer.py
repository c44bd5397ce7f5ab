"""nglview's widget as the structure uses it: no thread that nobody needs, nothing left when it is closed."""

from __future__ import annotations

import queue
import threading
from functools import cache
from types import SimpleNamespace
from typing import Any

import ipywidgets

#: Name of the threads that send calls.
THREAD = "catjac-nglview"

#: Calls after which nglview waits until the page has done it.
_ANSWERED = ("loadFile", "replaceStructure", "_exportImage")


def make_viewer(width: int, height: int) -> Any:
    """Make nglview's widget, of that many pixels; the browser widens it to its box.

    Raises
    ------
    ImportError
        Where nglview is not installed.
    """
    import nglview

    # A layout that is set later is one more call.
    layout = ipywidgets.Layout(width="100%", height=f"{height}px")
    return _viewer_class(nglview.NGLWidget)(width=f"{width}px", height=f"{height}px", layout=layout)


class _Calls:
    """nglview's queue of calls; the thread that sends them begins with the first one and ends with the view.

    nglview starts two threads a view, which look into the queue ten times a second for as long as the kernel
    lives. Here nothing is drawn by calls, so most views need none.
    """

    def __init__(self, view: Any) -> None:
        self.ended = False
        self._view = view
        self._waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def append(self, callback: Any) -> None:
        """Have a call sent after those before it."""
        with self._lock:
            if self.ended:
                return
            self._waiting.put(callback)
            if self._thread is None:
                self._thread = threading.Thread(target=self._send, name=THREAD, daemon=True)
                self._thread.start()

    def end(self) -> None:
        """Send nothing any more, and wait for no answer."""
        with self._lock:
            self.ended = True
            self._waiting.put(None)

    def _send(self) -> None:
        while (callback := self._waiting.get()) is not None and not self.ended:
            callback(self._view)
            if callback._method_name in _ANSWERED:
                self._view._wait_until_finished()


@cache
def _viewer_class(base: type[Any]) -> type[Any]:
    class Viewer(base):
        def _initialize_threads(self) -> None:
            # Called twice: by the base too.
            if not hasattr(self, "_remote_call_thread"):
                self.on_msg(self._handle_nglview_custom_msg)
                self._remote_call_thread = SimpleNamespace(q=_Calls(self))

        def _create_player(self) -> None:
            """Make no player, which is for trajectories, with its slider and the links between them."""

        def _wait_until_finished(self, timeout: float = 0.05) -> None:
            # The page of a view that is closed will not answer.
            self._event.clear()
            while not self._remote_call_thread.q.ended and not self._event.wait(timeout):
                pass

        def close(self) -> None:
            """Close all that nglview made for itself too: a button, an image, layouts."""
            if self.comm is None:
                return
            self._remote_call_thread.q.end()
            for part in _parts_of(self):
                part.close()
            super().close()

    return Viewer


def _parts_of(view: Any) -> list[ipywidgets.Widget]:
    """Find the open widgets that a widget refers to, directly or through others."""
    parts: dict[str, ipywidgets.Widget] = {view.model_id: view}
    waiting: list[Any] = [*view._trait_values.values(), *vars(view).values()]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list | tuple):
            waiting += part
        elif isinstance(part, ipywidgets.Widget) and part.model_id and part.model_id not in parts:
            parts[part.model_id] = part
            waiting += [*part._trait_values.values(), *vars(part).values()]
    return [part for part in parts.values() if part is not view]
