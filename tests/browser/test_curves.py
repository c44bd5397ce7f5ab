"""The bokeh views in JupyterLab: their script comes with the first one, and a new page asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lab import PATIENCE, Notebook, Server, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

Open = Callable[[str], Notebook]

CELLS = (
    "%load_ext catjac\nimport catjac, ipywidgets\n"
    "from catjac_widgets.widgets.sensitivity.view import Sensitivity\n"
    "from catjac_widgets.widgets.contact_map.view import ContactMap\n"
    "import numpy as np, xarray as xr\n"
    "example = catjac.examples()['ww']; L = len(example)\n"
    "summary = xr.Dataset({name: ('pos', np.random.rand(L)) for name in "
    "('influence', 'sensitivity', 'self_response', 'entropy')})\n"
    "contact_map = ContactMap(example.contacts)",
    "first = Sensitivity(summary, state=contact_map)\nipywidgets.VBox([first, contact_map])",
    "second = Sensitivity(summary, state=contact_map)\nsecond",
)

BRUSH = """element => {
    const view = [...Bokeh.index].find((view) => element.contains(view.el));
    const { left, top } = view.el.getBoundingClientRect();
    const { x_scale, bbox } = view.frame;
    return [left + x_scale.compute(8), left + x_scale.compute(14), top + bbox.top + bbox.height / 2];
}"""


def brush(notebook: Notebook, number: int = 0) -> None:
    plot = notebook.page.locator(".cj-sensitivity[data-ready]").nth(number)
    plot.wait_for(timeout=PATIENCE)
    plot.scroll_into_view_if_needed()
    # The output takes its final width and place only when all of it is there.
    first, last, y = notebook.steady(lambda: plot.evaluate(BRUSH))
    notebook.page.mouse.move(first, y)
    notebook.page.mouse.down()
    notebook.page.mouse.move((first + last) / 2, y, steps=3)
    notebook.page.mouse.move(last, y, steps=3)
    notebook.page.mouse.up()


def test_a_brush_reaches_the_kernel_and_all_views(open_notebook: Open, server: Server, results: Path) -> None:
    write_notebook(server.notebooks / "curves.ipynb", *CELLS)
    notebook = open_notebook("curves.ipynb")
    notebook.run_all()
    brush(notebook)
    notebook.until("contact_map.residues == ((8, 14),)")
    notebook.page.mouse.move(3, 3)
    notebook.until("contact_map.hover is None")
    said = notebook.page.locator(".cj-sensitivity .cj-readout")
    notebook.when(lambda: all("7 residues" in text for text in said.all_inner_texts()))
    one, other = said.all_inner_texts()
    assert one == other
    notebook.page.screenshot(path=results / "curves.png")
    # The script is in the first view's cell, so that it is saved with the notebook, and nowhere else.
    sizes = notebook.page.evaluate(
        """() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells
             .map((cell) => JSON.stringify(cell.outputs).length)"""
    )
    assert sizes[0] < 10_000
    assert 1_000_000 < sizes[1] < 4_000_000
    assert sizes[2] < 10_000
    notebook.choose_theme("Dark")
    notebook.frames()
    notebook.page.screenshot(path=results / "curves-dark.png")
    assert not [text for text in notebook.complaints if "okeh" in text]
