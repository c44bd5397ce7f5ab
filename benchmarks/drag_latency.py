"""How quickly the explorer answers a hand, measured in a real browser against a real JupyterLab.

    python benchmarks/drag_latency.py [--out drag_latency.csv] [--drags 20] [--example bpti]

Moves a real mouse in Chromium (CHROMIUM names another than the one on the path) and prints a table, which
`--out` also writes as CSV. Nothing is asserted: the numbers are for people. "mouse → pixels" runs from the
time stamp of the pointer's event to the end of the frame in which the map was drawn that answers it. Each
setting of subshells gets a kernel and a page of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from measured import REPOSITORY, Table
from page_timing import ANSWERS, FIRST_PIXELS, FOUND, LISTEN

sys.path.insert(0, str(REPOSITORY / "tests" / "browser"))

from lab import PATIENCE, Notebook, Server, write_notebook

#: JupyterLab's setting, and what the table calls it.
SUBSHELLS = {"perCommTarget": "subshells on", "disabled": "subshells off"}

#: Work that lasts as long as it is measured beside: a long chain that is in no cache.
SWEEP = (
    "sweep = catjac.submit('MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVK' * 8, cache=False)"
)

CELLS = (
    # An empty cache for each setting.
    "import os, time\nos.environ['CATJAC_CACHE'] += {setting!r}\n"
    "began = time.perf_counter()\n%load_ext catjac\nloaded = time.perf_counter() - began",
    "import catjac\nex = catjac.explore(catjac.examples()[{example!r}], 'mini')\nex",
    "ex.wait(); ex.close()\nex = catjac.explore(catjac.examples()[{example!r}], 'mini', cache=False)\nex",
    "ex.wait(); ex.close()\n"
    "ex = catjac.explore(catjac.examples()[{example!r}], panels=('sequence', 'map', 'sensitivity'))\nex",
)

BOKEH = """element => {
  const view = [...Bokeh.index].find((view) => element.contains(view.el));
  const { left, top } = view.el.getBoundingClientRect();
  const { x_scale, bbox } = view.frame;
  return [left + x_scale.compute(1), left + x_scale.compute(2), top + bbox.top, bbox.height];
}"""


class Session:
    """One kernel with one page, and the table that it fills."""

    def __init__(self, notebook: Notebook, table: Table, condition: str, drags: int) -> None:
        self.notebook, self.page = notebook, notebook.page
        self.table, self.condition, self.drags = table, condition, drags

    def add(self, quantity: str, values: Any, unit: str = "ms") -> None:
        """Add a row to the table."""
        self.table.add(quantity, self.condition, values, unit)

    def found(self) -> Any:
        """Fetch what the page collected since the last time."""
        return self.page.evaluate(FOUND)

    def tell(self, what: str) -> None:
        """Say what is being done."""
        print(f"{self.condition}: {what}", file=sys.stderr, flush=True)

    # ---- what is measured

    def measure(self) -> None:
        """Measure everything, in the order in which a person meets it."""
        page = self.page
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-cell-and-select-next').then(() => 0)")
        self.add("%load_ext", [1000 * float(self.notebook.python("print(loaded)"))])
        for name in ("in a new kernel", "again"):
            self.tell(f"first pixels {name}")
            picture, first_map = page.evaluate(FIRST_PIXELS)
            self.add(f"first pixels {name}", [picture])
            self.add(f"first map {name}", [first_map])
            self.notebook.until("ex.job.done")
        page.evaluate(FIRST_PIXELS)
        self.notebook.explorer.locator(".cj-sensitivity[data-ready]").wait_for(timeout=PATIENCE)
        self.notebook.until("ex.sensitivity.values is not None")
        page.evaluate(LISTEN)
        self.answers("1 + 1, nothing runs", 20)
        self.hover()
        self.brush()
        # A first drag warms the model, the threads and the page.
        self.notebook.python("ex.mask = catjac.Mask.showing(ex.sequence, [(8, 14)])")
        self.drag(200)
        self.dragging("drag", self.drags)
        self.notebook.python(SWEEP)
        self.notebook.until("sweep.progress.rows_done > 2")
        self.answers("1 + 1 while a sweep runs", 20)
        self.dragging("drag while a sweep runs", max(3, self.drags // 3))
        assert self.notebook.python("print(sweep.progress.state); sweep.cancel()") == "running"

    def answers(self, name: str, times: int) -> None:
        """Ask the kernel for 1 + 1."""
        self.tell(name)
        self.add(name, self.page.evaluate(ANSWERS, ["1 + 1", times]))

    def drag(self, by: int) -> None:
        """Take hold of the first fragment's end and move it there and back, a step every 16 ms or so."""
        page = self.page
        box = self.notebook.explorer.locator(".cj-grip-end").first.bounding_box()
        assert box is not None
        x, y = box["x"] + 7, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        for step in (*range(0, by, 6), *range(by, by // 2, -6)):
            page.mouse.move(x + step, y)
            page.wait_for_timeout(16)
        page.wait_for_timeout(250)
        page.mouse.up()
        page.wait_for_timeout(100)

    def dragging(self, name: str, drags: int) -> None:
        """Drag a fragment's end that often, each time from the same mask."""
        notebook = self.notebook
        notebook.python("ex.sequence_mask.timings.clear(); before = ex.sequence_mask.stale_frames")
        notebook.explorer.locator(".cj-track").scroll_into_view_if_needed()
        self.found()
        for number in range(drags):
            self.tell(f"{name} {number + 1} of {drags}")
            notebook.python("ex.mask = catjac.Mask.showing(ex.sequence, [(8, 14)])")
            notebook.explorer.locator(".cj-mask .cj-caption", has_text="7 of").wait_for(timeout=PATIENCE)
            self.drag(420)
        asked, shown, _, _ = self.found()
        timings = json.loads(
            notebook.python("print([[t.seconds, t.size] for t in ex.sequence_mask.timings])")
        )
        stale = int(notebook.python("print(ex.sequence_mask.stale_frames - before)"))
        first_seen: dict[int, float] = {}
        for serial, when in shown:
            first_seen.setdefault(serial, when)
        self.add(f"{name}: kernel receipt → send", [1000 * seconds for seconds, _ in timings])
        answered = [first_seen[serial] - moved for serial, moved in asked if serial in first_seen]
        self.add(f"{name}: mouse → pixels", answered)
        self.add(f"{name}: questions a drag", [len(asked) / drags], "number")
        self.add(f"{name}: stale frames dropped a drag", [stale / drags], "number")
        self.add(f"{name}: bytes a drag", [sum(size for _, size in timings) / drags], "bytes")

    def hover(self) -> None:
        """Move over the map and over the letters, from the event to the read-out's frame."""
        self.tell("hover")
        self.found()
        page, explorer = self.page, self.notebook.explorer
        for locator, steps in ((self.notebook.map, 60), (explorer.locator(".cj-track"), 40)):
            locator.scroll_into_view_if_needed()
            box = locator.bounding_box()
            assert box is not None
            for k in range(steps):
                across = 0.15 + 0.7 * k / steps
                down = min(0.6, 0.2 + across / 2)
                page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
                page.wait_for_timeout(16)
            page.wait_for_timeout(200)
        _, _, hovers, _ = self.found()
        for kind in ("map", "track"):
            self.add(f"hover → read-out of the {kind}", [spent for which, spent in hovers if which == kind])

    def brush(self) -> None:
        """Brush over the sensitivity's bars; from letting go to the residues on the map and on the track."""
        self.tell("brush")
        page = self.page
        plot = self.notebook.explorer.locator(".cj-sensitivity")
        plot.scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        first, second, top, height = plot.evaluate(BOKEH)
        self.found()
        for k in range(10):
            start, y = first + (5 + k) * (second - first), top + 0.6 * height
            page.mouse.move(start, y)
            page.mouse.down()
            page.mouse.move(start + 60, y, steps=4)
            page.mouse.move(start + 160, y, steps=4)
            page.mouse.up()
            page.wait_for_timeout(250)
        self.notebook.until("len(ex.residues) == 1")
        _, _, _, brushes = self.found()
        for kind in ("map", "track"):
            spent: dict[float, float] = {}
            for which, released, took in brushes:
                if which == kind:
                    spent.setdefault(released, took)
            self.add(f"brush on the sensitivity → {kind}", spent.values())


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
    parser.add_argument("--subshells", choices=("both", *SUBSHELLS), default="both")
    options = parser.parse_args()

    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder))
        server.start(
            PYTHONPATH=os.pathsep.join([str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]),
            CATJAC_CACHE=str(Path(folder) / "cache"),
        )
        browser = playwright.chromium.launch(
            executable_path=chromium_path(), args=["--no-sandbox", "--disable-gpu"]
        )
        table = Table(chromium=browser.version, example=options.example)
        try:
            for setting, condition in SUBSHELLS.items():
                if options.subshells not in ("both", setting):
                    continue
                server.set("kernels-settings", commsOverSubshells=setting)
                context = browser.new_context(viewport={"width": 1400, "height": 1300})
                name = f"{setting}.ipynb"
                cells = [cell.format(example=options.example, setting=setting) for cell in CELLS]
                write_notebook(server.notebooks / name, *cells)
                notebook = Notebook(context.new_page(), server, name)
                Session(notebook, table, condition, options.drags).measure()
                context.close()
                server.end_sessions()
        finally:
            if table.rows:
                table.print()
            server.stop()
    if options.out:
        table.write(options.out)


if __name__ == "__main__":
    main()
