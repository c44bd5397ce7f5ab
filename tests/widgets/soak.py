"""A person's hour by a script: proteins, drags, cancels, models, a cleared cache, a kernel that is killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from long_session import LENGTH, PATIENCE, SEQUENCE, LongSession
from notebook_page import Wire

import catjac_widgets
from catjac_widgets.proteins.alphabets import ESM_LETTERS
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Sequence
from catjac_widgets.structures.example_proteins import examples
from catjac_widgets.widgets.explorer.launch import explore
from catjac_widgets.widgets.explorer.view import Explorer

EVERY_PANEL = ("sequence", "map", "slice", "sensitivity", "recovery", "structure")

#: The cell of a notebook, up to where rows come in.
_BEGIN = """
import json, time
import catjac
explorer = catjac.explore({residues!r}, variant="full")
until = time.monotonic() + 120
while explorer.progress["rows_done"] < 2 and explorer.status in ("queued", "running"):
    assert time.monotonic() < until
    explorer.delivery.flush()
    time.sleep(0.01)
"""

#: What is asked of it once it is done.
_END = """
explorer.wait(120)
values = explorer.contact_map.values.astype("<f4").tobytes().hex()
print(json.dumps([explorer.status, explorer.error, catjac.cache.info().rows_computed, values]))
explorer.close()
"""


class Soak(LongSession):
    """Acts drawn at random, each checked; between two of them one explorer may be open, and is done.

    Attributes
    ----------
    acts, seconds
        How often each was played, and how long that took together.
    """

    def __init__(self, wire: Wire, folder: Path, seed: int = 0) -> None:
        super().__init__(wire, folder)
        self.random = random.Random(seed)
        self.acts: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self.explorer: Explorer | None = None
        #: Processes that were there before, such as those that other tests left running.
        self.others = children()
        self.ww = examples()["ww"]

    def work(
        self, seconds: float, told: Callable[[], None] | None = None, without: Collection[str] = ()
    ) -> None:
        """Act for so long, and until every act was played; tell every minute; close what is open."""
        acts: dict[str, tuple[Callable[[], None], int]] = {
            "protein": (self.another_protein, 4),
            "structure": (self.with_a_structure, 3),
            "panels": (self.toggle_panels, 3),
            "drag": (self.some_drags, 8),
            "cancel": (self.cancel_and_resume, 3),
            "close early": (self.open_cancel_close, 3),
            "model": (self.another_model, 3),
            "clear": (self.clear_the_cache, 2),
            "kernel": (self.restart_the_kernel, 1),
        }
        acts = {name: act for name, act in acts.items() if name not in without}
        before = self.acts.copy()
        until, minute = time.monotonic() + seconds, time.monotonic() + 60
        while True:
            open_acts = list(acts)
            if time.monotonic() >= until:
                open_acts = [name for name in acts if self.acts[name] == before[name]]
                if not open_acts:
                    break
            (name,) = self.random.choices(open_acts, [acts[each][1] for each in open_acts])
            started = time.monotonic()
            acts[name][0]()
            self.acts[name] += 1
            self.seconds[name] += time.monotonic() - started
            self._check(name)
            if told is not None and time.monotonic() >= minute:
                told()
                minute += 60
        self._open(None)

    # ---- acts

    def another_protein(self) -> None:
        """Explore residues drawn at random."""
        self._open(self.show("mini", self._drawn()))

    def with_a_structure(self) -> None:
        """Explore a protein with its structure."""
        self._open(self.show("mini", self.ww))

    def toggle_panels(self) -> None:
        """Hide and show some panels."""
        explorer = self._shown()
        explorer.panels = tuple(name for name in EVERY_PANEL if self.random.random() < 0.6)
        explorer.delivery.flush()
        explorer.panels = EVERY_PANEL
        explorer.wait(PATIENCE)

    def some_drags(self) -> None:
        """Drag fragments of what is shown, and wait for the map under the last mask."""
        explorer = self._shown()
        for _ in range(3):
            self.drag(explorer)
        explorer.wait(PATIENCE)

    def cancel_and_resume(self) -> None:
        """Cancel while rows come in, resume, and wait for the end."""
        explorer = self.show("mini", self._drawn(), variant="full", cache=False)
        self._open(explorer)
        self.cancel(explorer)
        explorer.wait(PATIENCE)

    def open_cancel_close(self) -> None:
        """Open an explorer with a structure, cancel its job while it is computed, and close it."""
        explorer = explore(self.ww, variant="full", cache=False)
        self._send(explorer.job_status, {"kind": "cancel"})
        explorer.wait(PATIENCE)
        assert explorer.status == "cancelled"
        self.close(explorer)

    def another_model(self) -> None:
        """Explore with a model of a file of its own."""
        self.use_a_model()

    def clear_the_cache(self) -> None:
        """Clear the cache below what is shown, and go on with it."""
        explorer = self._shown()
        catjac_widgets.cache.clear()
        self.drag(explorer)
        explorer.wait(PATIENCE)

    def restart_the_kernel(self) -> None:
        """Kill a Jupyter kernel while it computes and run its cells again, in the cache that we share."""
        from jupyter_client.manager import start_new_kernel

        residues = str(self._drawn())
        manager, client = start_new_kernel(
            startup_timeout=PATIENCE,
            extra_arguments=["--HistoryManager.enabled=False"],
            stderr=subprocess.DEVNULL,
        )
        pids = [manager.provisioner.pid]
        try:
            _run(client, _BEGIN.format(residues=residues))
            manager.restart_kernel(now=True)
            client.wait_for_ready(timeout=PATIENCE)
            pids.append(manager.provisioner.pid)
            status, error, computed, values = json.loads(
                _run(client, _BEGIN.format(residues=residues) + _END).splitlines()[-1]
            )
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=False)
            manager.cleanup_resources()
        assert (status, error) == ("done", "")
        # What the killed kernel had written is not computed again.
        assert computed < len(residues)
        self._open(self.show("mini", residues, variant="full"))
        np.testing.assert_array_equal(
            np.frombuffer(bytes.fromhex(values), "<f4"), self._shown().contact_map.values.ravel()
        )
        assert [left for pid in pids for left in processes_of_session(pid)] == []

    # ---- how it works

    def _drawn(self) -> Sequence:
        length = self.random.randint(LENGTH, LENGTH + 12)
        return as_sequence("".join(self.random.choices(ESM_LETTERS, k=length)), name="drawn")

    def _shown(self) -> Explorer:
        if self.explorer is None:
            self._open(self.show("mini", SEQUENCE))
        assert self.explorer is not None
        return self.explorer

    def _open(self, explorer: Explorer | None) -> None:
        if self.explorer is not None:
            self.close(self.explorer)
        self.explorer = explorer

    def _check(self, act: str) -> None:
        if self.explorer is not None:
            explorer = self.explorer
            assert (explorer.status, explorer.error) == ("done", ""), f"after {act}: {explorer.error}"
            visible = np.ones(len(explorer.sequence), bool)
            if explorer.mask is not None:
                visible = ~np.array(explorer.mask.masked)
            assert np.isfinite(explorer.contact_map.values[np.ix_(visible, visible)]).all(), f"after {act}"
        self.flush()
        assert set(children()) <= set(self.others), f"after {act}"


def _run(client: Any, code: str) -> str:
    """Run a cell in a kernel; what it printed.

    Raises
    ------
    AssertionError
        With the traceback, if the cell or one of its threads failed.
    """
    printed: list[str] = []
    said: list[str] = []

    def hook(message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] == "error":
            said.append("\n".join(content["traceback"]))
        elif message["msg_type"] == "stream":
            (printed if content["name"] == "stdout" else said).append(content["text"])

    reply = client.execute_interactive(code, timeout=PATIENCE, output_hook=hook, allow_stdin=False)
    assert reply["content"]["status"] == "ok", "".join(said)
    assert not any("Traceback" in text for text in said), "".join(said)
    return "".join(printed)


def children() -> list[int]:
    """Processes that this one started and that are still there, by their number."""
    return [pid for pid, stat in _processes() if int(stat[1]) == os.getpid()]


def processes_of_session(leader: int) -> list[int]:
    """Processes of a session, whoever their parent is now."""
    return [pid for pid, stat in _processes() if int(stat[3]) == leader]


def _processes() -> list[tuple[int, list[str]]]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                # What follows the name, which may hold blanks: state, parent, group, session.
                found.append((int(folder.name), (folder / "stat").read_text().rpartition(")")[2].split()))
    return found
