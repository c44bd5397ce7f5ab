"""Finished figures in JupyterLab: the last value of a cell is drawn, without a network, in light and dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lab import PATIENCE, Notebook, Server, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

Open = Callable[[str], Notebook]

CELLS = (
    "import catjac\n"
    "proteins = {name: catjac.examples()[name] for name in ('ww', 'sh3', 'bpti')}\n"
    "curves = catjac.masking.curves(proteins, size=8, margin=2, minimum_contacts=0, avoided=4,\n"
    "                                picks=2, progress=False)\n"
    "catjac.plot.recovery(curves)",
    "catjac.plot.recovery(curves, 'mean', title='The mean')",
)


def test_figures_are_drawn(open_notebook: Open, server: Server, results: Path) -> None:
    write_notebook(server.notebooks / "plots.ipynb", *CELLS)
    notebook = open_notebook("plots.ipynb")
    notebook.run_all()
    page = notebook.page
    figures = page.locator(".jp-OutputArea-output .bk-Figure")
    figures.nth(3).wait_for(timeout=PATIENCE)
    # Two figures, each of curves and of the numbers below them; nothing but the figure is written there.
    assert figures.count() == 4
    assert page.evaluate("Bokeh.documents.length") == 2
    assert not page.locator(".jp-OutputArea-executeResult").count()
    frame_height = figures.nth(0).evaluate(
        """element => {
            const find = (views) => {
                for (const view of views) {
                    if (element === view.el) return view;
                    const found = find(view.child_views ?? []);
                    if (found) return found;
                }
            };
            return find([...Bokeh.index]).frame.bbox.height;
        }"""
    )
    assert frame_height > 200
    figures.nth(0).scroll_into_view_if_needed()
    page.screenshot(path=results / "plots-light.png")
    notebook.choose_theme("Dark")
    notebook.frames()
    page.screenshot(path=results / "plots-dark.png")
    assert not [text for text in notebook.complaints if "okeh" in text]
