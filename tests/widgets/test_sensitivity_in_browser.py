"""The residue tracks in a real Chromium: bars, hover, brush, click, on both sides."""

from __future__ import annotations

from pathlib import Path

import ipywidgets
import numpy as np
import pytest
from jobs import RESIDUES, StagedJob, plan_of
from notebook_page import NotebookPage

from catjac_widgets.analysis.summaries import sensitivity
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.widgets.contact_map.view import ContactMap
from catjac_widgets.widgets.sensitivity.view import Sensitivity

pytestmark = pytest.mark.browser

PLOT = ".cj-sensitivity .cj-bokeh"


def made_up() -> StagedJob:
    job = StagedJob(plan_of(as_sequence(RESIDUES, name="made up")))
    job.finish()
    return job


def at(notebook: NotebookPage, position: float, down: float = 0.4) -> tuple[float, float]:
    """Where a residue is on the page, by the plot's own scale."""
    notebook.page.wait_for_selector(".cj-sensitivity[data-ready]")
    box = notebook.page.evaluate(
        """selector => {
        const host = document.querySelector(selector);
        const view = [...Bokeh.index].find((view) => host.contains(view.el));
        const { left, top } = view.el.getBoundingClientRect();
        const { x_scale, bbox } = view.frame;
        return [left, top, x_scale.compute(1), x_scale.compute(2), bbox.top, bbox.height];
    }""",
        PLOT,
    )
    left, top, first, second, frame_top, height = box
    return left + first + (position - 1) * (second - first), top + frame_top + down * height


def test_tracks_are_the_analysis_room_s(notebook: NotebookPage) -> None:
    J = made_up().partial
    logits = np.random.default_rng(1).standard_normal((58, 20))
    J = J.assign_coords(wild_type_logits=(("pos_out", "aa_out"), logits))
    odds = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    entropy = -(odds * np.log(odds)).sum(axis=1)
    view = Sensitivity(J)
    notebook.show(view)
    notebook.until(lambda: notebook.page.locator(".cj-sensitivity[data-ready]").count() == 1)
    x, y = at(notebook, 24)
    notebook.page.mouse.move(x - 30, y)
    notebook.page.mouse.move(x, y)
    notebook.until(lambda: view.hover == (24, 24))
    said = notebook.text(".cj-sensitivity .cj-readout")
    expected = sensitivity(J).sel(pos=24)
    assert view.sequence.residues == RESIDUES
    assert said.startswith(f"{RESIDUES[23]}24 ")
    for name in ("influence", "sensitivity", "self_response"):
        assert f"{float(expected[name]):.2f}" in said
    assert f"entropy {float(entropy[23]):.2f} nats" in said
    assert view.residues == ()
    notebook.page.mouse.move(2, 2)
    notebook.until(lambda: view.hover is None)
    assert notebook.complaints == []


def test_brush_and_click_choose_residues_everywhere(notebook: NotebookPage, pictures: Path) -> None:
    J = made_up().partial
    contact_map = ContactMap(np.zeros((58, 58)), sequence=RESIDUES)
    view = Sensitivity(J, state=contact_map)
    notebook.show(ipywidgets.VBox([view, contact_map]))
    notebook.until(lambda: notebook.page.locator(".cj-sensitivity[data-ready]").count() == 1)
    before = notebook.page.locator(".cj-touch").screenshot()
    notebook.page.mouse.move(*at(notebook, 10))
    notebook.page.mouse.down()
    notebook.page.mouse.move(*at(notebook, 15), steps=4)
    notebook.page.mouse.move(*at(notebook, 20), steps=4)
    notebook.page.mouse.up()
    notebook.until(lambda: contact_map.residues == ((10, 20),))
    assert view.residues == ((10, 20),)
    notebook.page.mouse.move(2, 2)
    notebook.settle()
    assert "11 residues" in notebook.text(".cj-sensitivity .cj-readout")
    assert notebook.page.locator(".cj-touch").screenshot() != before
    notebook.page.locator("#page").screenshot(path=pictures / "sensitivity-brush.png")
    notebook.page.mouse.click(*at(notebook, 33))
    notebook.until(lambda: view.residues == ((33, 33),))
    notebook.page.wait_for_timeout(500)  # or bokeh takes the next click for a double one
    notebook.page.keyboard.down("Shift")
    notebook.page.mouse.click(*at(notebook, 50))
    notebook.page.keyboard.up("Shift")
    notebook.until(lambda: contact_map.selection == (33, 50))
    notebook.page.wait_for_timeout(500)  # or bokeh takes the next click for a double one
    notebook.page.mouse.click(*at(notebook, 33))
    notebook.until(lambda: view.residues == ())
    # Python moves, the picture follows.
    before = notebook.page.locator(PLOT).screenshot()
    contact_map.residues = [(40, 45)]
    notebook.settle()
    assert notebook.page.locator(PLOT).screenshot() != before
    assert notebook.complaints == []


def test_a_hand_may_rest_before_it_drags(notebook: NotebookPage) -> None:
    view = Sensitivity(made_up().partial)
    notebook.show(view)
    notebook.until(lambda: notebook.page.locator(".cj-sensitivity[data-ready]").count() == 1)
    notebook.page.mouse.move(*at(notebook, 10))
    notebook.page.mouse.down()
    # Longer than bokeh waits before it takes a press for something else.
    notebook.page.wait_for_timeout(700)
    notebook.page.mouse.move(*at(notebook, 15))
    notebook.page.mouse.move(*at(notebook, 20))
    assert view.residues == ()
    notebook.page.mouse.up()
    notebook.until(lambda: view.residues == ((10, 20),))
    # Back to front, and beyond the end of the chain.
    notebook.page.mouse.move(*at(notebook, 50))
    notebook.page.mouse.down()
    notebook.page.mouse.move(*at(notebook, 45))
    notebook.page.mouse.up()
    notebook.until(lambda: view.residues == ((45, 50),))
    assert notebook.complaints == []


def test_links_live_without_a_kernel(notebook: NotebookPage) -> None:
    view = Sensitivity(made_up().partial)
    notebook.show(view)
    notebook.until(lambda: notebook.page.locator(".cj-sensitivity[data-ready]").count() == 1)
    notebook.page.evaluate("disconnect()")
    notebook.page.mouse.click(*at(notebook, 12))
    notebook.settle()
    assert notebook.text(".cj-sensitivity .cj-readout").startswith(view.sequence.labels[11])
    assert view.residues == ()
    assert notebook.complaints == []
