from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pytest
import xarray as xr
from jobs import RESIDUES, StagedJob, plan_of
from notebook_page import Wire

import catjac
from catjac_widgets.analysis.contacts.maps import contacts
from catjac_widgets.block_math.centring import letter_centred_norms
from catjac_widgets.errors import DeviceError, JacobianError, OptionError, SequenceError, UsageError
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.structures.example_proteins import examples
from catjac_widgets.widgets.contact_map.view import native_contacts
from catjac_widgets.widgets.explorer.launch import explore
from catjac_widgets.widgets.explorer.view import Explorer

SEQUENCE = as_sequence(RESIDUES, name="made up")


def explorer_of(*jobs: StagedJob, **traits: Any) -> Explorer:
    waiting = list(jobs)
    return Explorer(SEQUENCE, lambda mask: waiting.pop(0), model_name="stub", **traits)


@pytest.fixture
def job() -> StagedJob:
    return StagedJob(plan_of(SEQUENCE))


def test_rows_fill_the_map_and_the_end_is_exactly_contacts(wire: Wire, job: StagedJob) -> None:
    ex = explorer_of(job)
    assert (ex.status, ex.contact_map.values) == ("queued", None)
    job.give(1, 2, 30)
    ex.delivery.flush()
    assert ex.status == "running"
    assert ex.contact_map.label == f"Jacobian, {int(300 / len(SEQUENCE))} %"
    assert ex.contact_map.quantity == "norm"
    filled = np.flatnonzero(~np.isnan(ex.contact_map.values[:, 0])) + 1
    assert filled.tolist() == [1, 2, 30]
    expected = letter_centred_norms(job.J[29]).astype(np.float32)
    expected[29] = 0
    np.testing.assert_array_equal(ex.contact_map.values[29], expected)
    with pytest.raises(JacobianError, match="3 of 58"):
        _ = ex.contacts
    job.finish()
    ex.wait(10)
    assert (ex.status, ex.contact_map.label, ex.contact_map.quantity) == ("done", "Jacobian", "score")
    np.testing.assert_array_equal(ex.contact_map.values, contacts(job.partial).values.astype(np.float32))
    xr.testing.assert_identical(ex.contacts, contacts(job.partial))
    assert ex.progress["rows_done"] == ex.progress["rows_total"] == 58
    ex.close()


def test_what_was_there_before_the_explorer_is_shown(wire: Wire, job: StagedJob) -> None:
    job.finish()
    ex = explorer_of(job).wait(10)
    assert ex.contact_map.label == "Jacobian"


def test_few_messages_for_many_rows(wire: Wire, job: StagedJob) -> None:
    ex = explorer_of(job)
    job.give(1)
    ex.delivery.flush()
    while not wire.out.empty():
        wire.out.get_nowait()
    for position in range(2, 50):
        job.give(position)
    ex.delivery.flush()
    sent = [wire.out.get_nowait() for _ in range(wire.out.qsize())]
    rows = [p for message in sent if message["method"] == "custom" for p in message["content"]["positions"]]
    assert sorted(rows) == list(range(2, 50))
    # The round's own three, and as many of the thread's that ran meanwhile.
    assert len(sent) <= 12
    assert not any("values" in message["state"] for message in sent)


def test_the_tensor_is_never_sent(wire: Wire, job: StagedJob) -> None:
    ex = explorer_of(job, selection=(3, 40))
    job.finish()
    ex.wait(10)
    sent = [wire.out.get_nowait() for _ in range(wire.out.qsize())]
    size = sum(len(buffer) * 3 // 4 for message in sent for buffer in message["buffers"])
    assert size < 6 * 58 * 58 * 4
    assert ex.jacobian.nbytes > 10 * size


def test_cancel_and_resume(wire: Wire, job: StagedJob) -> None:
    second = StagedJob(plan_of(SEQUENCE))
    second.give(1, 2, 3)
    ex = explorer_of(job, second)
    job.give(1, 2, 3)
    ex.resume()  # nothing to resume while it runs
    assert ex.job is job
    wire.receive({"id": ex.job_status.model_id, "method": "custom", "content": {"kind": "cancel"}})
    ex.wait(10)
    ex.delivery.flush()
    assert job.cancelled == 1
    assert (ex.status, ex.error) == ("cancelled", "")
    assert np.isfinite(ex.contact_map.values[:3]).all()
    wire.receive({"id": ex.job_status.model_id, "method": "custom", "content": {"kind": "resume"}})
    ex.delivery.flush()
    assert ex.job is second
    second.finish()
    ex.wait(10)
    assert ex.status == "done"
    job.give(7)  # the former job has no say any more
    ex.delivery.flush()
    assert ex.contact_map.label == "Jacobian"


def test_a_typed_error_is_shown_as_its_sentence_and_rows_stay(wire: Wire, job: StagedJob) -> None:
    ex = explorer_of(job)
    job.give(1, 2)
    job.fail(DeviceError("The device was lost; restart it."))
    ex.wait(10)
    assert (ex.status, ex.error) == ("failed", "The device was lost; restart it.")
    assert np.isfinite(ex.contact_map.values[:2]).all()


def test_our_own_mistake_is_called_one(wire: Wire, job: StagedJob) -> None:
    ex = explorer_of(job)
    job.fail(ZeroDivisionError("division by zero"))
    ex.wait(10)
    assert "ZeroDivisionError" in ex.error
    assert "\n" not in ex.error


def test_a_restart_that_is_refused_keeps_the_former_job(wire: Wire, job: StagedJob) -> None:
    ex = explorer_of(job)
    job.cancel()
    ex.wait(10)
    with pytest.raises(IndexError):
        ex.resume()
    assert ex.job is job
    assert ex.status == "cancelled"


def test_under_a_mask(wire: Wire) -> None:
    mask = Mask.showing(SEQUENCE, [(1, 20), (40, 58)])
    job = StagedJob(plan_of(SEQUENCE, mask=mask))
    ex = explorer_of(job, mask=mask)
    ex.selection = (30, 3)
    ex.delivery.flush()
    assert ex.jacobian_slice.block["status"] == "masked"
    job.give(1)
    ex.delivery.flush()
    assert ex.contact_map.label == f"Jacobian under a mask, {int(100 / 39)} %"


def test_observe_link_and_unknown_options(wire: Wire, job: StagedJob) -> None:
    ex = explorer_of(job)
    seen: list[Any] = []
    ex.observe(lambda change: seen.append(change["new"]), ["selection", "status"])
    wire.receive({"id": ex.model_id, "method": "update", "state": {"selection": [3, 9]}})
    job.give(1)
    ex.delivery.flush()
    assert seen == [(3, 9), "running"]
    assert ex.contact_map.selection == (3, 9)
    ipywidgets.jslink((ex, "min_separation"), (ipywidgets.IntSlider(), "value"))
    assert ex in ipywidgets.HBox([ex]).children
    with pytest.raises(OptionError, match="colour"):
        explorer_of(StagedJob(plan_of(SEQUENCE)), colour="ember")
    with pytest.raises(TypeError):
        explore(RESIDUES, colors="ember")  # type: ignore[call-arg]


def test_a_closed_explorer_with_a_structure_leaves_no_comm(wire: Wire, own_cache: Path) -> None:
    from ipywidgets.widgets import widget as registry

    protein = examples()["ww"]
    # nglview keeps a registry of colours, once a process.
    explore(protein, variant="fast").wait(60).close()
    held = set(registry._instances)
    for panels in (None, ["structure"], ["map"]):
        ex = explore(protein, variant="fast", panels=panels).wait(60)
        ex.panels = ["map", "structure"]
        ex.panels = ["map"]
        ex.close()
    assert set(registry._instances) == held


def test_close_lets_go_of_everything(wire: Wire) -> None:
    from ipywidgets.widgets import widget as registry

    held, threads = set(registry._instances), threading.active_count()
    for _ in range(5):
        job = StagedJob(plan_of(SEQUENCE))
        ex = explorer_of(job)
        job.give(1, 2)
        ex.delivery.flush()
        ex.close()
        ex.close()
        assert job.cancelled == 1
        with pytest.raises(UsageError, match="closed"):
            _ = ex.job
    assert set(registry._instances) == held
    for thread in threading.enumerate():
        if thread.name == "catjac-delivery":
            thread.join(5)
    assert threading.active_count() <= threads


@pytest.mark.parametrize(
    ("sequence", "options", "error"),
    [
        ("MKXE", {}, SequenceError),
        ("", {}, SequenceError),
        (RESIDUES, {"mask": [True]}, ValueError),
        (RESIDUES, {"model": "esm2_t6_8M_UR5OD"}, LookupError),
        (RESIDUES, {"structure": np.zeros((3, 3))}, UsageError),
    ],
)
def test_bad_input_is_refused_before_there_is_a_widget(
    wire: Wire, sequence: str, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        explore(sequence, **options)
    assert wire.out.empty()


def test_a_structure_brings_itself(wire: Wire, own_cache: Path) -> None:
    example = catjac.examples()["ww"]
    for given, structure in (
        (example.structure, None),
        (example, None),
        ("example:ww", None),
        (str(example.sequence), example),
    ):
        ex = catjac.explore(given, variant="fast", structure=structure)
        assert ex.sequence.residues == example.sequence.residues
        assert ex.structure_view is not None
        assert ex.contact_map.native is not None
        np.testing.assert_array_equal(ex.contact_map.native, native_contacts(example.structure, ex.sequence))
        ex.close()
    ex = catjac.explore(example, variant="fast", structure=np.zeros((len(example), len(example))))
    assert ex.structure_view is None
    assert not ex.contact_map.native.any()
    ex.close()
