"""The structure in JupyterLab, drawn by software: a click in it arrives, and a selection is drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lab import PATIENCE, Notebook, Server, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

Open = Callable[[str], Notebook]


def test_a_click_in_the_structure_chooses_a_residue(
    open_notebook: Open, server: Server, results: Path
) -> None:
    write_notebook(
        server.notebooks / "structure.ipynb",
        "import catjac\n"
        "from catjac_widgets.widgets.structure_view import StructureView\n"
        "example = catjac.examples()['bpti']\n"
        "view = StructureView(example, contacts=example.contacts)\n"
        "view",
    )
    notebook = open_notebook("structure.ipynb")
    notebook.run_all()
    canvas = notebook.page.locator(".catjac-structure canvas").first
    canvas.wait_for(timeout=PATIENCE)
    notebook.until("view.view.loaded")
    notebook.page.wait_for_timeout(4000)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    assert (round(box["width"]), round(box["height"])) == (440, 360)
    before = canvas.screenshot()
    notebook.python("view.residues = [(10, 14)]; view.selection = (5, 30)")
    notebook.page.wait_for_timeout(3000)
    assert canvas.screenshot() != before
    canvas.screenshot(path=results / "structure.png")
    notebook.python("view.residues = []; view.selection = None")
    # Somewhere near the middle there is a residue or a line; clicks that meet nothing change nothing.
    for across, down in (
        (0.5, 0.5),
        (0.45, 0.45),
        (0.55, 0.55),
        (0.45, 0.55),
        (0.55, 0.45),
        (0.4, 0.5),
        (0.6, 0.5),
    ):
        notebook.page.mouse.move(box["x"] + across * box["width"] - 3, box["y"] + down * box["height"])
        notebook.page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"], delay=60)
        notebook.page.wait_for_timeout(1500)
        if notebook.python("print(bool(view.residues))") == "True":
            break
    found = notebook.python(
        "(first, last), = view.residues\n"
        "atom = view.view.picked['atom1']\n"
        "print(first == last, str(atom['resno']) == example.sequence.numbers[first - 1])"
    )
    assert found == "True True"
