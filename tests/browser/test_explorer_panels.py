"""The whole explorer in JupyterLab: all panels, one state, at several widths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lab import PATIENCE, Notebook, Server, write_notebook
from playwright.sync_api import Locator

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

Open = Callable[[str], Notebook]

POINT = """element => {
    const view = [...Bokeh.index].find((view) => element.contains(view.el));
    const source = [...view.model.references()].find((model) => model.name === "flanking");
    const { left, top } = view.el.getBoundingClientRect();
    const { x_scale, y_scale } = view.frame;
    return [left + x_scale.compute(source.data.x[3]), top + y_scale.compute(source.data.y[3])];
}"""

BRUSH = """element => {
    const view = [...Bokeh.index].find((view) => element.contains(view.el));
    const { left, top } = view.el.getBoundingClientRect();
    const { x_scale, bbox } = view.frame;
    return [left + x_scale.compute(8), left + x_scale.compute(14), top + bbox.top + bbox.height / 2];
}"""

#: What stands out of the explorer's box to either side, and text that is cut.
OVERFLOW = """explorer => {
    const { left, right } = explorer.getBoundingClientRect();
    const found = [];
    for (const element of explorer.querySelectorAll(".catjac, .catjac *")) {
        const box = element.getBoundingClientRect();
        // A legend's canvas is wider than what is drawn in it.
        const slack = element.tagName === "CANVAS" ? 9 : 1;
        if (!box.width || getComputedStyle(element).visibility === "hidden") continue;
        if (box.left < left - slack || box.right > right + slack) found.push(element.className);
    }
    return found;
}"""


def ready(notebook: Notebook) -> Locator:
    """The explorer once every panel is drawn."""
    notebook.wait_for_status("complete")
    explorer = notebook.explorer
    for name in ("sensitivity", "recovery", "structure"):
        explorer.locator(f".cj-{name}[data-ready]").wait_for(timeout=PATIENCE)
    notebook.until("ex.sensitivity.values is not None")
    notebook.until("ex.structure_view.head.pairs is not None")
    return explorer


def test_all_panels_follow_one_state(open_notebook: Open, server: Server, results: Path) -> None:
    write_notebook(
        server.notebooks / "panels.ipynb",
        "import catjac",
        "ex = catjac.explore(catjac.examples()['bpti'], selection=(20, 44))\nex",
    )
    notebook = open_notebook("panels.ipynb")
    # High enough for all panels at once; a cell is about 970 pixels wide in it.
    notebook.page.set_viewport_size({"width": 1180, "height": 2300})
    notebook.run_all()
    explorer = ready(notebook)
    recovery = explorer.locator(".cj-recovery")
    recovery.locator(".cj-compute").click()
    notebook.until("ex.recovery_curve.status != 'running'")
    assert notebook.python("print(ex.recovery_curve.status, ex.recovery_curve.error)") == "done"
    # Brushing chooses residues everywhere.
    chart = explorer.locator(".cj-sensitivity")
    parts = {
        name: explorer.locator(selector).first
        for name, selector in (("map", ".cj-map .cj-plot"), ("track", ".cj-mask .cj-track"))
    }
    first, last, y = notebook.steady(lambda: chart.evaluate(BRUSH))
    before = {name: part.screenshot() for name, part in parts.items()}
    notebook.page.mouse.move(first, y)
    notebook.page.mouse.down()
    notebook.page.mouse.move((first + last) / 2, y, steps=3)
    notebook.page.mouse.move(last, y, steps=3)
    notebook.page.mouse.up()
    notebook.until("ex.residues == ((8, 14),)")
    notebook.page.mouse.move(3, 3)
    notebook.until("ex.hover is None")
    drawn = "document.querySelector('.cj-structure').dataset.chosen === '8 9 10 11 12 13 14 20 44'"
    notebook.page.wait_for_function(drawn)
    for name, part in parts.items():
        notebook.when(lambda name=name, part=part: part.screenshot() != before[name])
    for shade in ("Light", "Dark"):
        notebook.choose_theme(shade)
        for width in (970, 700, 420):
            explorer.evaluate("(element, width) => (element.style.maxWidth = `${width}px`)", width)
            # Panels follow a new width one after the other, the structure last.
            notebook.when(lambda: explorer.evaluate(OVERFLOW) == [])
            assert notebook.steady(lambda: explorer.evaluate(OVERFLOW)) == [], width
            explorer.screenshot(path=results / f"panels-{width}-{shade.lower()}.png")
    explorer.evaluate("element => (element.style.maxWidth = '')")
    recovery.scroll_into_view_if_needed()
    x, y = notebook.steady(lambda: recovery.evaluate(POINT))
    notebook.page.mouse.move(x - 40, y - 20)
    notebook.page.mouse.move(x, y)
    notebook.page.mouse.click(x, y)
    notebook.until("ex.mask is not None")
    assert (
        notebook.python(
            "curves = ex.recovery_curve.curves['patterns']\n"
            "visible = [list(run) for run in ex.mask.fragments]\n"
            "print(visible in [mask for curve in curves for mask in curve['masks'][3:4]])"
        )
        == "True"
    )
    notebook.wait_for_status("complete")
    assert notebook.complaints == []


def test_panels_are_shown_and_hidden(open_notebook: Open, server: Server, results: Path) -> None:
    write_notebook(
        server.notebooks / "toggles.ipynb",
        "import sys, catjac\nex = catjac.explore(catjac.examples()['ww'], panels=('map',))\nex",
        "plain = catjac.explore(catjac.examples()['ww'].sequence, panels='map')\nplain",
    )
    notebook = open_notebook("toggles.ipynb")
    notebook.page.set_viewport_size({"width": 1180, "height": 2000})
    notebook.run_all()
    explorer = notebook.page.locator(".catjac-explorer").first
    explorer.locator(".cj-status", has_text="complete").wait_for(timeout=PATIENCE)
    assert notebook.python("print('bokeh' in sys.modules, 'nglview' in sys.modules)") == "False False"
    toggle = explorer.locator(".cj-toggle")
    assert [one.get_attribute("aria-pressed") for one in toggle.all()] == ["false", "true"] + 4 * ["false"]
    explorer.locator("[data-panel=structure]").click()
    explorer.locator(".cj-structure[data-ready]").wait_for(timeout=PATIENCE)
    notebook.until("ex.panels == ('map', 'structure')")
    # bokeh's script is in no cell's output here: the page asks for it.
    explorer.locator("[data-panel=sensitivity]").click()
    explorer.locator(".cj-sensitivity[data-ready]").wait_for(timeout=PATIENCE)
    notebook.until("ex.sensitivity.values is not None")
    explorer.locator("[data-panel=map]").click()
    explorer.locator(".cj-map").wait_for(state="detached", timeout=PATIENCE)
    # Hidden and shown again, it is drawn again.
    explorer.locator("[data-panel=structure]").click()
    explorer.locator(".cj-structure").wait_for(state="detached", timeout=PATIENCE)
    notebook.python("ex.panels = ('sequence', 'structure', 'map')")
    explorer.locator(".cj-structure[data-ready]").wait_for(timeout=PATIENCE)
    explorer.locator(".cj-mask").wait_for(timeout=PATIENCE)
    assert not explorer.locator(".cj-sensitivity").count()
    notebook.frames()
    other = notebook.page.locator(".catjac-explorer").last
    assert other.locator("[data-panel=structure]").is_disabled()
    assert "No structure was given" in other.locator(".cj-why").inner_text()
    notebook.page.screenshot(path=results / "toggles.png")
    assert notebook.complaints == []
