"""The sequence track in a real Chromium, with a real mouse; both the page and Python are looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jobs import RESIDUES, StagedJob, plan_of
from notebook_page import NotebookPage
from stubs import PottsModel

from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.widgets.explorer.view import Explorer
from catjac_widgets.widgets.sequence_mask.view import SequenceMask

pytestmark = pytest.mark.browser

SEQUENCE = as_sequence(RESIDUES, name="made up")
LENGTH = len(SEQUENCE)
CAPTION, TITLE = ".cj-mask .cj-caption", ".cj-map .cj-title"


def explorer(**options: Any) -> tuple[Explorer, list[StagedJob]]:
    jobs: list[StagedJob] = []

    def start(mask: Mask) -> StagedJob:
        jobs.append(StagedJob(plan_of(SEQUENCE, mask=mask)))
        return jobs[-1]

    return Explorer(SEQUENCE, start, model_name="stub", panels=("sequence", "map"), **options), jobs


def residue(notebook: NotebookPage, position: float) -> tuple[float, float]:
    """Where the middle of a residue is on the page (all residues stand in one line)."""
    box = notebook.page.locator(".cj-track").bounding_box()
    cell = min(19, int((box["width"] - 16) / LENGTH * 4) / 4)
    return box["x"] + 8 + (position - 0.5) * cell, box["y"] + 13 + 12


def drag(notebook: NotebookPage, start: float, end: float, *, release: bool = True) -> None:
    notebook.page.mouse.move(*residue(notebook, start))
    notebook.page.mouse.down()
    for k in range(1, 9):
        notebook.page.mouse.move(*residue(notebook, start + (end - start) * k / 8))
        notebook.pump()
    if release:
        notebook.page.mouse.up()
        notebook.settle()


def fragments(mask: Mask | None) -> list[tuple[int, int]] | None:
    return None if mask is None else list(mask.fragments)


def test_a_model_without_masks_has_letters_to_point_at_only(notebook: NotebookPage) -> None:
    model = PottsModel()
    model.has_mask_token = False
    ex, jobs = explorer(model=model)
    notebook.show(ex)
    assert not ex.sequence_mask.maskable
    assert "no residue can be hidden" in notebook.text(".cj-mask .cj-notice")
    for part in (".cj-mask .cj-controls", ".cj-mask .cj-bands"):
        assert not notebook.page.locator(part).is_visible()
    assert notebook.text(CAPTION) == ""
    drag(notebook, 10, 20)
    assert ex.mask is None
    assert len(jobs) == 1
    notebook.page.mouse.click(*residue(notebook, 12))
    notebook.until(lambda: ex.residues == ((12, 12),))
    # Another model, and the handles are there again.
    ex.sequence_mask.use_model("mini")
    notebook.until(lambda: notebook.page.locator(".cj-mask .cj-controls").is_visible())
    assert notebook.complaints == []


def test_dragging_a_handle_shows_the_head_and_letting_go_the_jacobian(notebook: NotebookPage) -> None:
    ex, jobs = explorer(model="mini", mask=Mask.showing(SEQUENCE, [(10, 20)]))
    notebook.show(ex)
    assert notebook.text(CAPTION) == "11 of 58 residues visible · 10–20"
    # The edge between 20 and 21 is the handle.
    drag(notebook, 20.5, 30.5, release=False)
    notebook.until(lambda: notebook.text(TITLE) == "contact head, under the dragged mask", seconds=60)
    assert notebook.text(CAPTION) == "21 of 58 residues visible · 10–30"
    assert fragments(ex.mask) == [(10, 20)], "the mask itself waits for the release"
    assert len(jobs) == 1
    assert len(ex.sequence_mask.timings) > 0
    notebook.page.mouse.up()
    notebook.until(lambda: fragments(ex.mask) == [(10, 30)])
    notebook.until(lambda: len(jobs) == 2)
    assert str(jobs[1].plan.mask) == "10-30"
    assert jobs[0].cancelled == 1
    jobs[1].give(12, 13)
    notebook.until(lambda: notebook.text(TITLE).startswith("Jacobian under a mask, "))
    jobs[1].finish()
    notebook.until(lambda: notebook.text(TITLE) == "Jacobian under a mask")
    assert ex.mask_preview is None
    assert notebook.complaints == []
    ex.close()


def test_fragments_are_made_moved_cut_and_masked_by_hand(notebook: NotebookPage) -> None:
    view = SequenceMask(SEQUENCE)
    notebook.show(view)
    assert "all 58 residues visible" in notebook.text(CAPTION)
    drag(notebook, 5, 14)  # everything visible: only that stretch stays
    assert fragments(view.mask) == [(5, 14)]
    drag(notebook, 30, 24)  # on masked letters: one more, drawn backwards
    assert fragments(view.mask) == [(5, 14), (24, 30)]
    drag(notebook, 10, 14)  # the whole fragment
    assert fragments(view.mask) == [(9, 18), (24, 30)]
    drag(notebook, 23.5, 26.5)  # its start: shrunk
    assert fragments(view.mask) == [(9, 18), (27, 30)]
    notebook.page.keyboard.down("Shift")
    drag(notebook, 12, 13)
    notebook.page.keyboard.up("Shift")
    assert fragments(view.mask) == [(9, 11), (14, 18), (27, 30)]
    drag(notebook, 29, 16)  # onto another: they become one
    assert fragments(view.mask) == [(9, 11), (14, 18)]
    notebook.page.locator(".cj-band").last.focus()
    notebook.page.keyboard.press("Delete")
    notebook.until(lambda: fragments(view.mask) == [(9, 11)])
    assert notebook.complaints == []


def test_escape_lets_go_and_nothing_has_changed(notebook: NotebookPage) -> None:
    view = SequenceMask(SEQUENCE, mask=Mask.showing(SEQUENCE, [(10, 20)]))
    notebook.show(view)
    drag(notebook, 15, 25, release=False)
    assert "20–30" in notebook.text(CAPTION)
    notebook.page.keyboard.press("Escape")
    notebook.settle()
    notebook.page.mouse.up()
    notebook.settle()
    assert "10–20" in notebook.text(CAPTION)
    assert fragments(view.mask) == [(10, 20)]
    assert notebook.complaints == []


def test_keys_move_a_fragment_and_its_ends(notebook: NotebookPage) -> None:
    view = SequenceMask(SEQUENCE, mask=Mask.showing(SEQUENCE, [(10, 20)]))
    notebook.show(view)
    page = notebook.page
    band = page.get_by_role("slider", name="visible fragment 1", exact=True)
    labels = SEQUENCE.labels
    assert band.get_attribute("aria-valuetext") == f"{labels[9]} to {labels[19]}, 11 residues"
    band.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert fragments(view.mask) == [(10, 20)]
    notebook.until(lambda: fragments(view.mask) == [(21, 31)])
    page.get_by_role("slider", name="end of fragment 1", exact=True).focus()
    page.keyboard.press("ArrowLeft")
    notebook.until(lambda: fragments(view.mask) == [(21, 30)])
    assert notebook.complaints == []


def test_buttons_sliders_and_history(notebook: NotebookPage) -> None:
    view = SequenceMask(SEQUENCE, mask=Mask.showing(SEQUENCE, [(10, 20)]))
    notebook.show(view)
    page = notebook.page

    def press(action: str) -> None:
        page.locator(f"button[data-action={action}]").click()

    def expect(*expected: tuple[int, int]) -> None:
        notebook.until(lambda: fragments(view.mask) == list(expected))

    press("invert")
    expect((1, 9), (21, 58))
    press("mask")
    expect()
    assert "all 58 residues masked" in notebook.text(CAPTION)
    press("show")
    notebook.until(lambda: view.mask is None)
    for expected in ([], [(1, 9), (21, 58)], [(10, 20)]):
        notebook.until(lambda: page.locator("button[data-action=undo]").is_enabled())
        press("undo")
        expect(*expected)
    notebook.until(lambda: page.locator("button[data-action=undo]").is_disabled())
    page.get_by_role("slider", name="Flank", exact=True).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect((8, 22))
    page.get_by_label("where fragments grow").select_option("inward")
    expect((10, 20))
    page.get_by_label("where fragments grow").select_option("both")
    expect((8, 22))
    page.get_by_role("slider", name="Random", exact=True).focus()
    seen = view.mask
    for k in range(1, 4):
        page.keyboard.press("ArrowRight")
        notebook.until(lambda k=k: view.mask is not None and len(view.mask.visible) == 15 + k)
        assert set(seen.visible) < set(view.mask.visible)
        seen = view.mask
    assert notebook.complaints == []


def test_the_track_and_the_map_share_hover_and_python_moves_the_track(notebook: NotebookPage) -> None:
    ex, jobs = explorer()
    jobs[0].finish()
    ex.wait(30)
    notebook.show(ex)
    notebook.page.mouse.move(*residue(notebook, 24))
    notebook.until(lambda: ex.hover == (24, 24))
    assert SEQUENCE.labels[23] in notebook.text(".cj-map .cj-readout")
    ex.hover = (7, 40)
    notebook.until(lambda: notebook.text(".cj-pointed") != "")
    notebook.until(lambda: SEQUENCE.labels[39] in notebook.text(".cj-pointed"))
    notebook.page.mouse.click(*residue(notebook, 30))
    notebook.until(lambda: ex.residues == ((30, 30),))
    ex.mask = Mask.showing(SEQUENCE, [(3, 5), (40, 44)])
    notebook.until(lambda: "3–5, 40–44" in notebook.text(CAPTION))
    box = notebook.page.locator(".cj-band").first.bounding_box()
    assert abs(box["x"] + box["width"] / 2 - residue(notebook, 4)[0]) < 2
    assert notebook.complaints == []
    ex.close()


def test_it_wraps_where_there_is_less_room_and_names_are_text(notebook: NotebookPage) -> None:
    hostile = "<img/src=x/onerror=window.hacked=1>"
    view = SequenceMask(as_sequence(f">{hostile}\n{RESIDUES}:{RESIDUES}"), note=hostile)
    notebook.page.set_viewport_size({"width": 400, "height": 900})
    notebook.show(view)
    narrow = notebook.page.locator(".cj-track").bounding_box()["height"]
    notebook.page.set_viewport_size({"width": 1300, "height": 900})
    notebook.settle()
    assert notebook.page.locator(".cj-track").bounding_box()["height"] < narrow
    assert notebook.text(".cj-mask .cj-notice") == hostile
    assert notebook.page.evaluate("window.hacked") is None
    assert notebook.page.locator(".cj-mask img").count() == 0
    assert notebook.complaints == []


def test_a_drag_may_leave_the_track_and_be_as_fast_as_it_likes(notebook: NotebookPage) -> None:
    view = SequenceMask(SEQUENCE, mask=Mask.showing(SEQUENCE, [(10, 20)]))
    notebook.show(view)
    mouse, (x, y) = notebook.page.mouse, residue(notebook, 20.5)
    mouse.move(x, y)
    mouse.down()
    # One leap beyond the right edge and far below, without anything between.
    mouse.move(1000, 700)
    notebook.settle()
    assert "10–58" in notebook.text(CAPTION)
    mouse.move(1, 1)
    notebook.settle()
    assert "1 of 58 residues visible · 10" in notebook.text(CAPTION)
    mouse.move(x + (residue(notebook, 30.5)[0] - x), 600)
    mouse.up()
    notebook.until(lambda: fragments(view.mask) == [(10, 30)])
    # The pointer is free again: moving over the letters drags nothing.
    mouse.move(*residue(notebook, 40))
    notebook.settle()
    assert fragments(view.mask) == [(10, 30)]
    assert notebook.complaints == []


def test_flanks_are_those_of_recovery_and_end_with_their_chain(notebook: NotebookPage) -> None:
    from catjac_widgets.analysis.recovery.patterns import patterned_masks
    from catjac_widgets.analysis.recovery.targets import as_target

    chains = as_sequence(f"{RESIDUES[:30]}:{RESIDUES[30:]}")
    runs = [(22, 26), (33, 38)]
    view = SequenceMask(chains, mask=Mask.showing(chains, runs))
    notebook.show(view)
    page = notebook.page
    page.get_by_role("slider", name="Flank", exact=True).focus()
    for steps in (1, 5):
        for _ in range(steps):
            page.keyboard.press("ArrowRight")
        flank = 1 if steps == 1 else 6
        for side, pattern in (
            ("outward", "flanking"),
            ("inward", "flanking_inward"),
            ("both", "flanking_both"),
        ):
            page.get_by_label("where fragments grow").select_option(side)
            masked, _ = patterned_masks(chains, as_target(runs, len(chains)), pattern, [flank])
            expected = list(Mask.from_array(masked[0]).fragments)
            notebook.until(lambda expected=expected: fragments(view.mask) == expected)
        page.get_by_role("slider", name="Flank", exact=True).focus()
    assert notebook.complaints == []


def test_a_thousand_residues_of_two_chains(notebook: NotebookPage, pictures: Path) -> None:
    chains = as_sequence(f"{(RESIDUES * 9)[:500]}:{(RESIDUES * 9)[:500]}")
    view = SequenceMask(chains, mask=Mask.showing(chains, [(480, 540), (700, 760)]))
    notebook.show(view)
    page = notebook.page
    page.locator("#page").screenshot(path=pictures / "track-1000.png")
    assert page.locator(".cj-trackroom").bounding_box()["height"] < 320, "the map stays in sight"
    band = page.get_by_role("slider", name="end of fragment 2", exact=True)
    band.scroll_into_view_if_needed()
    notebook.settle()
    box = band.bounding_box()
    assert box is not None
    x, y = box["x"] + 7, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 84, steps=4)
    notebook.settle()
    # Straight up is whole lines back, in the same column; below the last line the track scrolls on.
    assert page.evaluate("document.querySelector('.cj-trackroom').scrollTop") > 0
    page.mouse.move(x, y + 500, steps=40)
    notebook.settle()
    page.mouse.up()
    notebook.until(lambda: fragments(view.mask) != [(480, 540), (700, 760)])
    first, second = fragments(view.mask) or [(0, 0), (0, 0)]
    assert (first, second[0]) == ((480, 540), 700)
    assert second[1] > 900
    assert second[1] == 1000 or (second[1] - 760) % 10 == 0
    assert notebook.complaints == []
