"""How quickly the explorer answers a hand, measured in a real browser against a real JupyterLab.

    python benchmarks/drag_latency.py [--out drag_latency.csv] [--drags 20] [--example bpti]

Moves a real mouse in Chromium (CHROMIUM names another than the one on the path) and prints a table, which
`--out` also writes as CSV. Nothing is asserted: the numbers are for people. "mouse → pixels" runs from the
time stamp of the pointer's event to the end of the frame in which the map was drawn that answers it.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests" / "browser"))

from lab import PATIENCE, Notebook, Server, write_notebook  # noqa: E402

# Collects, in the page: when the pointer moved for each question, and when its answer was on the screen.
LISTEN = """() => {
  const found = { drags: [], frames: [], hovers: [] };
  const painted = (note) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => note(performance.now());
    channel.port2.postMessage(null);
  };
  document.addEventListener("catjac-drag", (event) => {
    found.drags.push([event.detail.serial, event.detail.moved]);
  }, true);
  document.addEventListener("catjac-frame", (event) => {
    const { serial } = event.detail;
    painted((now) => found.frames.push([serial, now]));
  }, true);
  let moved = 0;
  document.addEventListener("pointermove", (event) => { moved = event.timeStamp; }, true);
  const watch = (selector, kind) => new MutationObserver(() => {
    const began = moved;
    if (began) requestAnimationFrame(() => painted((now) => found.hovers.push([kind, now - began])));
  }).observe(document.querySelector(selector), { childList: true, characterData: true, subtree: true });
  watch(".catjac-explorer .cj-map .cj-readout", "map");
  watch(".catjac-explorer .cj-pointed", "track");
  window.catjacFound = found;
}"""

# From asking for the cell to the first picture, and to the first map in it.
FIRST_PIXELS = """async () => {
  const began = performance.now();
  window.jupyterapp.commands.execute("notebook:run-all-cells");
  const until = (test) => new Promise((done) => {
    const look = () => (test() ? done(performance.now() - began) : requestAnimationFrame(look));
    look();
  });
  const title = () => document.querySelector(".catjac-explorer .cj-map .cj-title")?.textContent ?? "";
  const widget = await until(() => title() !== "");
  const map = await until(() => !["", "No map yet"].includes(title()));
  return [widget, map];
}"""


class Table:
    """Rows of quantity, unit, count, median and 95th percentile."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, quantity: str, values: Any, unit: str = "ms") -> None:
        """Add a row."""
        values = np.asarray(list(values), dtype=float)
        p50, p95 = np.percentile(values, [50, 95]) if values.size else (np.nan, np.nan)
        self.rows.append(
            {"quantity": quantity, "unit": unit, "n": values.size, "p50": f"{p50:.1f}", "p95": f"{p95:.1f}"}
        )

    def print(self) -> None:
        """Print all rows."""
        width = max(len(row["quantity"]) for row in self.rows)
        print(f"{'':{width}}  {'unit':>6} {'n':>5} {'p50':>9} {'p95':>9}")
        for row in self.rows:
            name, unit, count, p50, p95 = row.values()
            print(f"{name:{width}}  {unit:>6} {count:>5} {p50:>9} {p95:>9}")

    def write(self, path: Path) -> None:
        """Write all rows as CSV."""
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.rows[0].keys())
            writer.writeheader()
            writer.writerows(self.rows)


def found(notebook: Notebook) -> Any:
    """Fetch what the page collected since the last time."""
    return notebook.page.evaluate(
        """() => {
          const { drags, frames, hovers } = window.catjacFound;
          return [drags.splice(0), frames.splice(0), hovers.splice(0)];
        }"""
    )


def drag_end(notebook: Notebook, by: int) -> None:
    """Take hold of the first fragment's end and move it there and back, a step every 16 ms or so."""
    page = notebook.page
    handle = notebook.explorer.locator(".cj-grip-end").first
    box = handle.bounding_box()
    assert box is not None
    x, y = box["x"] + 7, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    steps = [*range(0, by, 6), *range(by, by // 2, -6)]
    for step in steps:
        page.mouse.move(x + step, y)
        page.wait_for_timeout(16)
    page.wait_for_timeout(250)
    page.mouse.up()
    page.wait_for_timeout(100)


def measure_drags(notebook: Notebook, table: Table, drags: int, name: str) -> None:
    """Drag a fragment's end that often, each time from the same mask."""
    notebook.python("ex.sequence_mask.timings.clear(); before = ex.sequence_mask.stale_frames")
    found(notebook)
    for number in range(drags):
        print(f"{name} {number + 1} of {drags}", file=sys.stderr, end="\r")
        notebook.python("ex.mask = catjac.Mask.showing(ex.sequence, [(8, 14)])")
        notebook.explorer.locator(".cj-mask .cj-caption", has_text="7 of").wait_for(timeout=PATIENCE)
        drag_end(notebook, 420)
    asked, shown, _ = found(notebook)
    timings = json.loads(notebook.python("print([[t.seconds, t.size] for t in ex.sequence_mask.timings])"))
    stale = int(notebook.python("print(ex.sequence_mask.stale_frames - before)"))
    first_seen: dict[int, float] = {}
    for serial, when in shown:
        first_seen.setdefault(serial, when)
    table.add(f"{name}: kernel receipt → send", [1000 * seconds for seconds, _ in timings])
    answered = [first_seen[serial] - moved for serial, moved in asked if serial in first_seen]
    table.add(f"{name}: mouse → pixels", answered)
    table.add(f"{name}: questions a drag", [len(asked) / drags], "number")
    table.add(f"{name}: stale frames dropped a drag", [stale / drags], "number")
    table.add(f"{name}: bytes a drag", [sum(size for _, size in timings) / drags], "bytes")


def measure_hover(notebook: Notebook, table: Table) -> None:
    """Move over the map and over the letters, from the event to the read-out's frame."""
    found(notebook)
    page = notebook.page
    for locator, steps in ((notebook.map, 60), (notebook.explorer.locator(".cj-track"), 40)):
        locator.scroll_into_view_if_needed()
        box = locator.bounding_box()
        assert box is not None
        for k in range(steps):
            across = 0.15 + 0.7 * k / steps
            down = min(0.6, 0.2 + across / 2)
            page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
            page.wait_for_timeout(16)
        page.wait_for_timeout(200)
    _, _, hovers = found(notebook)
    for kind in ("map", "track"):
        table.add(f"hover → read-out of the {kind}", [spent for which, spent in hovers if which == kind])


def chromium_path() -> str | None:
    """Find a browser; None for playwright's own."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="CSV file to write")
    parser.add_argument("--drags", type=int, default=20)
    parser.add_argument("--example", default="bpti", help="one of catjac.examples()")
    parser.add_argument("--subshells", choices=("perCommTarget", "disabled"), default="perCommTarget")
    options = parser.parse_args()

    from playwright.sync_api import sync_playwright

    table = Table()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder))
        server.start(
            PYTHONPATH=os.pathsep.join([str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]),
            CATJAC_CACHE=str(Path(folder) / "cache"),
        )
        try:
            server.set("kernels-settings", commsOverSubshells=options.subshells)
            browser = playwright.chromium.launch(
                executable_path=chromium_path(), args=["--no-sandbox", "--disable-gpu"]
            )
            page = browser.new_context(viewport={"width": 1400, "height": 1300}).new_page()
            write_notebook(
                server.notebooks / "drag.ipynb",
                "import catjac",
                f"ex = catjac.explore(catjac.examples()[{options.example!r}], 'mini')\nex",
            )
            notebook = Notebook(page, server, "drag.ipynb")
            widget, map_there = page.evaluate(FIRST_PIXELS)
            table.add("first pixels (imports included)", [widget])
            table.add("first map (imports included)", [map_there])
            page.evaluate(LISTEN)
            # A first drag warms the model, the threads and the page.
            notebook.python("ex.mask = catjac.Mask.showing(ex.sequence, [(8, 14)])")
            drag_end(notebook, 200)
            measure_drags(notebook, table, options.drags, "drag")
            notebook.python("ex.mask = None; ex.wait()")
            began = time.perf_counter()
            assert notebook.python("print(1 + 1)") == "2"
            table.add("1 + 1 in the kernel", [1000 * (time.perf_counter() - began)])
            measure_hover(notebook, table)
        finally:
            server.stop()
    table.print()
    if options.out:
        table.write(options.out)


if __name__ == "__main__":
    main()
