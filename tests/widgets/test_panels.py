from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import ipywidgets
import numpy as np
import pytest
from jobs import StagedJob, plan_of
from notebook_page import Wire

from catjac_widgets.analysis.summaries import sensitivity
from catjac_widgets.errors import UsageError
from catjac_widgets.structures.example_proteins import examples
from catjac_widgets.widgets.base.panels import Panel, PanelContext, register_panel, unregister_panel
from catjac_widgets.widgets.explorer.view import Explorer
from catjac_widgets.widgets.sensitivity.view import stacked
from catjac_widgets.widgets.structure.panel import NO_ATOMS, NO_STRUCTURE

#: The package's own, in the order in which they lie.
PANELS = ("sequence", "map", "slice", "sensitivity", "recovery", "structure")


def lying(ex: Explorer) -> tuple[list[Any], list[Any]]:
    """Give the panels of the two columns, which are the last of what lies in an explorer."""
    first, second = (list(column.children) for column in ex.children[-1].children)
    return first, second


def toggles(ex: Explorer) -> Any:
    """Give the row of buttons."""
    return ex.children[1]


def lines(ex: Explorer) -> Any:
    """Give the pairs for which lines are drawn in the structure."""
    return ex.structure_view.head.pairs


def lines_of_the_map(ex: Explorer) -> Any:
    return ex.structure_view.scene.pairs(ex.contact_map.values, ex.min_separation)


def test_panels_are_told_of_the_complete_jacobian(wire: Wire) -> None:
    example = examples()["bpti"]
    job = StagedJob(plan_of(example.sequence))
    ex = Explorer(example.sequence, lambda mask: job, structure=example.structure, model="mini")
    assert ex.panels == PANELS
    assert lying(ex) == (
        [ex.contact_map, ex.structure_view],
        [ex.jacobian_slice, ex.sensitivity, ex.recovery_curve],
    )
    job.give(1, 2, 3)
    ex.delivery.flush()
    assert ex.sensitivity.values is None
    assert lines(ex) is None
    job.finish()
    ex.wait(20)
    ex.delivery.flush()
    np.testing.assert_array_equal(ex.sensitivity.values, stacked(sensitivity(job.result())))
    np.testing.assert_array_equal(lines(ex), lines_of_the_map(ex))
    assert ex.structure_view.colour_by == "influence"
    ex.selection = (4, 30)
    assert ex.recovery_curve.proposed == [[1, 9], [25, 35]]
    ex.close()


def test_a_hidden_panel_is_made_when_it_is_first_shown(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bokeh", "nglview"):
        for module in [key for key in sys.modules if key.split(".")[0] == name]:
            monkeypatch.delitem(sys.modules, module)
    example = examples()["bpti"]
    job = StagedJob(plan_of(example.sequence))
    ex = Explorer(
        example.sequence, lambda mask: job, panels=("slice", "map"), structure=example.structure, model="mini"
    )
    assert ex.panels == ("map", "slice")
    assert ex.children[0] is ex.job_status
    assert len(ex.children) == 3
    assert lying(ex) == ([ex.contact_map], [ex.jacobian_slice])
    job.finish()
    ex.wait(20)
    ex.delivery.flush()
    assert (ex.sensitivity, ex.recovery_curve, ex.structure_view) == (None, None, None)
    assert "bokeh" not in sys.modules
    assert "nglview" not in sys.modules
    monkeypatch.undo()
    ex.panels = ("structure", "sensitivity", "sequence")
    ex.delivery.flush()
    assert ex.panels == ("sequence", "sensitivity", "structure")
    assert ex.children[2:-1] == (ex.sequence_mask,)
    assert lying(ex) == ([ex.sensitivity], [ex.structure_view])
    # What was computed before is there at once.
    assert ex.sensitivity.values is not None
    np.testing.assert_array_equal(lines(ex), lines_of_the_map(ex))
    made = ex.structure_view
    ex.panels = ()
    assert lying(ex) == ([], [])
    ex.panels = "structure"
    assert ex.structure_view is made
    with pytest.raises(UsageError, match="no panel 'maps'"):
        ex.panels = ("maps",)
    assert ex.panels == ("structure",)
    with pytest.raises(UsageError, match="no panel 7"):
        ex.panels = 7
    ex.close()
    with pytest.raises(UsageError, match="no panel 'maps'"):
        Explorer(example.sequence, lambda mask: job, panels=("maps",))


def test_a_message_of_the_front_end_shows_a_panel(wire: Wire) -> None:
    example = examples()["bpti"]
    ex = Explorer(
        example.sequence, lambda mask: StagedJob(plan_of(example.sequence)), panels=("map",), model="mini"
    )
    wire.receive(
        {"id": ex.comm.comm_id, "method": "update", "state": {"panels": ["map", "recovery"]}, "paths": []}
    )
    ex.delivery.flush()
    assert lying(ex) == ([ex.contact_map], [ex.recovery_curve])
    ex.close()


def test_without_atoms_the_toggle_says_why(wire: Wire) -> None:
    example = examples()["bpti"]
    for structure, why in ((None, NO_STRUCTURE), (example.contacts.values, NO_ATOMS)):
        job = StagedJob(plan_of(example.sequence))
        ex = Explorer(example.sequence, lambda mask, job=job: job, structure=structure, model="mini")
        assert toggles(ex).absent == {"structure": why}
        assert ex.structure_view is None
        ex.close()


def test_missing_libraries_disable_their_panels_only(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bokeh", "nglview"):
        for module in [key for key in sys.modules if key.split(".")[0] == name]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, name, None)
    example = examples()["bpti"]
    job = StagedJob(plan_of(example.sequence))
    ex = Explorer(example.sequence, lambda mask: job, structure=example.structure, model="mini")
    assert "%pip install bokeh" in ex.sensitivity.problem
    assert "%pip install bokeh" in ex.recovery_curve.problem
    assert '%pip install "nglview!=4.0.1"' in ex.structure_view.problem
    job.finish()
    ex.wait(20)
    ex.delivery.flush()
    assert ex.status == "done"
    assert np.isfinite(ex.contact_map.values).any()
    ex.close()


class Toy(ipywidgets.Label):
    """A view of somebody else's, which remembers what it was told."""

    def __init__(self, context: PanelContext) -> None:
        super().__init__("toy")
        self.context = context
        self.summaries: list[Any] = []
        self.scores: list[np.ndarray] = []


@pytest.fixture
def toy() -> Iterator[Panel]:
    panel = Panel(
        "toy",
        "Toy",
        height=1500,
        make=Toy,
        order=25,
        attribute="toy_view",
        show_summary=lambda view, summary: view.summaries.append(summary),
        show_contacts=lambda view, scores: view.scores.append(scores),
    )
    register_panel(panel)
    yield panel
    unregister_panel("toy")


def test_a_panel_of_somebody_else_s_is_shown_and_hidden_and_told(wire: Wire, toy: Panel) -> None:
    sequence = examples()["bpti"].sequence
    job = StagedJob(plan_of(sequence))
    ex = Explorer(sequence, lambda mask: job, model="mini", panels=("map", "slice"))
    assert ["toy", "Toy"] in toggles(ex).choices
    assert [name for name, _ in toggles(ex).choices] == ["sequence", "map", "toy", *PANELS[2:]]
    assert ex.toy_view is None
    job.finish()
    ex.wait(20)
    ex.panels = ("slice", "toy", "map")
    assert ex.panels == ("map", "toy", "slice")
    # The two columns are as even as its height allows: it lies alone.
    assert lying(ex) == ([ex.contact_map, ex.jacobian_slice], [ex.toy_view])
    assert ex.toy_view.context.state is ex
    ex.delivery.flush()
    assert [summary.sizes["pos"] for summary in ex.toy_view.summaries] == [len(sequence)]
    np.testing.assert_array_equal(ex.toy_view.scores[-1], ex.contact_map.values)
    made = ex.toy_view
    ex.panels = ("map",)
    assert lying(ex) == ([ex.contact_map], [])
    ex.panels = ("map", "toy")
    assert ex.toy_view is made
    assert "toy_view" in dir(ex)
    ex.close()
    assert made.comm is None


def test_all_registered_panels_are_shown_by_default(wire: Wire, toy: Panel) -> None:
    sequence = examples()["bpti"].sequence
    ex = Explorer(sequence, lambda mask: StagedJob(plan_of(sequence)), model="mini")
    assert ex.panels == ("sequence", "map", "toy", *PANELS[2:])
    ex.close()
    with pytest.raises(AttributeError, match="no_such_view"):
        _ = ex.no_such_view


def test_a_panel_that_cannot_be_made_says_so_and_spares_the_others(wire: Wire) -> None:
    def fail(context: PanelContext) -> Any:
        raise RuntimeError("the toy broke")

    sequence = examples()["bpti"].sequence
    register_panel(Panel("broken", "Broken", height=100, make=fail))
    try:
        ex = Explorer(sequence, lambda mask: StagedJob(plan_of(sequence)), panels=("map", "broken"))
        assert "the toy broke" in toggles(ex).absent["broken"]
        assert lying(ex) == ([ex.contact_map], [])
        ex.close()
    finally:
        unregister_panel("broken")
    with pytest.raises(UsageError, match="no panel 'broken'"):
        unregister_panel("broken")
