"""A notebook that ran unattended and was saved: its page works on without a kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from notebook_page import NotebookPage

nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

CELLS = (
    "%load_ext catjac\nimport catjac",
    "ex = catjac.explore(catjac.examples()['ww'], selection=(4, 20))\nex",
    "ex.recovery_curve.compute()\nex.recovery_curve.wait()\nex.wait()\nNone",
)


def saved(tmp_path: Path) -> Any:
    """Run a notebook as `jupyter execute` does, and read it back from its file."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbclient.NotebookClient(made, timeout=300, store_widget_state=True).execute()
    nbformat.write(made, tmp_path / "saved.ipynb")
    return nbformat.read(tmp_path / "saved.ipynb", as_version=4)


def point(notebook: NotebookPage, selector: str, across: float, down: float) -> tuple[float, float]:
    notebook.page.locator(selector).scroll_into_view_if_needed()
    box = notebook.page.locator(selector).bounding_box()
    assert box is not None
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def ticks(notebook: NotebookPage) -> dict[int, str]:
    """Where residue numbers stand under the bars, 1-based, and which."""
    found = notebook.page.evaluate(
        """() => {
        const host = document.querySelector(".cj-sensitivity .cj-bokeh");
        const view = [...Bokeh.index].find((view) => host.contains(view.el));
        const [axis] = view.model.below;
        return axis.ticker.ticks.map((tick) => [tick, axis.major_label_overrides.get(tick)]);
    }"""
    )
    return {int(tick): str(label) for tick, label in found}


def test_a_saved_page_is_linked_without_a_kernel(
    notebook: NotebookPage, tmp_path: Path, pictures: Path
) -> None:
    made = saved(tmp_path)
    # bokeh's script is with the first view, once, and nowhere else.
    scripts = [
        output.data["application/javascript"]
        for cell in made.cells
        for output in cell.outputs
        if "application/javascript" in output.get("data", {})
    ]
    assert len(scripts) == 1
    assert not made.cells[0].outputs
    page = notebook.page
    page.add_script_tag(content=scripts[0])
    state = made.metadata.widgets["application/vnd.jupyter.widget-state+json"].state
    for name, model in state.items():
        buffers = model.get("buffers", [])
        message = {
            "id": name,
            "method": "open",
            "state": dict(model.state),
            "paths": [buffer["path"] for buffer in buffers],
            "buffers": [buffer["data"] for buffer in buffers],
        }
        page.evaluate("message => window.fromPython(message)", message)
    page.evaluate("disconnect()")
    (shown,) = (
        output.data["application/vnd.jupyter.widget-view+json"]["model_id"]
        for output in made.cells[1].outputs
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {})
        and "panels" in state[output.data["application/vnd.jupyter.widget-view+json"]["model_id"]].state
    )
    page.evaluate("id => window.show(id)", shown)
    for name in ("sensitivity", "recovery"):
        page.wait_for_selector(f".cj-{name}[data-ready]", timeout=30_000)
    # The finished map, and nothing that needs a kernel.
    assert page.locator(".cj-map .cj-title").first.inner_text() == "Jacobian"
    assert not page.locator(".cj-toggle").first.is_visible()
    assert not page.locator(".cj-compute").is_visible()
    assert page.locator(".cj-recovery").get_attribute("data-current") == "point"
    page.locator("#page").screenshot(path=pictures / "saved-page.png")
    # A click on the map is a selection in the block, on the track and over the bars.
    before = {
        name: page.locator(selector).screenshot()
        for name, selector in (("track", ".cj-mask .cj-track"), ("bars", ".cj-sensitivity .cj-bokeh"))
    }
    block = page.locator(".cj-slice .cj-title").first.inner_text()
    page.mouse.click(*point(notebook, ".cj-touch", 0.3, 0.7))
    page.mouse.move(3, 3)
    notebook.until(lambda: page.locator(".cj-slice .cj-title").first.inner_text() != block)
    for name, selector in (("track", ".cj-mask .cj-track"), ("bars", ".cj-sensitivity .cj-bokeh")):
        notebook.until(lambda name=name, at=selector: page.locator(at).screenshot() != before[name])
    # Hover over the bars is said on the map's page and in the bars' own words.
    page.mouse.move(*point(notebook, ".cj-sensitivity .cj-bokeh", 0.5, 0.3))
    page.mouse.move(*point(notebook, ".cj-sensitivity .cj-bokeh", 0.52, 0.3))
    model = f"models.get({shown!r})"
    notebook.until(lambda: page.evaluate(f"{model}.get('hover')") is not None)
    hovered = page.evaluate(f"{model}.get('hover')")
    assert hovered[0] == hovered[1]
    notebook.until(lambda: "influence" in page.locator(".cj-sensitivity .cj-readout").inner_text())
    # The numbers under the bars are those that are chosen: the protein's own, which begin at 7, or positions.
    assert ticks(notebook) == {4: "10", 9: "15", 14: "20", 19: "25", 24: "30", 29: "35"}
    axis = page.locator(".cj-sensitivity .cj-bokeh").screenshot()
    page.locator(".cj-map select[aria-label='residue numbers']").select_option("position")
    notebook.until(lambda: ticks(notebook) == {k: str(k) for k in (5, 10, 15, 20, 25, 30)})
    notebook.until(lambda: page.locator(".cj-sensitivity .cj-bokeh").screenshot() != axis)
    page.locator(".cj-map select[aria-label='residue numbers']").select_option("structure")
    notebook.until(lambda: ticks(notebook)[4] == "10")
    # Separation and colour limit are drawn again.
    for place, (trait, key) in enumerate(
        (("min_separation", "ArrowRight"), ("colour_percentile", "ArrowLeft"))
    ):
        old, value = (
            page.locator(".cj-map .cj-plot").first.screenshot(),
            page.evaluate(f"{model}.get('{trait}')"),
        )
        slider = page.locator(".cj-map .cj-controls input[type=range]").nth(place)
        slider.focus()
        for _ in range(6):
            page.keyboard.press(key)
        assert page.evaluate(f"{model}.get('{trait}')") != value
        notebook.until(lambda old=old: page.locator(".cj-map .cj-plot").first.screenshot() != old)
    # A step of the curve sets its mask.
    page.locator(".cj-recovery").scroll_into_view_if_needed()
    spot = page.evaluate(
        """() => {
        const host = document.querySelector(".cj-recovery .cj-bokeh");
        const view = [...Bokeh.index].find((view) => host.contains(view.el));
        const source = [...view.model.references()].find((model) => model.name === "flanking");
        const { left, top } = view.el.getBoundingClientRect();
        const { x_scale, y_scale } = view.frame;
        return [left + x_scale.compute(source.data.x[0]), top + y_scale.compute(source.data.y[0])];
    }"""
    )
    page.mouse.move(spot[0] - 20, spot[1] + 20)
    page.mouse.click(*spot)
    notebook.until(lambda: page.evaluate(f"{model}.get('mask')") is not None)
    assert notebook.complaints == []
