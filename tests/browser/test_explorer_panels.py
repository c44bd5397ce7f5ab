"""The whole explorer in JupyterLab: all panels, one state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lab import PATIENCE, Notebook, Server, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

Open = Callable[[str], Notebook]

POINT = """element => {
    const view = [...Bokeh.index].find((view) => element.contains(view.el));
    const source = [...view.model.references()].find((model) => model.name === "flanking");
    const { left, top } = view.el.getBoundingClientRect();
    const { x_scale, y_scale } = view.frame;
    return [left + x_scale.compute(source.data.x[3]), top + y_scale.compute(source.data.y[3])];
}"""


def test_all_panels_follow_one_state(open_notebook: Open, server: Server, results: Path) -> None:
    write_notebook(
        server.notebooks / "panels.ipynb",
        "import catjac\nfrom catjac_widgets.widgets.explorer_layout import PANELS",
        "ex = catjac.explore(catjac.examples()['bpti'], selection=(20, 44), panels=PANELS)\nex",
    )
    notebook = open_notebook("panels.ipynb")
    # High enough for all panels at once; a cell is about 970 pixels wide in it.
    notebook.page.set_viewport_size({"width": 1400, "height": 2000})
    notebook.run_all()
    notebook.wait_for_status("complete")
    explorer = notebook.explorer
    explorer.locator(".cj-sensitivity[data-ready]").wait_for(timeout=PATIENCE)
    recovery = explorer.locator(".cj-recovery[data-ready]")
    recovery.wait_for(timeout=PATIENCE)
    notebook.until("ex.sensitivity.values is not None")
    recovery.locator(".cj-compute").click()
    notebook.until("ex.recovery_curve.status != 'running'")
    assert notebook.python("print(ex.recovery_curve.status, ex.recovery_curve.error)") == "done"
    notebook.page.wait_for_timeout(3000)
    explorer.screenshot(path=results / "panels-light.png")
    recovery.scroll_into_view_if_needed()
    x, y = recovery.evaluate(POINT)
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
    dark = "window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})"
    notebook.page.evaluate(dark)
    notebook.page.wait_for_function("document.body.dataset.jpThemeLight === 'false'")
    notebook.until("ex.structure_view.head.ground not in ('', '#ffffff')")
    notebook.page.wait_for_timeout(4000)
    explorer.screenshot(path=results / "panels-dark.png")
    ours = [text for text in notebook.complaints if "catjac" in text or "okeh" in text]
    assert not ours, ours
