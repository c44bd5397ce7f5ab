"""The slice view in a real Chromium, with a real mouse; what it shows is compared with what Python holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from genomic_models import genomic_network, genomic_tokenizer
from jobs import RESIDUES, StagedJob, plan_of
from notebook_page import NotebookPage

import catjac
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Chain, Sequence
from catjac_widgets.widgets.explorer.view import Explorer
from catjac_widgets.widgets.jacobian_slice.values import LETTER_ORDERS, QUANTITIES
from catjac_widgets.widgets.jacobian_slice.view import JacobianSlice

pytestmark = pytest.mark.browser

SEQUENCE = as_sequence(RESIDUES, name="made up")
BLOCK, CHAIN, LINE, READOUT = ".cj-block", ".cj-chain", ".cj-code", ".cj-slice .cj-readout"
# Margins of the drawings, in CSS pixels.
LEFT, TOP, RIGHT, BOTTOM, LETTER = 44, 8, 6, 38, 14


#: The panels that most of these tests look at; bokeh's take a second to make and another to draw.
FEW = ("sequence", "map", "slice")


def explorer(sequence: Sequence = SEQUENCE, **options: Any) -> tuple[Explorer, StagedJob]:
    options.setdefault("panels", FEW)
    plan = {"variant": options.pop("variant", "full"), "mask": options.get("mask")}
    job = StagedJob(plan_of(sequence, **plan))
    return Explorer(sequence, lambda mask: job, model_name="stub", **options), job


def finished(**options: Any) -> Explorer:
    ex, job = explorer(**options)
    job.finish()
    return ex.wait(10)


def tab(notebook: NotebookPage, form: str) -> None:
    notebook.page.click(f".cj-tabs [data-value='{form}']")
    notebook.settle()


def pick(notebook: NotebookPage, side: int, letter: str) -> None:
    notebook.page.click(f".cj-letterline:nth-child({side}) [data-value='{letter}']")
    notebook.settle()


def choose(notebook: NotebookPage, trait: str, value: str) -> None:
    notebook.page.select_option(f"[data-trait='{trait}']", value)
    notebook.settle()


def along(notebook: NotebookPage, position: int, letter: int = 0, length: int = 58) -> tuple[float, float]:
    """Where a residue (and the letter of a matrix) is on the page."""
    box = notebook.page.locator(CHAIN).bounding_box()
    assert box is not None
    width = box["width"] - LEFT - RIGHT
    return box["x"] + LEFT + (position - 0.5) / length * width, box["y"] + TOP + (letter + 0.5) * LETTER


def in_block(notebook: NotebookPage, row: float, column: float) -> tuple[float, float]:
    box = notebook.page.locator(BLOCK).bounding_box()
    assert box is not None
    side = (box["width"] - LEFT - 6) / 20
    return box["x"] + LEFT + (column + 0.5) * side, box["y"] + 4 + (row + 0.5) * side


def read_out(notebook: NotebookPage) -> float:
    """The number that the read-out says."""
    found = re.search(r": (?:mean )?([+−]?[\d.]+)", notebook.text(READOUT))
    assert found, notebook.text(READOUT)
    return float(found[1].replace("−", "-"))


def run(line: str, J: xr.DataArray) -> xr.DataArray:
    made: xr.DataArray = eval(line, {"J": J, "catjac": catjac, "list": list})
    return made.load()


def test_each_form_shows_what_its_line_makes(notebook: NotebookPage) -> None:
    ex = finished(selection=(24, 46))
    notebook.show(ex)
    view = ex.jacobian_slice
    rng = np.random.default_rng(0)
    pairs = [
        (str(q), str(o)) for q, o in zip(QUANTITIES, ("chemistry", "model", "alphabetical"), strict=True)
    ]
    for quantity, order in [*pairs, ("raw", "hydrophobicity")]:
        for form, letter_out in (("block", ""), ("profile", ""), ("profile", "E"), ("matrix", "")):
            tab(notebook, form)
            choose(notebook, "quantity", quantity)
            choose(notebook, "letter_order", order)
            if form != "block":
                pick(notebook, 1, "W")
            if form == "profile":
                pick(notebook, 2, letter_out)
            notebook.until(
                lambda form=form, quantity=quantity: (view.form, view.quantity) == (form, quantity)
            )
            assert view.letter_order == order
            shown = ex.slice
            xr.testing.assert_identical(shown, run(notebook.text(LINE), ex.jacobian))
            for _ in range(3):
                j, a, b = (int(rng.integers(n)) for n in (58, 20, 20))
                if form == "block":
                    notebook.page.mouse.move(*in_block(notebook, a, b))
                    value = float(shown[a, b])
                    names = (shown.aa_in.values[a], shown.aa_out.values[b])
                else:
                    notebook.page.mouse.move(*along(notebook, j + 1, b if form == "matrix" else 3))
                    value = float(shown[j, b] if form == "matrix" else shown[j])
                    names = ("W", shown.aa_out.values[b] if form == "matrix" else letter_out)
                notebook.settle()
                text = notebook.text(READOUT)
                assert text.startswith(f"R24{names[0]} → "), text
                assert f" of {names[1]} " in text or not names[1], text
                assert read_out(notebook) == pytest.approx(value, abs=0.00501)
    assert set(QUANTITIES) == {"raw", "centred", "epistasis"}
    assert set(LETTER_ORDERS) >= {"chemistry", "model", "alphabetical", "hydrophobicity"}
    assert notebook.complaints == []


def test_letters_are_picked_from_the_block(notebook: NotebookPage) -> None:
    ex = finished(selection=(24, 46))
    notebook.show(ex)
    order = LETTER_ORDERS["chemistry"]
    notebook.page.mouse.click(*in_block(notebook, order.index("W"), 3))
    notebook.until(lambda: ex.jacobian_slice.letter_in == "W")
    assert ex.jacobian_slice.letter_out == ""
    notebook.page.mouse.click(*in_block(notebook, order.index("D"), -1))
    notebook.until(lambda: ex.jacobian_slice.letter_in == "D")
    notebook.page.mouse.click(*in_block(notebook, 20.2, order.index("E")))
    notebook.until(lambda: ex.jacobian_slice.letter_out == "E")
    tab(notebook, "profile")
    assert notebook.text(LINE) == 'J.sel(pos_in=24, aa_in="D", aa_out="E")'
    chosen = notebook.page.locator(".cj-letterrow [aria-checked=true]").all_inner_texts()
    assert chosen == ["D", "E"]
    # The wild type is marked, and says that it changes nothing.
    assert notebook.page.locator(".cj-letterline:nth-child(1) .cj-wild").all_inner_texts() == ["R"]
    pick(notebook, 1, "R")
    notebook.until(lambda: "wild type" in notebook.text(READOUT))
    notebook.page.keyboard.press("ArrowLeft")
    notebook.until(lambda: ex.jacobian_slice.letter_in == "K")


def test_hover_and_selection_are_shared(notebook: NotebookPage) -> None:
    ex = finished(selection=(24, 46))
    notebook.show(ex)
    for form in ("profile", "matrix"):
        tab(notebook, form)
        notebook.page.mouse.move(*along(notebook, 11, 4))
        notebook.until(lambda: ex.hover == (24, 11))
        assert "F11" in notebook.text(READOUT)
        notebook.page.mouse.down()
        notebook.page.mouse.up()
        notebook.until(lambda: ex.selection == (24, 11))
        notebook.page.mouse.move(2, 2)
        notebook.until(lambda: ex.hover is None)
        ex.hover = (3, 20)
        notebook.until(lambda: "R20" in notebook.text(READOUT) or "G20" in notebook.text(READOUT))
        ex.hover = None
        notebook.page.focus(CHAIN)
        notebook.page.keyboard.press("ArrowRight")
        notebook.until(lambda: ex.selection == (24, 12))
        for _ in range(4):
            notebook.page.keyboard.press("+")
        notebook.settle()
        notebook.page.mouse.move(*along(notebook, 29, 4))
        notebook.until(lambda: ex.hover is not None)
        # Come closer, the middle of the plot is near the selection.
        assert ex.hover is not None
        assert abs(ex.hover[1] - 12) < 12
        notebook.page.focus(CHAIN)
        notebook.page.keyboard.press("0")
        notebook.settle()
        notebook.page.mouse.move(*along(notebook, 58, 4))
        notebook.until(lambda: ex.hover == (24, 58))
        ex.selection = (24, 46)
    assert notebook.complaints == []


def test_a_row_that_is_not_there_says_so_and_comes(notebook: NotebookPage) -> None:
    ex, job = explorer(selection=(30, 10))
    notebook.show(ex)
    job.give(1)
    tab(notebook, "matrix")
    notebook.until(lambda: "not computed yet" in notebook.text(".cj-note"))
    assert notebook.page.locator(CHAIN).is_hidden()
    job.give(30)
    notebook.until(lambda: notebook.page.locator(CHAIN).is_visible())
    assert notebook.text(LINE).startswith('J.sel(pos_in=30, aa_in="A"')
    ex.selection = (31, 10)
    notebook.until(lambda: "not computed yet" in notebook.text(".cj-note"))
    ex.selection = (30, 12)
    notebook.until(lambda: notebook.page.locator(CHAIN).is_visible())
    assert notebook.complaints == []


def test_only_what_is_new_is_asked_for(notebook: NotebookPage) -> None:
    ex = finished(selection=(24, 46))
    notebook.show(ex)
    notebook.page.evaluate(
        """(id) => {
            window.asked = [];
            const model = models.get(id), send = model.send.bind(model);
            model.send = (content) => { asked.push(content); send(content); };
        }""",
        ex.jacobian_slice.model_id,
    )
    tab(notebook, "profile")
    for trait, value in (
        ("quantity", "epistasis"),
        ("quantity", "centred"),
        ("letter_order", "alphabetical"),
    ):
        choose(notebook, trait, value)
    pick(notebook, 2, "E")
    notebook.page.mouse.click(*along(notebook, 11))
    notebook.until(lambda: ex.selection == (24, 11))
    tab(notebook, "matrix")
    pick(notebook, 1, "W")
    pick(notebook, 1, "A")
    questions = notebook.page.evaluate(
        "asked.map((question) => [question.kind, question.pos_in, question.aa_in])"
    )
    assert questions == [["row", 24, "A"], ["row", 24, "W"]]


def test_under_a_new_mask_nothing_old_is_shown(notebook: NotebookPage) -> None:
    mask = Mask.showing(SEQUENCE, [(1, 40)])
    jobs = [StagedJob(plan_of(SEQUENCE)), StagedJob(plan_of(SEQUENCE, mask=mask))]
    jobs[1].J = jobs[1].J * 2
    jobs[0].finish()
    waiting = list(jobs)
    ex = Explorer(
        SEQUENCE, lambda mask: waiting.pop(0), model_name="stub", selection=(24, 46), panels=FEW
    ).wait(10)
    notebook.show(ex)
    tab(notebook, "profile")
    notebook.page.mouse.move(*along(notebook, 46))
    notebook.until(lambda: "L46" in notebook.text(READOUT))
    before = read_out_norm(notebook)
    ex.mask = mask
    notebook.until(lambda: "not computed yet" in notebook.text(".cj-note"))
    jobs[1].finish()
    ex.wait(10)
    notebook.until(lambda: notebook.page.locator(CHAIN).is_visible())
    notebook.page.mouse.move(*along(notebook, 45))
    notebook.page.mouse.move(*along(notebook, 46))
    notebook.until(lambda: "L46" in notebook.text(READOUT))
    notebook.settle()
    assert read_out_norm(notebook) == pytest.approx(2 * before, abs=0.02)
    assert notebook.text(READOUT).endswith("(masked)")
    ex.selection = (50, 3)
    notebook.until(lambda: "is masked" in notebook.text(".cj-note"))


def read_out_norm(notebook: NotebookPage) -> float:
    found = re.search(r": ([\d.]+) logits over all letters", notebook.text(READOUT))
    assert found, notebook.text(READOUT)
    return float(found[1])


def test_the_fast_variant_has_one_row(notebook: NotebookPage) -> None:
    ex = finished(selection=(24, 46), variant="fast")
    notebook.show(ex)
    notebook.until(lambda: notebook.page.locator(BLOCK).is_visible())
    for form in ("block", "profile", "matrix"):
        tab(notebook, form)
        xr.testing.assert_identical(ex.slice, run(notebook.text(LINE), ex.jacobian))
        assert "R24 masked → " in notebook.text(READOUT)
    option = notebook.page.locator("[data-trait='quantity'] option[value='epistasis']")
    assert option.is_disabled()
    assert "fast variant" in str(option.get_attribute("title"))
    ex.jacobian_slice.quantity = "epistasis"
    notebook.until(lambda: "fast variant" in notebook.text(".cj-note"))
    assert notebook.page.locator(".cj-coderow").is_hidden()


def test_the_line_is_there_to_be_copied(notebook: NotebookPage) -> None:
    ex = finished(selection=(24, 46))
    notebook.show(ex)
    notebook.until(lambda: notebook.page.locator(BLOCK).is_visible())
    choose(notebook, "letter_order", "model")
    assert notebook.text(LINE) == "J.sel(pos_in=24, pos_out=46)"
    notebook.page.evaluate(
        "Object.defineProperty(navigator, 'clipboard', "
        "{ configurable: true, value: { writeText: async (text) => { window.copied = text; } } })"
    )
    notebook.page.click(".cj-copy")
    notebook.until(lambda: notebook.text(".cj-copy") == "Copied")
    assert notebook.page.evaluate("window.copied") == "J.sel(pos_in=24, pos_out=46)"
    notebook.until(lambda: notebook.text(".cj-copy") == "Copy")
    # Where the page may not write, the text is selected for the keyboard.
    notebook.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    notebook.page.click(".cj-copy")
    notebook.until(lambda: "Ctrl" in notebook.text(".cj-copy"))
    assert notebook.page.evaluate("String(getSelection())") == "J.sel(pos_in=24, pos_out=46)"
    assert notebook.complaints == []


def test_without_a_kernel_the_last_slice_stays_and_can_be_reordered(notebook: NotebookPage) -> None:
    ex = finished(selection=(24, 46))
    ex.jacobian_slice.form, ex.jacobian_slice.letter_in = "matrix", "W"
    ex.delivery.flush()
    notebook.pump()
    # As a saved page: what the traits hold is all there is.
    notebook.page.evaluate("window.disconnect()")
    notebook.show(ex)
    notebook.until(lambda: notebook.page.locator(CHAIN).is_visible())
    choose(notebook, "quantity", "epistasis")
    choose(notebook, "letter_order", "alphabetical")
    notebook.page.mouse.move(*along(notebook, 46, 4))
    notebook.settle()
    J = ex.jacobian
    expected = float(catjac.epistasis(J).sel(pos_in=24, aa_in="W", pos_out=46, aa_out="F"))
    assert read_out(notebook) == pytest.approx(expected, abs=0.00501)
    assert "log-odds of F over L at L46" in notebook.text(READOUT)
    tab(notebook, "profile")
    assert notebook.page.locator(CHAIN).is_visible()
    tab(notebook, "block")
    assert notebook.page.locator(BLOCK).is_visible()
    tab(notebook, "matrix")
    pick(notebook, 1, "K")
    assert "not saved with the page" in notebook.text(".cj-note")
    assert notebook.complaints == []


def test_a_brushed_block_has_its_line_too(notebook: NotebookPage) -> None:
    ex = finished()
    notebook.show(ex)
    ex.brush = ((10, 20), (15, 40))
    notebook.until(lambda: notebook.page.locator(BLOCK).is_visible())
    for quantity, order in (("raw", "chemistry"), ("centred", "alphabetical")):
        choose(notebook, "quantity", quantity)
        choose(notebook, "letter_order", order)
        xr.testing.assert_identical(ex.slice, run(notebook.text(LINE), ex.jacobian))
        notebook.page.mouse.move(*in_block(notebook, 2, 5))
        notebook.settle()
        assert read_out(notebook) == pytest.approx(float(ex.slice[2, 5]), abs=0.00501)
        assert ": mean " in notebook.text(READOUT)
    choose(notebook, "quantity", "epistasis")
    assert "no one wild-type letter" in notebook.text(".cj-note")
    ex.selection = (24, 46)
    tab(notebook, "profile")
    assert notebook.page.locator(CHAIN).is_visible()
    tab(notebook, "block")
    ex.brush = None
    notebook.until(lambda: notebook.page.locator(BLOCK).is_visible())
    assert notebook.text(".cj-slice .cj-title") == "R24 → L46"
    assert notebook.complaints == []


def test_a_slice_alone_names_chains_as_text(notebook: NotebookPage) -> None:
    hostile = "<img/src=x/onerror=window.hacked=1>"
    sequence = Sequence((Chain("A", "MKWVTFISLLFLFSS"), Chain(hostile, "AYSRGVFRRDAHKSEV")), hostile)
    job = StagedJob(plan_of(sequence))
    job.finish()
    view = JacobianSlice(job.partial, selection=(4, 20), form="profile", letter_in="W")
    notebook.show(view)
    notebook.until(lambda: notebook.page.locator(CHAIN).is_visible())
    notebook.page.mouse.move(*along(notebook, 20, length=31))
    notebook.until(lambda: f"A:V4W → {hostile}:G5" in notebook.text(READOUT))
    assert notebook.page.locator("img").count() == 0
    assert notebook.page.evaluate("window.hacked") is None
    xr.testing.assert_identical(view.slice, run(notebook.text(LINE), job.partial))
    assert notebook.complaints == []


def test_a_block_of_some_letters_names_them(notebook: NotebookPage) -> None:
    """Of proteins and DNA in one Jacobian, the line cuts out what the block shows."""
    model = catjac.wrap((genomic_network(), genomic_tokenizer()))
    J = catjac.jacobian("<+>MALTKV<+>aattcg", model, cache=False, progress=False)
    view = JacobianSlice(J, selection=(2, 8), letter_order="model")
    notebook.show(view)
    notebook.until(lambda: notebook.page.locator(BLOCK).is_visible())
    assert notebook.text(LINE).count("list(") == 2
    assert view.slice.shape == (20, 4)
    xr.testing.assert_identical(view.slice, run(notebook.text(LINE), J))
    assert notebook.complaints == []


def test_a_block_towards_the_past_points_to_the_other_direction(notebook: NotebookPage) -> None:
    job = StagedJob(plan_of(SEQUENCE))
    job.finish()
    J = job.partial.where(job.partial.pos_in <= job.partial.pos_out, 0)
    view = JacobianSlice(J, selection=(35, 26))
    notebook.show(view)
    notebook.until(lambda: notebook.page.locator(BLOCK).is_visible())
    notebook.until(lambda: "shows the other direction" in notebook.text(READOUT))
    notebook.page.click("[aria-label='swap the two residues']")
    notebook.until(lambda: notebook.text(READOUT).startswith("strongest: "))
    assert notebook.complaints == []


@pytest.mark.parametrize(("width", "schemes"), [(970, ("light", "dark")), (400, ("dark", "light"))])
def test_every_form_fits(
    notebook: NotebookPage, pictures: Path, schemes: tuple[str, ...], width: int
) -> None:
    notebook.page.emulate_media(color_scheme=schemes[0])
    notebook.page.set_viewport_size({"width": width + 32, "height": 900})
    panels = (*FEW, "sensitivity", "recovery", "structure")
    ex = finished(selection=(24, 46), mask=Mask.showing(SEQUENCE, [(1, 50)]), panels=panels)
    notebook.show(ex)
    for form, quantity in (("block", "centred"), ("profile", "epistasis"), ("matrix", "centred")):
        ex.jacobian_slice.form, ex.jacobian_slice.quantity = form, quantity
        for scheme in schemes:
            notebook.page.emulate_media(color_scheme=scheme)
            notebook.settle()
            picture = pictures / f"slice-{form}-{width}-{scheme}.png"
            notebook.page.locator(".cj-slice").screenshot(path=picture)
            assert notebook.page.evaluate("document.documentElement.scrollWidth") <= width + 32
            box = notebook.page.locator(".cj-slice").bounding_box()
            assert box is not None
            for inner in (BLOCK if form == "block" else CHAIN, LINE, ".cj-tabs"):
                part = notebook.page.locator(f".cj-slice {inner}").bounding_box()
                assert part is not None
                assert part["x"] >= box["x"] - 0.5
                assert part["x"] + part["width"] <= box["x"] + box["width"] + 0.5
    assert notebook.complaints == []
