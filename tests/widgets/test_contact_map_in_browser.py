"""The contact map alone in a real Chromium: triangles, brush, zoom and numbers, with and without a kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from jobs import RESIDUES, StagedJob, plan_of
from notebook_page import NotebookPage

from catjac_widgets.analysis.benchmark.precision import precision_at_l
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Chain, Sequence
from catjac_widgets.widgets.contact_map.view import ContactMap
from catjac_widgets.widgets.explorer.view import Explorer

pytestmark = pytest.mark.browser

HOSTILE = "<img/src=x/onerror=window.hacked=1>"
LENGTH = 20
LEFT, TOP, RIGHT = 46, 6, 6  # margins of the map's plot, in CSS pixels
MAP, READOUT = ".cj-touch", ".cj-readout"
ABOVE, BELOW = "select[aria-label='map above the diagonal']", "select[aria-label='map below the diagonal']"


def made(seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).random((LENGTH, LENGTH)).astype(np.float32)
    return values + values.T


def truth() -> np.ndarray:
    found = np.random.default_rng(5).random((LENGTH, LENGTH)) < 0.15
    return np.asarray((found | found.T) & ~np.eye(LENGTH, dtype=bool), dtype=float)


def view_of(**options: Any) -> ContactMap:
    sequence = Sequence((Chain("A", "ACDEFGHIKLMNPQRSTVWY"),))
    return ContactMap(made(), sequence=sequence, **{"label": "first", "min_separation": 1, **options})


def cell(notebook: NotebookPage, i: float, j: float, length: int = LENGTH) -> tuple[float, float]:
    box = notebook.page.locator(MAP).bounding_box()
    size = box["width"] - LEFT - RIGHT
    return box["x"] + LEFT + (j - 0.5) / length * size, box["y"] + TOP + (i - 0.5) / length * size


def drag(notebook: NotebookPage, start: tuple[int, int], end: tuple[int, int], length: int = LENGTH) -> None:
    notebook.page.mouse.move(*cell(notebook, *start, length))
    notebook.page.mouse.down()
    for k in range(1, 5):
        i, j = (first + (last - first) * k / 4 for first, last in zip(start, end, strict=True))
        notebook.page.mouse.move(*cell(notebook, i, j, length))
    notebook.settle()


def words(notebook: NotebookPage) -> str:
    return notebook.text(READOUT).replace("−", "-")


def colour(notebook: NotebookPage, i: int, j: int) -> list[int]:
    script = """([x, y]) => {
        const canvas = document.querySelector(".cj-layer:not(.cj-touch)");
        const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
        const copy = document.createElement("canvas").getContext("2d");
        copy.drawImage(canvas, -Math.floor((x - box.left) * scale), -Math.floor((y - box.top) * scale));
        return [...copy.getImageData(0, 0, 1, 1).data];
    }"""
    found: list[int] = notebook.page.evaluate(script, list(cell(notebook, i, j)))
    return found


def test_two_maps_in_the_triangles_are_chosen_read_and_judged(notebook: NotebookPage) -> None:
    other = made(1)
    view = view_of(structure=truth(), maps={"Potts": other}, show_top=True)
    notebook.show(view)
    assert notebook.text(".cj-title") == "first"
    assert notebook.page.locator(".cj-head:visible").count() == 1
    notebook.page.select_option(BELOW, "Potts")
    notebook.until(lambda: view.maps_shown == ("map", "Potts"))
    notebook.settle()
    assert notebook.page.locator(".cj-title").all_inner_texts() == ["first", "Potts"]
    expected = [precision_at_l(values, truth(), separation=1) for values in (made(), other)]
    chance = truth()[np.triu_indices(LENGTH, 1)].mean()
    assert chance > 0.1
    assert notebook.page.locator(".cj-head .cj-caption").all_inner_texts() == [
        f"precision@L {value:.2f} at |i−j| ≥ 1 (chance {chance:.2f})" for value in expected
    ]
    notebook.page.mouse.move(*cell(notebook, 15, 3))
    notebook.until(lambda: view.hover == (15, 3))
    assert words(notebook).startswith(
        f"R15 – D3 · ◥ {made()[14, 2]:.2f} · ◣ {other[14, 2]:.2f} · |i-j| 12 · "
    )
    view.show_top = view.show_native = False
    notebook.page.mouse.move(5, 5)
    notebook.settle()
    above, below = colour(notebook, 3, 15), colour(notebook, 15, 3)
    notebook.page.select_option(BELOW, "map")
    notebook.until(lambda: view.maps_shown == ("map", "map"))
    notebook.settle()
    assert colour(notebook, 3, 15) == above == colour(notebook, 15, 3) != below
    assert notebook.complaints == []


def test_a_drag_brushes_a_block_and_reads_its_mean(notebook: NotebookPage) -> None:
    view = view_of(structure=truth())
    notebook.show(view)
    drag(notebook, (6, 16), (2, 11))
    block = made()[1:6, 10:16]
    count = int(truth()[1:6, 10:16].sum())
    contacts = f"{count} native contact{'' if count == 1 else 's'}"
    expected = f"C2–G6 × M11–S16 · 30 pairs · mean score {block.mean():.2f} · {contacts}"
    assert words(notebook) == expected
    assert view.brush is None, "only what is let go of is chosen"
    notebook.page.mouse.up()
    notebook.until(lambda: view.brush == ((2, 6), (11, 16)))
    assert view.residues == ((2, 6), (11, 16))
    notebook.page.mouse.move(5, 5)
    notebook.until(lambda: words(notebook) == expected)
    assert "brushed C2–G6 × M11–S16" in notebook.page.get_attribute(MAP, "aria-label")
    notebook.page.mouse.click(*cell(notebook, 4, 9))
    notebook.until(lambda: view.selection == (4, 9))
    notebook.until(lambda: view.brush is None)
    notebook.page.keyboard.press("Alt+ArrowRight")
    notebook.page.keyboard.press("Alt+ArrowDown")
    notebook.until(lambda: view.brush == ((4, 5), (9, 10)))
    notebook.page.keyboard.press("Escape")
    notebook.until(lambda: view.brush is None)
    assert view.residues == ()
    assert notebook.complaints == []


def test_shift_zooms_alt_pans_double_click_shows_all(notebook: NotebookPage) -> None:
    view = view_of()
    notebook.show(view)
    notebook.page.keyboard.down("Shift")
    drag(notebook, (3, 11), (8, 16))
    notebook.page.mouse.up()
    notebook.page.keyboard.up("Shift")
    notebook.settle()
    assert view.brush is None
    notebook.page.mouse.move(*cell(notebook, 1, 1))
    notebook.until(lambda: view.hover == (3, 11))
    notebook.page.keyboard.down("Alt")
    drag(notebook, (15, 15), (15, 5))
    notebook.page.mouse.up()
    notebook.page.keyboard.up("Alt")
    notebook.page.mouse.move(*cell(notebook, 1, 1))
    notebook.until(lambda: view.hover == (3, 14))
    notebook.page.mouse.dblclick(*cell(notebook, 10, 10))
    notebook.page.mouse.move(*cell(notebook, 20, 1))
    notebook.until(lambda: view.hover == (20, 1))
    assert notebook.complaints == []


def test_numbers_triangles_and_brush_without_a_kernel(notebook: NotebookPage) -> None:
    numbers = tuple(f"{k + 101}" if k != 4 else "104A" for k in range(LENGTH))
    names = Sequence((Chain("H", "ACDEFGHIKLMNPQRSTVWY", numbers),))
    view = view_of(structure_sequence=names, maps={"Potts": made(1)})
    notebook.show(view)
    notebook.page.evaluate("window.disconnect()")
    notebook.page.mouse.move(*cell(notebook, 5, 12))
    notebook.settle()
    assert words(notebook).startswith("F5 – N12 · ")
    notebook.page.select_option("select[aria-label='residue numbers']", "structure")
    notebook.page.mouse.move(*cell(notebook, 5, 13))
    notebook.settle()
    assert words(notebook).startswith("F104A – P113 · ")
    notebook.page.select_option(ABOVE, "Potts")
    notebook.settle()
    assert notebook.page.locator(".cj-title").all_inner_texts() == ["Potts", "first"]
    drag(notebook, (1, 11), (2, 12))
    notebook.page.mouse.up()
    notebook.page.mouse.move(5, 5)
    notebook.settle()
    assert words(notebook).startswith("A101–C102 × M111–N112 · 4 pairs · ◥ mean score ")
    assert view.brush is None
    assert view.maps_shown == ("map", "map")
    assert notebook.complaints == []


def test_names_of_maps_are_text(notebook: NotebookPage) -> None:
    view = view_of(label=HOSTILE, caption=HOSTILE)
    view.add_map(HOSTILE, made(2), caption=HOSTILE, units=HOSTILE)
    view.maps_shown = ("map", HOSTILE)
    notebook.show(view)
    notebook.page.mouse.move(*cell(notebook, 5, 12))
    notebook.settle()
    assert notebook.page.locator(".cj-title").all_inner_texts() == [HOSTILE, HOSTILE]
    assert HOSTILE in notebook.page.locator(BELOW).inner_html().replace("&lt;", "<").replace("&gt;", ">")
    assert notebook.page.locator("img").count() == 0
    assert notebook.page.evaluate("window.hacked") is None
    assert notebook.complaints == []


def test_three_residues_are_a_map_too(notebook: NotebookPage) -> None:
    view = ContactMap(made()[:3, :3], sequence="MKE", min_separation=1)
    notebook.show(view)
    notebook.page.mouse.click(*cell(notebook, 1, 3, 3))
    notebook.until(lambda: view.selection == (1, 3))
    for _ in range(3):
        notebook.page.click("button[aria-label^='Zoom in']")
    notebook.settle()
    assert words(notebook).startswith("M1 – E3 · score ")
    assert notebook.complaints == []


def test_the_mean_block_is_drawn_and_the_former_map_stays_for_comparison(notebook: NotebookPage) -> None:
    sequence = as_sequence(RESIDUES, name="made up")
    jobs: list[StagedJob] = []

    def start(mask: Mask) -> StagedJob:
        jobs.append(StagedJob(plan_of(sequence, mask=mask)))
        return jobs[-1]

    ex = Explorer(sequence, start, model_name="stub", panels=("map", "slice"))
    jobs[0].finish()
    ex.wait(10)
    notebook.show(ex)
    drag(notebook, (3, 30), (12, 40), len(sequence))
    notebook.page.mouse.up()
    notebook.until(lambda: ex.brush == ((3, 12), (30, 40)))
    notebook.until(lambda: "mean of" in notebook.text(".cj-slice .cj-caption"))
    labels = ex.sequence.labels
    (i0, i1), (j0, j1) = ex.brush
    title = f"{labels[i0 - 1]}–{labels[i1 - 1]} × {labels[j0 - 1]}–{labels[j1 - 1]}"
    assert notebook.text(".cj-slice .cj-title") == title
    assert notebook.page.locator(".cj-block").is_visible()
    ex.mask = Mask.showing(sequence, [(1, 30)])
    jobs[1].finish()
    ex.wait(10)
    notebook.settle()
    notebook.page.select_option(BELOW, "unmasked")
    notebook.until(lambda: ex.maps_shown == ("map", "unmasked"))
    notebook.settle()
    titles = notebook.page.locator(".cj-map .cj-title").all_inner_texts()
    assert titles == ["Jacobian under a mask", "Jacobian, no mask"]
    notebook.page.mouse.move(*cell(notebook, 40, 3, len(sequence)))
    notebook.settle()
    assert f"◥ – · ◣ {ex.contact_map.unmasked.values[39, 2]:.2f}" in words(notebook)
    assert notebook.complaints == []
    ex.close()
