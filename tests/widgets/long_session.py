"""An hour of exploring in miniature: drags, models and cancels, and what of a process they may not use up."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import shutil
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipywidgets.widgets import widget as registry
from notebook_page import Wire

from catjac_widgets.language_models.esm.mini.weights import embedded_file
from catjac_widgets.language_models.registry import load_model
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.widgets.explorer.launch import explore
from catjac_widgets.widgets.explorer.view import Explorer

#: A WW domain, which is soon done.
SEQUENCE = as_sequence("LPPGWEKRMSRSSGRVYYFNHITNASQWERP", name="WW")
LENGTH = len(SEQUENCE)

PATIENCE = 120.0


@dataclass(frozen=True)
class Usage:
    """What the process holds.

    Attributes
    ----------
    megabytes
        Resident memory, without what the allocator keeps for later.
    threads, comms, files
        How many there are.
    """

    megabytes: float
    threads: int
    comms: int
    files: int

    @classmethod
    def now(cls) -> Usage:
        """Measure, after whatever is winding down has had its time."""
        settled = time.monotonic() + 2.5  # threads of deliveries end a second after their last work
        while time.monotonic() < settled:
            gc.collect()
            time.sleep(0.5)
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(
            megabytes=pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
            # zarr's own pool grows to a fixed number of threads whenever its calls happen to overlap.
            threads=sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate()),
            comms=len(registry._instances),
            files=len(os.listdir("/proc/self/fd")),
        )


class LongSession:
    """Explorers whose front end is played by the test, through messages as a browser sends them."""

    def __init__(self, wire: Wire, folder: Path) -> None:
        self.wire, self.folder = wire, folder
        self.serial = 0
        self.models_made = 0
        self.models: list[weakref.ref[Any]] = []
        self.explorers: list[weakref.ref[Explorer]] = []

    def play(self, drags: int, models: int, cancels: int) -> None:
        """So many of each, in explorers that are closed again."""
        explorer = self.show()
        for _ in range(drags):
            self.drag(explorer)
        self.close(explorer)
        for _ in range(models):
            self.use_a_model()
        explorer = self.show(variant="full", cache=False)
        for _ in range(cancels):
            self.cancel(explorer)
        self.close(explorer)

    def show(self, model: Any = "mini", sequence: Any = SEQUENCE, **options: Any) -> Explorer:
        """Open an explorer and wait until its map is done."""
        explorer = explore(sequence, model, **{"variant": "fast"} | options)
        explorer.wait(PATIENCE)
        return explorer

    def close(self, explorer: Explorer) -> None:
        """Close an explorer; afterwards nobody may hold it any more."""
        self.explorers.append(weakref.ref(explorer))
        explorer.close()
        self.flush()

    def drag(self, explorer: Explorer) -> None:
        """Drag a fragment's end by three moves, each answered with a frame, and let go."""
        view = explorer.sequence_mask
        start = 1 + self.serial % 7
        for end in (10, 11, 12 + self.serial % 15):
            self.serial += 1
            fragments = [[start, end]]
            self._update(explorer, mask_preview=fragments)
            self._send(view, {"kind": "drag", "serial": self.serial, "fragments": fragments})
            self._until(lambda: bool(view.timings) and view.timings[-1].serial == self.serial)
        self._update(explorer, mask=fragments, mask_preview=None)
        self.flush()

    def cancel(self, explorer: Explorer) -> None:
        """Set a mask, press Cancel while its Jacobian is computed, and press Resume."""
        self.serial += 1
        self._update(explorer, mask=[[1, 8 + self.serial % 20], [30, 31]])
        explorer.delivery.flush()
        self._send(explorer.job_status, {"kind": "cancel"})
        explorer.wait(PATIENCE)
        assert explorer.status == "cancelled"
        self._send(explorer.job_status, {"kind": "resume"})
        explorer.delivery.flush()
        self.flush()

    def use_a_model(self) -> None:
        """Load a model from a file of its own, explore with it, drag, and close."""
        self.models_made += 1
        path = self.folder / f"model{self.models_made}.safetensors"
        shutil.copy(embedded_file(), path)
        explorer = self.show(path)
        self.models.append(weakref.ref(load_model(path)))
        self.drag(explorer)
        self.close(explorer)

    def held(self) -> list[Explorer]:
        """Closed explorers that somebody still holds, once the device's thread has had time for its step."""
        until = time.monotonic() + PATIENCE
        # Nothing here may hold one itself while garbage is collected: in `any`, each is let go of at once.
        while any(ref() is not None for ref in self.explorers) and time.monotonic() < until:
            gc.collect()
            time.sleep(0.1)
        return [explorer for explorer in (ref() for ref in self.explorers) if explorer is not None]

    def flush(self) -> None:
        """Forget what was sent."""
        while not self.wire.out.empty():
            self.wire.out.get()
        for name in set(self.wire.comms) - set(registry._instances):
            del self.wire.comms[name]

    def _send(self, view: Any, content: dict[str, Any]) -> None:
        self.wire.receive({"id": view.model_id, "method": "custom", "content": content})

    def _update(self, widget: Any, **state: Any) -> None:
        self.wire.receive({"id": widget.model_id, "method": "update", "state": state})

    def _until(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.001)
