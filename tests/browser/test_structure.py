"""The structure in JupyterLab, drawn by software: a click in it arrives, and a selection is drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lab import PATIENCE, Notebook, Server, write_notebook
from playwright.sync_api import Locator

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

Open = Callable[..., Notebook]


def ready(notebook: Notebook) -> Locator:
    """The head of the structure once it is drawn."""
    head = notebook.page.locator(".cj-structure[data-ready]").first
    head.wait_for(timeout=PATIENCE)
    head.scroll_into_view_if_needed()
    # The output takes its final place only when all of it is there.
    notebook.steady(notebook.page.locator(".catjac-structure canvas").first.bounding_box)
    return head


def find(notebook: Notebook, wanted: Callable[[str], bool]) -> str:
    """Move the pointer over the picture from its middle outwards until it is on what is wanted, and click."""
    canvas = notebook.page.locator(".catjac-structure canvas").first
    head = notebook.page.locator(".cj-structure").first
    box = canvas.bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    steps = sorted(
        ((x, y) for x in range(-9, 10) for y in range(-9, 10)), key=lambda at: abs(at[0]) + abs(at[1])
    )
    for across, down in steps:
        notebook.page.mouse.move(middle[0] + 8 * across - 2, middle[1] + 8 * down)
        notebook.page.mouse.move(middle[0] + 8 * across, middle[1] + 8 * down)
        notebook.page.wait_for_timeout(350)
        if wanted(said := head.get_attribute("data-pointed") or ""):
            assert head.locator(".cj-caption").inner_text() == said
            notebook.page.mouse.down()
            notebook.page.mouse.up()
            return said
    raise AssertionError("nothing of that kind was met")


def test_a_click_in_the_structure_chooses_a_residue(
    open_notebook: Open, server: Server, results: Path
) -> None:
    write_notebook(
        server.notebooks / "structure.ipynb",
        "import catjac, ipywidgets, numpy as np\n"
        "example = catjac.examples()['bpti']\n"
        "contact_map = catjac.ContactMap(example.contacts, sequence=example.sequence)\n"
        "scores = example.contacts.fillna(0) + 1.5 * (np.indices(example.contacts.shape).sum(0) % 17 == 0)\n"
        "view = catjac.StructureView(example, contacts=scores, state=contact_map)\n"
        "ipywidgets.VBox([contact_map, view])",
    )
    notebook = open_notebook("structure.ipynb")
    notebook.page.set_viewport_size({"width": 1400, "height": 1700})
    # The page is dark before there is a view.
    notebook.choose_theme("Dark")
    notebook.run_all()
    head = ready(notebook)
    assert head.get_attribute("data-dark") == "true"
    # As nglview reports of itself.
    notebook.until("'backgroundColor' in view.view._ngl_full_stage_parameters")
    ground = "view.view._ngl_full_stage_parameters['backgroundColor']"
    notebook.until(f"str({ground}) in ('#111111', str(0x111111))")
    canvas = notebook.page.locator(".catjac-structure canvas").first
    canvas.screenshot(path=results / "structure-dark.png")
    notebook.when(lambda: head.get_attribute("data-lines") == "53")
    assert head.locator(".cj-entry").count() == 2
    # What is selected elsewhere is drawn.
    before = canvas.screenshot()
    notebook.python("contact_map.residues = [(10, 14)]; contact_map.selection = (5, 30)")
    notebook.page.wait_for_function(
        "document.querySelector('.cj-structure').dataset.chosen === '5 10 11 12 13 14 30'"
    )
    notebook.when(lambda: canvas.screenshot() != before)
    notebook.python("contact_map.residues = []; contact_map.selection = None; view.show_contacts = False")
    notebook.steady(canvas.screenshot, looks=3)
    # What is pointed at is named, and pointed at in the other views; a click chooses it.
    labels = notebook.python("print(*example.sequence.labels)").split()
    said = find(notebook, lambda text: text in labels)
    position = labels.index(said) + 1
    notebook.until(f"contact_map.residues == (({position}, {position}),)")
    notebook.until(f"contact_map.hover == ({position}, {position})")
    # nglview's own account of the click.
    notebook.until("'atom1' in view.view.picked")
    assert notebook.python("print(view.view.picked['atom1']['resno'])") == said[1:]
    second = find(notebook, lambda text: text in labels and text != said)
    notebook.until(f"contact_map.selection == ({position}, {labels.index(second) + 1})")
    notebook.until("contact_map.residues == ()")
    # A line is a pair.
    notebook.python("contact_map.selection = None; view.show_contacts = True")
    notebook.steady(canvas.screenshot, looks=3)
    pair = find(notebook, lambda text: " – " in text)
    first, last = (labels.index(label) + 1 for label in pair.split(" – "))
    notebook.until(f"contact_map.selection == ({first}, {last})")
    # Another colour; then light.
    notebook.python("view.add_track('made up', np.arange(53.0)[::-1])")
    notebook.until("view.colour_by == 'made up'")
    notebook.choose_theme("Light")
    notebook.until(f"str({ground}) in ('#ffffff', 'white', str(0xffffff))")
    notebook.steady(canvas.screenshot, looks=3)
    notebook.page.screenshot(path=results / "structure-light.png")
    assert notebook.complaints == []


def test_a_structure_with_caps_and_modified_residues(
    open_notebook: Open, server: Server, results: Path
) -> None:
    """1U19 as nglview ships it: ACE 0, no chain name, GLH, ASH, LRT and YPL in the chain."""
    write_notebook(
        server.notebooks / "rhodopsin.ipynb",
        "import catjac, nglview\n"
        "structure = catjac.structure(nglview.datafiles.PDB)\n"
        "sequence = structure.sequence\n"
        "view = catjac.StructureView(nglview.datafiles.PDB, sequence=sequence, height=420)\n"
        "view",
    )
    notebook = open_notebook("rhodopsin.ipynb")
    notebook.run_all()
    ready(notebook)
    awkward = notebook.python(
        "names = [chain.atoms.res_name[start] for chain in structure.chains for start in chain.starts[:-1]]\n"
        "print([k + 1 for k, name in enumerate(names) if name in ('GLH', 'ASH', 'LRT', 'YPL')])"
    )
    positions = [int(text) for text in awkward.strip("[]").split(",")]
    assert len(positions) >= 4
    canvas = notebook.page.locator(".catjac-structure canvas").first
    labels = notebook.python("print(*sequence.labels)").split()
    for position in positions[:2]:
        number = notebook.python(f"print(sequence.numbers[{position - 1}])")
        notebook.python(f"view.residues = [({position}, {position})]")
        notebook.python(f"view.view.center(selection='{number}')")
        notebook.steady(canvas.screenshot, looks=3)
        canvas.screenshot(path=results / f"rhodopsin-{number}.png")
        notebook.python("view.view.picked = {}")
        said = find(notebook, lambda text, label=labels[position - 1]: text == label)
        # Clicked again, it is let go.
        notebook.until("view.residues == ()")
        notebook.until("'atom1' in view.view.picked")
        assert notebook.python("print(view.view.picked['atom1']['resno'])") == number
        assert said.endswith(number)
    assert notebook.complaints == []


def test_without_its_extension_a_sentence_takes_the_picture_s_place(
    open_notebook: Open, server: Server, results: Path
) -> None:
    write_notebook(
        server.notebooks / "no-nglview.ipynb",
        "import catjac\nex = catjac.explore(catjac.examples()['ww'], panels=('map', 'structure'))\nex",
    )
    notebook = open_notebook("no-nglview.ipynb", without="**/nglview-js-widgets/**")
    notebook.run_all()
    error = notebook.page.locator(".cj-structure .cj-error")
    error.wait_for(timeout=PATIENCE)
    assert 'pip install "nglview!=4.0.1"' in error.inner_text()
    # Only this panel is disabled.
    notebook.wait_for_status("complete")
    notebook.click_map(0.4, 0.6)
    notebook.until("ex.selection is not None")
    notebook.page.screenshot(path=results / "structure-absent.png")
