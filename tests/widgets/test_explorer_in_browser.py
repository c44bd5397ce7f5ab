"""The explorer in a real Chromium, with a real mouse; Python's side and the page's are both looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from jobs import RESIDUES, StagedJob, plan_of
from notebook_page import NotebookPage

from catjac_widgets.errors import DeviceError
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.widgets.contact_map.view import ContactMap
from catjac_widgets.widgets.explorer.view import Explorer

pytestmark = pytest.mark.browser

HOSTILE = "<img/src=x/onerror=window.hacked=1>"
MAP, BLOCK = ".cj-touch", ".cj-block"
LEFT, TOP, RIGHT = 46, 6, 6  # margins of the map's plot, in CSS pixels


#: The panels that most of these tests look at; bokeh's take a second to make and another to draw.
FEW = ("sequence", "map", "slice")
ALL = (*FEW, "sensitivity", "recovery", "structure")


def explorer(name: str = "made up", **options: Any) -> tuple[Explorer, StagedJob]:
    options.setdefault("panels", FEW)
    sequence = as_sequence(RESIDUES, name=name)
    job = StagedJob(plan_of(sequence))
    return Explorer(sequence, lambda mask: job, model_name="stub", **options), job


def cell(notebook: NotebookPage, i: int, j: int) -> tuple[float, float]:
    """Where the cell of a pair is on the page."""
    box = notebook.page.locator(MAP).bounding_box()
    size = box["width"] - LEFT - RIGHT
    return box["x"] + LEFT + (j - 0.5) / 58 * size, box["y"] + TOP + (i - 0.5) / 58 * size


def pixel(notebook: NotebookPage, selector: str, x: float, y: float) -> list[int]:
    """Colour of a canvas at a point of the page."""
    script = """([selector, x, y]) => {
        const canvas = document.querySelector(selector);
        const box = canvas.getBoundingClientRect();
        const scale = canvas.width / box.width;
        // A copy: reading a canvas itself changes how the browser draws it.
        const copy = document.createElement("canvas").getContext("2d");
        copy.drawImage(canvas, -Math.floor((x - box.left) * scale), -Math.floor((y - box.top) * scale));
        return [...copy.getImageData(0, 0, 1, 1).data];
    }"""
    found: list[int] = notebook.page.evaluate(script, [selector, x, y])
    return found


BASE = ".cj-layer:not(.cj-touch)"


def test_rows_appear_and_the_end_replaces_them(notebook: NotebookPage) -> None:
    ex, job = explorer()
    notebook.show(ex)
    empty = pixel(notebook, BASE, *cell(notebook, 6, 29))
    assert notebook.text(".cj-map .cj-title") == "No map yet"
    job.give(*range(1, 20))
    notebook.until(lambda: notebook.text(".cj-map .cj-title") == "Jacobian, 32 %")
    notebook.settle()
    filled = pixel(notebook, BASE, *cell(notebook, 6, 29))
    assert filled != empty
    assert pixel(notebook, BASE, *cell(notebook, 40, 29)) == empty
    assert "19 of 58 rows" in notebook.text(".cj-status")
    job.give(*range(20, 50))
    notebook.settle()
    assert pixel(notebook, BASE, *cell(notebook, 40, 29)) != empty
    job.finish()
    notebook.until(lambda: notebook.text(".cj-map .cj-title") == "Jacobian")
    notebook.settle()
    assert "complete" in notebook.text(".cj-status")
    assert notebook.page.locator(".cj-action").is_hidden()
    assert notebook.complaints == []


def test_a_preview_says_that_it_is_one_until_rows_replace_it(notebook: NotebookPage) -> None:
    tell: list[Any] = []

    class Task:
        def cancel(self) -> None: ...

    def preview(job: Any, come: Any, failed: Any) -> Any:
        tell.append(come)
        return Task()

    ex, job = explorer(preview=preview)
    notebook.show(ex)
    tell[0](3, np.roll(job.J, 9, axis=2))
    notebook.until(lambda: notebook.text(".cj-map .cj-title") == "preview, 3 letters")
    notebook.until(lambda: "preview, 3 letters" in notebook.text(".cj-status"))
    notebook.settle()
    approximate = pixel(notebook, BASE, *cell(notebook, 6, 29))
    job.give(*range(1, 20))
    notebook.until(lambda: notebook.text(".cj-map .cj-title") == "Jacobian, 32 %, the rest a preview")
    notebook.until(lambda: "19 of 58 rows" in notebook.text(".cj-status"))
    job.finish()
    notebook.until(lambda: notebook.text(".cj-map .cj-title") == "Jacobian")
    notebook.settle()
    assert "complete" in notebook.text(".cj-status")
    assert pixel(notebook, BASE, *cell(notebook, 6, 29)) != approximate
    assert notebook.complaints == []


def test_hover_reads_a_pair_and_a_click_selects_it(notebook: NotebookPage) -> None:
    ex, job = explorer()
    job.finish()
    ex.wait(10)
    notebook.show(ex)
    notebook.page.mouse.move(*cell(notebook, 24, 41))
    notebook.until(lambda: ex.hover == (24, 41))
    score = ex.contact_map.values[23, 40]
    expected = f"{ex.sequence.labels[23]} – {ex.sequence.labels[40]} · score {score:.2f} · |i−j| 17"
    assert notebook.text(".cj-map .cj-readout").replace("−", "-") == expected.replace("−", "-")
    assert ex.selection is None
    notebook.page.mouse.down()
    notebook.page.mouse.up()
    notebook.until(lambda: ex.selection == (24, 41))
    notebook.until(lambda: notebook.page.locator(BLOCK).is_visible())
    assert notebook.text(".cj-slice .cj-title") == f"{ex.sequence.labels[23]} → {ex.sequence.labels[40]}"
    assert "selected" in notebook.page.get_attribute(MAP, "aria-label")
    notebook.page.mouse.move(5, 5)
    notebook.until(lambda: ex.hover is None)
    assert ex.selection == (24, 41)
    assert notebook.complaints == []


def test_the_block_names_mutations_and_shows_their_sign(notebook: NotebookPage) -> None:
    ex, job = explorer(selection=(5, 29))
    job.finish()
    ex.wait(10)
    notebook.show(ex)
    notebook.until(lambda: notebook.page.locator(BLOCK).is_visible())
    notebook.settle()
    order = "AFILVMWYDEKRHNQSTGPC"
    block = ex.slice
    strongest = float(np.abs(block).max())
    box = notebook.page.locator(BLOCK).bounding_box()
    side = (box["width"] - 44 - 6) / 20
    for letter_in, letter_out in (("A", "C"), ("D", "K"), ("W", "G"), ("C", "A")):
        value = float(block.sel(aa_in=letter_in, aa_out=letter_out))
        x = box["x"] + 44 + (order.index(letter_out) + 0.5) * side
        y = box["y"] + 4 + (order.index(letter_in) + 0.5) * side
        notebook.page.mouse.move(x, y)
        notebook.settle()
        sign = "+" if value > 0 else "−"
        mutant, other = f"{ex.sequence.labels[4]}{letter_in}", ex.sequence.labels[28]
        expected = f"{mutant} → logit of {letter_out} at {other}: {sign}{abs(value):.2f}"
        assert notebook.text(".cj-slice .cj-readout") == expected
        red, _, blue, _ = pixel(notebook, BLOCK, x, y)
        if abs(value) > 0.15 * strongest:
            assert (red > blue) == (value > 0)
    assert notebook.complaints == []


def test_a_block_that_is_not_there_says_so_and_comes(notebook: NotebookPage) -> None:
    ex, job = explorer()
    notebook.show(ex)
    job.give(1)
    notebook.settle()
    notebook.page.mouse.click(*cell(notebook, 30, 10))
    notebook.until(lambda: "not computed yet" in notebook.text(".cj-note"))
    job.give(30)
    notebook.until(lambda: notebook.page.locator(BLOCK).is_visible())
    assert ex.selection == (30, 10)


def test_python_s_selection_moves_the_page_and_arrows_move_python_s(notebook: NotebookPage) -> None:
    ex, job = explorer()
    job.finish()
    ex.wait(10)
    notebook.show(ex)
    ex.selection = (10, 20)
    notebook.until(lambda: notebook.text(".cj-slice .cj-title").count("→") == 1)
    assert notebook.text(".cj-map .cj-readout").startswith(
        f"{ex.sequence.labels[9]} – {ex.sequence.labels[19]}"
    )
    notebook.page.focus(MAP)
    notebook.page.keyboard.press("ArrowRight")
    notebook.page.keyboard.press("Shift+ArrowDown")
    notebook.until(lambda: ex.selection == (20, 21))
    notebook.page.click("button[aria-label='swap the two residues']")
    notebook.until(lambda: ex.selection == (21, 20))
    notebook.page.focus(MAP)
    notebook.page.keyboard.press("Escape")
    notebook.until(lambda: ex.selection is None)


def test_the_separation_dims_what_is_near(notebook: NotebookPage) -> None:
    ex, job = explorer()
    job.finish()
    ex.wait(10)
    notebook.show(ex)
    near = cell(notebook, 12, 23)
    before = pixel(notebook, BASE, *near)
    slider = notebook.page.locator("input[aria-label='Separation']")
    slider.focus()
    for _ in range(9):
        notebook.page.keyboard.press("ArrowRight")
    notebook.until(lambda: ex.min_separation == 15)
    notebook.settle()
    after = pixel(notebook, BASE, *near)
    assert sum(after[:3]) > sum(before[:3])
    ex.min_separation = 6
    notebook.settle()
    assert slider.input_value() == "6"
    assert pixel(notebook, BASE, *near) == before


def test_zoom_keeps_naming_the_right_residues(notebook: NotebookPage) -> None:
    ex, job = explorer(selection=(20, 40))
    job.finish()
    ex.wait(10)
    notebook.show(ex)
    for _ in range(6):
        notebook.page.click("button[aria-label^='Zoom in']")
    notebook.settle()
    box = notebook.page.locator(MAP).bounding_box()
    middle = (
        box["x"] + LEFT + (box["width"] - LEFT - RIGHT) / 2,
        box["y"] + TOP + (box["width"] - LEFT - RIGHT) / 2,
    )
    notebook.page.mouse.move(*middle)
    notebook.until(lambda: ex.hover is not None)
    assert ex.hover is not None
    assert abs(ex.hover[0] - 20) <= 3
    assert abs(ex.hover[1] - 40) <= 3
    notebook.page.mouse.dblclick(*middle)
    notebook.settle()
    notebook.page.mouse.move(*cell(notebook, 58, 1))
    notebook.until(lambda: ex.hover == (58, 1))


def test_cancel_button(notebook: NotebookPage) -> None:
    ex, job = explorer()
    notebook.show(ex)
    job.give(1, 2, 3)
    notebook.settle()
    notebook.page.click(".cj-action")
    notebook.until(lambda: ex.status == "cancelled")
    notebook.settle()
    assert job.cancelled == 1
    assert "stopped at 3 of 58 rows" in notebook.text(".cj-status")
    assert notebook.text(".cj-action") == "Resume"


def test_errors_and_names_are_text(notebook: NotebookPage) -> None:
    ex, job = explorer(name=HOSTILE, notice=HOSTILE, panels=ALL)
    notebook.show(ex)
    job.fail(DeviceError(f"{HOSTILE} broke."))
    notebook.until(lambda: notebook.page.locator(".cj-job [role=alert]").is_visible())
    assert notebook.text(".cj-protein") == HOSTILE
    assert notebook.text(".cj-job [role=alert]") == f"{HOSTILE} broke."
    assert notebook.text(".cj-notice") == HOSTILE
    assert notebook.page.locator("img").count() == 0
    assert notebook.page.evaluate("window.hacked") is None
    assert notebook.complaints == []


def test_without_a_kernel_the_page_still_answers(notebook: NotebookPage) -> None:
    ex, job = explorer(selection=(24, 41), panels=ALL)
    job.give(*range(1, 30))
    notebook.show(ex)
    notebook.until(lambda: notebook.page.locator(BLOCK).is_visible())
    notebook.page.evaluate("window.disconnect()")
    notebook.page.mouse.move(*cell(notebook, 7, 30))
    notebook.settle()
    assert notebook.text(".cj-map .cj-readout").startswith(
        f"{ex.sequence.labels[6]} – {ex.sequence.labels[29]}"
    )
    notebook.page.mouse.click(*cell(notebook, 9, 33))
    notebook.settle()
    assert ex.selection == (24, 41)
    assert ex.sequence.labels[8] in notebook.text(".cj-slice .cj-title")
    assert "not saved with the page" in notebook.text(".cj-note")
    notebook.page.mouse.click(*cell(notebook, 24, 41))
    notebook.settle()
    assert notebook.page.locator(BLOCK).is_visible()
    assert notebook.complaints == []


@pytest.mark.parametrize(("width", "schemes"), [(970, ("light", "dark")), (600, ("dark", "light"))])
def test_it_fits_and_is_readable(notebook: NotebookPage, schemes: tuple[str, ...], width: int) -> None:
    notebook.page.emulate_media(color_scheme=schemes[0])
    notebook.page.set_viewport_size({"width": width + 32, "height": 900})
    ex, job = explorer(
        selection=(24, 41), notice="A notice that is long enough to be broken over lines. " * 3, panels=ALL
    )
    job.finish()
    ex.wait(10)
    notebook.show(ex)
    assert notebook.page.evaluate("document.documentElement.scrollWidth") <= width + 32
    map_box, block_box = (notebook.page.locator(s).bounding_box() for s in (".cj-map", ".cj-slice"))
    if width == 970:
        assert block_box["x"] >= map_box["x"] + map_box["width"]
    else:
        assert block_box["y"] >= map_box["y"] + map_box["height"]

    def brightness(colour: str) -> int:
        return sum(int(part) for part in colour[4:-1].split(",")[:3])

    for scheme in schemes:
        notebook.page.emulate_media(color_scheme=scheme)
        notebook.settle()
        ground, ink = notebook.page.evaluate(
            """(() => {
                const style = getComputedStyle(document.querySelector(".cj-job"));
                return [style.backgroundColor, style.color];
            })()"""
        )
        assert abs(brightness(ground) - brightness(ink)) > 450
        assert (brightness(ground) < brightness(ink)) == (scheme == "dark")
    assert notebook.complaints == []


def test_a_map_alone_with_a_long_protein(notebook: NotebookPage) -> None:
    rng = np.random.default_rng(1)
    length = 700
    values = 0.01 * rng.random((length, length))
    values[123, 456] = values[456, 123] = 1.0
    view = ContactMap(values, label="long", colour_percentile=100.0)
    notebook.show(view)
    box = notebook.page.locator(MAP).bounding_box()
    size = box["width"] - LEFT - RIGHT
    x, y = box["x"] + LEFT + 456.5 / length * size, box["y"] + TOP + 123.5 / length * size
    # One cell is smaller than a pixel here; it must not get lost.
    seen = [pixel(notebook, BASE, x + dx, y + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    assert min(sum(colour[:3]) for colour in seen) < 200
    notebook.page.mouse.click(x, y)
    notebook.until(lambda: view.selection is not None)
    assert view.selection is not None
    assert abs(view.selection[0] - 124) <= 1
    assert abs(view.selection[1] - 457) <= 1


def test_views_that_are_taken_off_the_page_listen_no_more(notebook: NotebookPage) -> None:
    ex, job = explorer(panels=ALL)
    notebook.show(ex)
    listeners = "[...models.values()].reduce((n, m) => n + m.listeners.length, 0)"
    shown = notebook.page.evaluate(listeners)
    notebook.page.evaluate("models.forEach((model) => model.dispose?.())")
    # What is left is the map's own, which keeps its buffer complete whether or not anybody looks.
    assert notebook.page.evaluate(listeners) == 1 < shown
    job.finish()
    ex.wait(10)
    notebook.settle()
    assert notebook.complaints == []
