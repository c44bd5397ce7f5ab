"""A page in a real Chromium joined to real widgets: both directions are carried by the test."""

from __future__ import annotations

import base64
import copy
import json
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import comm
from comm.base_comm import BaseComm

HARNESS = Path(__file__).with_name("harness.html")


class Wire:
    """All comms of this process, and what they published and nobody fetched yet."""

    def __init__(self) -> None:
        self.comms: dict[str, BaseComm] = {}
        self.out: queue.Queue[dict[str, Any]] = queue.Queue()

    @contextmanager
    def installed(self) -> Iterator[Wire]:
        wire = self

        class WiredComm(BaseComm):
            def publish_msg(
                self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any
            ) -> None:
                wire.take(self, msg_type, data or {}, buffers or [])

        before = comm.create_comm
        comm.create_comm = WiredComm
        try:
            yield self
        finally:
            comm.create_comm = before

    def take(self, channel: BaseComm, msg_type: str, data: dict[str, Any], buffers: list[Any]) -> None:
        encoded = [base64.b64encode(bytes(memoryview(buffer).cast("B"))).decode() for buffer in buffers]
        method = {"comm_open": "open", "comm_close": "close"}.get(msg_type, data.get("method"))
        if method == "echo_update":
            return
        self.comms[channel.comm_id] = channel
        # The values may change after they were sent.
        self.out.put(
            copy.deepcopy(
                {
                    "id": channel.comm_id,
                    "method": method,
                    "state": data.get("state", {}),
                    "paths": data.get("buffer_paths", []),
                    "buffers": encoded,
                    "content": data.get("content"),
                }
            )
        )

    def receive(self, message: dict[str, Any]) -> None:
        channel = self.comms[message["id"]]
        if message["method"] == "update":
            data = {"method": "update", "state": message["state"], "buffer_paths": []}
        else:
            data = {"method": "custom", "content": message["content"]}
        channel.handle_msg({"content": {"data": data}, "buffers": []})


class NotebookPage:
    """A browser page and the wire to it."""

    def __init__(self, page: Any, wire: Wire) -> None:
        self.page = page
        self.wire = wire
        self.complaints: list[str] = []
        self.shown: list[Any] = []
        page.on(
            "console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "request",
            lambda r: (
                None
                if r.url.startswith(("file:", "blob:", "data:"))
                else self.complaints.append(f"asked for {r.url}")
            ),
        )
        page.goto(HARNESS.as_uri())

    def pump(self, *, rest: bool = False) -> bool:
        """Carry what waits in both directions; whether there was anything.

        Parameters
        ----------
        rest
            Between the two directions, wait until no frame and no short timer of the page is outstanding.
        """
        waiting = []
        with suppress(queue.Empty):
            while True:
                waiting.append(self.wire.out.get_nowait())
        # As text, which the browser's protocol carries many times faster than objects.
        said = json.loads(
            self.page.evaluate(
                "([messages, rest]) => window.turn(JSON.parse(messages), rest)", [json.dumps(waiting), rest]
            )
        )
        for message in said:
            self.wire.receive(message)
        return bool(waiting or said)

    def show(self, widget: Any) -> None:
        self.shown.append(widget)
        self.pump()
        self.page.evaluate("id => window.show(id)", widget.model_id)
        self.settle()

    def settle(self, seconds: float = 60) -> None:
        """Carry messages until neither side has any left, nor anything to do that would lead to one.

        The page's frames are drawn and its short timers have run out then, and the widgets' deliveries are
        empty. Work on other threads, such as a job or a recovery, is not waited for.
        """
        until = time.monotonic() + seconds
        while self._deliver() | self.pump(rest=True) or not self.wire.out.empty():
            assert time.monotonic() < until, "the page and the widgets never came to rest"

    def _deliver(self) -> bool:
        """Send what the shown widgets have to tell; whether anything is on its way."""
        for delivery in {id(one): one for one in map(_delivery, self._widgets(self.shown)) if one}.values():
            assert delivery.flush(60)
        return not self.wire.out.empty()

    def _widgets(self, widgets: Any) -> Iterator[Any]:
        for widget in widgets:
            yield widget
            yield from self._widgets(getattr(widget, "children", ()))

    def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Pump until the condition holds."""
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "waited in vain"
            self.pump()

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))


def _delivery(widget: Any) -> Any:
    """What sends a widget's news to the front end: its own, or that of the state which it shares."""
    return getattr(getattr(widget, "state", None), "delivery", None) or getattr(widget, "delivery", None)
