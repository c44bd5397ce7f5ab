from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from notebook_page import NotebookPage, Wire
from recoveries import made_up_recovery, runs

from catjac_widgets.analysis.recovery.patterns import patterned_masks
from catjac_widgets.analysis.recovery.targets import as_target
from catjac_widgets.errors import Cancelled, MaskError, ModelError, UsageError
from catjac_widgets.language_models.potts.adapter import random_potts
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.widgets.recovery.view import (
    RecoveryCurve,
    described,
    flank_lengths,
    limits_text,
    proposal,
)

RESIDUES = "MKWVTFISLLFLFSSAYSRGVFRRDAHKSEVAHRFKDLGEENFKALVLIAFAQYLQQC"
SEQUENCE = as_sequence(RESIDUES, name="made up")
LENGTH = len(RESIDUES)


def curve_of(compute: Any = None, **traits: Any) -> RecoveryCurve:
    compute = compute or (lambda fragments, pattern, stop: made_up_recovery(LENGTH, fragments, pattern))
    return RecoveryCurve(SEQUENCE, compute=compute, notice="a made-up protein", **traits)


def test_what_a_selection_stands_for() -> None:
    assert proposal((40, 12), (), 58) == [(7, 17), (35, 45)]
    assert proposal((2, 57), (), 58) == [(1, 7), (52, 58)]
    # Windows of a near pair share the residues between them out; they never overlap.
    assert proposal((20, 24), (), 58) == [(15, 22), (23, 29)]
    assert proposal((20, 21), (), 58) == [(15, 20), (21, 26)]
    assert proposal((20, 20), (), 58) == []
    assert proposal(None, ((30, 40),), 58) == [(30, 40)]
    assert proposal((1, 9), ((30, 40), (3, 8)), 58) == [(3, 8), (30, 40)]
    assert proposal((12, 40), ((5, 5),), 58) == [(7, 17), (35, 45)]
    assert proposal(None, (), 58) == []


def test_flank_lengths_reach_the_farther_end() -> None:
    assert flank_lengths([(4, 10)], 20) == list(range(11))
    assert flank_lengths([(1, 2), (19, 20)], 20) == list(range(17))
    long = flank_lengths([(10, 20)], 500)
    assert (long[0], long[-1]) == (0, 480)
    assert len(long) <= 24
    assert long == sorted(set(long))


def test_described_is_what_the_recovery_says() -> None:
    recovery = made_up_recovery(LENGTH, [(7, 17), (18, 28)], "random_distant")
    said = described(recovery)
    assert said["fragments"] == [[7, 17], [18, 28]]
    (curve,) = said["patterns"]
    assert curve["shown"] == recovery["visible"].values[0, 0].tolist()
    assert curve["R"][-2:] == [None, None]
    np.testing.assert_array_equal(curve["R"][:-2], recovery["R"].values[0, 0, :-2])
    assert curve["masks"] == [runs(mask) for mask in recovery["masked"].values[0, 0]]


def test_curves_come_one_after_the_other_and_end(wire: Wire) -> None:
    view = curve_of(selection=(12, 40))
    assert view.proposed == [[7, 17], [35, 45]]
    view.compute()
    view.wait(20)
    assert (view.status, view.error) == ("done", "")
    assert [curve["name"] for curve in view.curves["patterns"]] == [
        "flanking", "flanking_both", "random", "random_distant",
    ]  # fmt: skip
    view.residues = [(20, 30)]
    assert view.proposed == [[20, 30]]
    view.compute()
    view.wait(20)
    assert [curve["name"] for curve in view.curves["patterns"]] == ["flanking", "random", "random_distant"]
    view.close()


def test_what_cannot_be_computed_is_a_sentence(wire: Wire) -> None:
    def refuse(fragments: Any, pattern: str, stop: threading.Event) -> Any:
        raise ModelError("stub has no contact head; use a model with one.")

    view = curve_of(refuse)
    with pytest.raises(UsageError, match="Select a pair"):
        view.compute()
    with pytest.raises(MaskError):
        view.compute([(50, 70)])
    view.compute([(3, 9)])
    view.wait(20)
    assert (view.status, view.error) == ("failed", "stub has no contact head; use a model with one.")
    view.close()


def test_cancelling_stops_and_a_new_run_is_not_spoken_for_by_the_old(wire: Wire) -> None:
    entered = threading.Event()

    def wait_for_stop(fragments: Any, pattern: str, stop: threading.Event) -> Any:
        if fragments == [(3, 9)]:
            entered.set()
            assert stop.wait(20)
            raise Cancelled("stopped")
        return made_up_recovery(LENGTH, fragments, pattern)

    view = curve_of(wait_for_stop)
    view.compute([(3, 9)])
    assert entered.wait(20)
    view.cancel()
    view.wait(20)
    assert view.status == "cancelled"
    entered.clear()
    view.compute([(3, 9)])
    assert entered.wait(20)
    view.compute([(30, 40)])
    view.wait(20)
    assert view.status == "done"
    assert view.curves["fragments"] == [[30, 40]]
    view.close()


def test_a_protein_that_mini_does_not_know_is_told(wire: Wire) -> None:
    view = RecoveryCurve(SEQUENCE)
    assert "mini does not know this protein" in view.notice
    view.close()


POINT = """([pattern, step]) => {
    const host = document.querySelector(".cj-recovery .cj-bokeh");
    const view = [...Bokeh.index].find((view) => host.contains(view.el));
    const source = [...view.model.references()].find((model) => model.name === pattern);
    const { left, top } = view.el.getBoundingClientRect();
    const { x_scale, y_scale } = view.frame;
    return [left + x_scale.compute(source.data.x[step]), top + y_scale.compute(source.data.y[step])];
}"""


@pytest.mark.browser
def test_clicking_a_point_sets_its_mask_and_the_mask_is_marked(notebook: NotebookPage, pictures: Any) -> None:
    view = curve_of(selection=(12, 40))
    notebook.show(view)
    notebook.until(lambda: notebook.page.locator(".cj-recovery[data-ready]").count() == 1)
    button = notebook.page.locator(".cj-recovery .cj-compute")
    at = view.sequence.labels
    assert button.inner_text() == f"Compute for {at[6]}–{at[16]} and {at[34]}–{at[44]}"
    button.click()
    notebook.until(lambda: view.status == "done")
    notebook.settle()
    assert notebook.page.get_attribute(".cj-recovery", "data-current") == "line"
    expected = view.curves["patterns"][0]["masks"][5]
    point = notebook.page.evaluate(POINT, ["flanking", 5])
    notebook.page.mouse.move(point[0] - 60, point[1] - 40)
    notebook.page.mouse.move(*point)
    notebook.settle()
    assert "click to set this mask" in notebook.text(".cj-recovery .cj-readout")
    notebook.page.locator("#page").screenshot(path=pictures / "recovery-hover.png")
    notebook.page.mouse.click(*point)
    notebook.until(lambda: view.mask is not None)
    assert [list(run) for run in view.mask.fragments] == expected
    notebook.settle()
    assert notebook.page.get_attribute(".cj-recovery", "data-current") == "point"
    # A mask that is no step of a curve is a line at its size.
    view.mask = Mask.showing(SEQUENCE, [(1, 3), (50, 58)])
    notebook.settle()
    assert notebook.page.get_attribute(".cj-recovery", "data-current") == "line"
    notebook.page.locator("#page").screenshot(path=pictures / "recovery-line.png")
    assert notebook.complaints == []


def test_limits_are_said(wire: Wire) -> None:
    view = curve_of(selection=(12, 40))
    assert view.limits.startswith("Flanks of 0 to 17 residues on a side.")
    assert "“Distant” means farther than 10 residues" in view.limits
    assert "30 as published" in view.limits
    assert "24 lengths of them at most" in limits_text(flank_lengths([(200, 210)], 500), 30)
    assert "published" not in limits_text([0, 1], 30)
    view.compute()
    view.wait(20)
    assert view.limits.startswith("Flanks of 0 to 7 residues")
    assert "R = 0.5" in view.limits
    view.close()


def test_a_model_without_contact_head_is_asked_for_its_jacobian(wire: Wire) -> None:
    potts = random_potts(40, letters="ACDEFGHIKLMNPQRSTVWY", seed=1)
    view = RecoveryCurve("MKWVTFISLLFLFSSAYSRGVFRRDAHKSEVAHRFKDLGE", potts)
    view.compute([(5, 12), (25, 30)])
    view.wait(120)
    assert (view.status, view.error) == ("done", "")
    assert view.curves["source"] == "jacobian"
    # No mask changes what a Potts model's Jacobian holds (METHODS §6).
    values = [value for curve in view.curves["patterns"] for value in curve["R"] if value is not None]
    np.testing.assert_allclose(values, 1, atol=1e-4)
    assert "has no contact head" in view.limits
    assert "R = 0.5" not in view.limits
    view.close()


def test_points_are_the_masks_of_the_patterns(wire: Wire) -> None:
    sequence = as_sequence(RESIDUES)
    view = RecoveryCurve(sequence, random_potts(LENGTH, letters="ACDEFGHIKLMNPQRSTVWY", seed=2))
    view.compute([(20, 26)])
    view.wait(120)
    for curve in view.curves["patterns"]:
        masked, exists = patterned_masks(
            sequence,
            as_target((20, 26), LENGTH),
            curve["name"],
            flank_lengths([(20, 26)], LENGTH),
            seed=0,
            avoided=10,
        )
        assert curve["masks"] == [runs(row) for row in masked[exists]]
    view.close()
