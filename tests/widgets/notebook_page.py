"""A page in a real Chromium joined to real widgets: both directions are carried by the test."""

from __future__ import annotations

import base64
import copy
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        self.incoming: list[dict[str, Any]] = []
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
        page.expose_function("toPython", lambda message: self.incoming.append(message))
        page.goto(HARNESS.as_uri())

    def pump(self) -> None:
        """Carry what waits in both directions."""
        while True:
            try:
                message = self.wire.out.get_nowait()
            except queue.Empty:
                break
            self.page.evaluate("message => window.fromPython(message)", message)
        self.page.wait_for_timeout(20)
        while self.incoming:
            self.wire.receive(self.incoming.pop(0))

    def show(self, widget: Any) -> None:
        self.pump()
        self.page.evaluate("id => window.show(id)", widget.model_id)
        self.settle()

    def settle(self, seconds: float = 0.4) -> None:
        """Pump for that long, and on until the page has drawn what came."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.pump()
        self.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        self.pump()

    def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Pump until the condition holds."""
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "waited in vain"
            self.pump()

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))
