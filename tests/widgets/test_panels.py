from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from jobs import StagedJob, plan_of
from notebook_page import Wire

from catjac_widgets.analysis.summaries import sensitivity
from catjac_widgets.errors import UsageError
from catjac_widgets.structures.example_proteins import examples
from catjac_widgets.widgets.explorer.panels import NO_ATOMS, NO_STRUCTURE, PANELS
from catjac_widgets.widgets.explorer.view import Explorer
from catjac_widgets.widgets.sensitivity.view import stacked


def lying(ex: Explorer) -> tuple[list[Any], list[Any]]:
    """Give the panels of the two columns."""
    first, second = (list(column.children) for column in ex._panels.columns)
    return first, second


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
    ex.delivery.deliver()
    ex.delivery.deliver()
    assert ex.sensitivity.values is None
    assert ex.structure_view._contacts is None
    job.finish()
    ex.wait(20)
    for _ in range(3):
        ex.delivery.deliver()
    np.testing.assert_array_equal(ex.sensitivity.values, stacked(sensitivity(job.result())))
    np.testing.assert_array_equal(ex.structure_view._contacts, ex.contact_map.values)
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
    assert ex.children == (ex.job_status, ex._panels.toggles, ex._panels.box)
    assert lying(ex) == ([ex.contact_map], [ex.jacobian_slice])
    job.finish()
    ex.wait(20)
    ex.delivery.deliver()
    assert (ex.sensitivity, ex.recovery_curve, ex.structure_view) == (None, None, None)
    assert "bokeh" not in sys.modules
    assert "nglview" not in sys.modules
    monkeypatch.undo()
    ex.panels = ("structure", "sensitivity", "sequence")
    ex.delivery.deliver()
    ex.delivery.deliver()
    assert ex.panels == ("sequence", "sensitivity", "structure")
    assert ex.children == (ex.job_status, ex._panels.toggles, ex.sequence_mask, ex._panels.box)
    assert lying(ex) == ([ex.sensitivity], [ex.structure_view])
    # What was computed before is there at once.
    assert ex.sensitivity.values is not None
    np.testing.assert_array_equal(ex.structure_view._contacts, ex.contact_map.values)
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
    ex.delivery.deliver()
    assert lying(ex) == ([ex.contact_map], [ex.recovery_curve])
    ex.close()


def test_without_atoms_the_toggle_says_why(wire: Wire) -> None:
    example = examples()["bpti"]
    for structure, why in ((None, NO_STRUCTURE), (example.contacts.values, NO_ATOMS)):
        job = StagedJob(plan_of(example.sequence))
        ex = Explorer(example.sequence, lambda mask, job=job: job, structure=structure, model="mini")
        assert ex._panels.toggles.absent == {"structure": why}
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
    ex.delivery.deliver()
    assert ex.status == "done"
    assert np.isfinite(ex.contact_map.values).any()
    ex.close()
