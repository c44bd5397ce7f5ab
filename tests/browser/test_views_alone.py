"""Each view alone in a notebook, and what a person wrote shown as text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lab import PATIENCE, Notebook, Server, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

Open = Callable[[str], Notebook]

HOSTILE = "<img src=x onerror=window.hacked=1><b>bold</b>"

#: Of each view: how it is made, and what shows that it is drawn.
VIEWS = {
    "contact_map": ("catjac.ContactMap(example.contacts)", ".cj-map .cj-touch"),
    "track": ("catjac.SequenceMask(example.sequence)", ".cj-mask .cj-band"),
    "block": ("catjac.JacobianSlice(J, selection=(4, 20))", ".cj-slice .cj-block"),
    "residues": ("catjac.Sensitivity(J)", ".cj-sensitivity[data-ready]"),
    "recovery": (
        "catjac.RecoveryCurve(recovery=catjac.recovery(example.sequence, fragments=[(3, 9), (20, 26)], "
        "steps=range(4)))",
        ".cj-recovery[data-ready]",
    ),
    "structure": ("catjac.StructureView(example)", ".cj-structure[data-ready]"),
}


def test_each_view_alone(open_notebook: Open, server: Server, results: Path) -> None:
    write_notebook(
        server.notebooks / "alone.ipynb",
        "import catjac\nexample = catjac.examples()['ww']\nJ = catjac.jacobian(example.sequence)",
        *(f"{name} = {made}\n{name}" for name, (made, _) in VIEWS.items()),
    )
    notebook = open_notebook("alone.ipynb")
    notebook.page.set_viewport_size({"width": 1180, "height": 3400})
    notebook.run_all()
    for _, selector in VIEWS.values():
        notebook.page.locator(selector).first.wait_for(timeout=PATIENCE)
    notebook.frames()
    notebook.page.screenshot(path=results / "alone.png")
    # Alone, each is its own state.
    notebook.python("contact_map.selection = (3, 12)")
    assert notebook.python("print(block.selection, structure.selection)") == "(4, 20) None"
    assert notebook.complaints == []


def test_names_are_text_wherever_they_are_shown(open_notebook: Open, server: Server, results: Path) -> None:
    write_notebook(
        server.notebooks / "hostile-views.ipynb",
        "import catjac, dataclasses\n"
        "from catjac_widgets.proteins.sequences import Chain, Sequence\n"
        f"hostile = {HOSTILE!r}\n"
        "example = catjac.examples()['ww']\n"
        "chains = tuple(Chain(hostile + str(k), example.sequence.residues) for k in range(2))\n"
        "atoms = example.structure.atoms\n"
        "other = atoms.copy()\n"
        "other.chain_id[:] = 'B'\n"
        "structure = dataclasses.replace(catjac.structure(atoms + other, chain='A:B'), name=hostile)\n"
        "J = catjac.jacobian(Sequence(chains, hostile), variant='fast')\n"
        "sequence = Sequence(chains, hostile)\n"
        "ex = catjac.explore(sequence, structure=structure, variant='fast', selection=(4, 40))\n"
        "ex",
    )
    notebook = open_notebook("hostile-views.ipynb")
    notebook.page.set_viewport_size({"width": 1180, "height": 2300})
    notebook.run_all()
    notebook.wait_for_status("complete")
    for name in ("sensitivity", "recovery", "structure"):
        notebook.explorer.locator(f".cj-{name}[data-ready]").wait_for(timeout=PATIENCE)
    notebook.python(
        "ex.recovery_curve.error = hostile; ex.recovery_curve.notice = hostile\n"
        "ex.structure_view.add_track(hostile, range(len(sequence))); ex.structure_view.colour_by = hostile\n"
        "ex.notice = hostile; ex.residues = [(3, 9)]; ex.hover = (4, 4)"
    )
    explorer = notebook.explorer
    # The structure draws the longest.
    notebook.when(lambda: HOSTILE in explorer.locator(".cj-structure .cj-caption").inner_text())
    notebook.when(lambda: explorer.locator(".cj-recovery .cj-error").inner_text() == HOSTILE)
    assert explorer.locator(".cj-structure .cj-title").inner_text() == HOSTILE
    assert explorer.locator(".cj-structure select").input_value() == HOSTILE
    notebook.when(lambda: HOSTILE in explorer.locator(".cj-sensitivity .cj-readout").inner_text())
    # The pointer on the curves, on the bars and in the structure: whatever shows a name does so now.
    for selector in (".cj-sensitivity .cj-bokeh", ".cj-recovery .cj-bokeh", ".catjac-structure canvas"):
        box = explorer.locator(selector).first.bounding_box()
        assert box is not None
        for share in (0.4, 0.5, 0.6):
            notebook.page.mouse.move(box["x"] + share * box["width"], box["y"] + share * box["height"])
            notebook.page.wait_for_timeout(400)
    notebook.page.screenshot(path=results / "hostile-views.png")
    assert notebook.page.evaluate("window.hacked") is None
    assert not explorer.locator("img[src=x], b:text-is('bold')").count()
    assert notebook.complaints == []
