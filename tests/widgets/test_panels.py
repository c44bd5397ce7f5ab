from __future__ import annotations

import numpy as np
import pytest
from jobs import StagedJob, plan_of
from notebook_page import Wire

from catjac_widgets.analysis.summaries import sensitivity
from catjac_widgets.errors import UsageError
from catjac_widgets.structures.example_proteins import examples
from catjac_widgets.widgets.explorer import Explorer
from catjac_widgets.widgets.explorer_layout import PANELS
from catjac_widgets.widgets.sensitivity_view import stacked


def test_panels_are_told_of_the_complete_jacobian(wire: Wire) -> None:
    example = examples()["bpti"]
    job = StagedJob(plan_of(example.sequence))
    ex = Explorer(
        example.sequence, lambda mask: job, structure=example.structure, panels=PANELS, model="mini"
    )
    assert len(ex._panels.box.children) == 5
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


def test_panels_can_be_hidden(wire: Wire) -> None:
    example = examples()["bpti"]
    job = StagedJob(plan_of(example.sequence))
    ex = Explorer(example.sequence, lambda mask: job, panels=("map", "structure"), model="mini")
    assert ex._panels.box.children == (ex.contact_map,)
    assert ex.children == (ex.job_status, ex._panels.box)
    assert (ex.sensitivity, ex.recovery_curve, ex.structure_view) == (None, None, None)
    ex.close()
    with pytest.raises(UsageError, match="no panel 'maps'"):
        Explorer(example.sequence, lambda mask: job, panels=("maps",))
