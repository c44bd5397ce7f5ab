"""The sequence track's Python side: messages, frames, history, and what the explorer makes of a mask."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from jobs import RESIDUES, StagedJob, plan_of
from notebook_page import Wire

from catjac_widgets.engine.backends.threads import worker_for
from catjac_widgets.engine.priorities import Priority
from catjac_widgets.errors import DeviceError, MaskError, OptionError, UsageError
from catjac_widgets.language_models.registry import load_model
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.widgets.contact_map.view import ContactMap
from catjac_widgets.widgets.explorer.view import Explorer
from catjac_widgets.widgets.sequence_mask.view import MASKED_HEAD_LABEL, SequenceMask

SEQUENCE = as_sequence(RESIDUES, name="made up")
LENGTH = len(SEQUENCE)

#: Half a step of what a frame's numbers are rounded to, and what float32 passes differ by.
STEP = 0.5 / 65535 + 1e-6


def drag(wire: Wire, view: SequenceMask, serial: int, *fragments: tuple[int, int]) -> None:
    wire.receive(
        {
            "id": view.model_id,
            "method": "custom",
            "content": {"kind": "drag", "serial": serial, "fragments": [list(f) for f in fragments]},
        }
    )


def press(wire: Wire, view: SequenceMask, kind: str) -> None:
    wire.receive({"id": view.model_id, "method": "custom", "content": {"kind": kind}})


def frames_sent(wire: Wire, until_serial: int) -> list[dict[str, Any]]:
    """Frames in the order in which they were sent, up to that one."""
    found = []
    while not found or found[-1]["content"]["serial"] < until_serial:
        message = wire.out.get(timeout=30)
        if message["method"] == "custom" and message["content"].get("kind") == "frame":
            found.append(message)
    return found


def values_of(message: dict[str, Any]) -> np.ndarray:
    import base64

    numbers = iter(np.frombuffer(base64.b64decode(message["buffers"][0]), "<u2"))
    values = np.full((LENGTH, LENGTH), np.nan)
    for i in range(LENGTH):
        for j in range(i, LENGTH):
            values[i, j] = values[j, i] = next(numbers) / 65535
    assert next(numbers, None) is None
    return values


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


@pytest.fixture
def linked(wire: Wire) -> tuple[ContactMap, SequenceMask]:
    contact_map = ContactMap(sequence=SEQUENCE)
    return contact_map, SequenceMask(state=contact_map, model="mini")


class Held:
    """The worker's thread of the CPU, busy until the block is left."""

    def __enter__(self) -> None:
        self._go, begun = threading.Event(), threading.Event()

        def wait() -> None:
            begun.set()
            self._go.wait(60)

        worker_for("cpu").submit_call(wait, Priority.DRAG)
        assert begun.wait(60)

    def __exit__(self, *failure: Any) -> None:
        self._go.set()


def test_a_drag_is_answered_with_the_contact_head_under_that_mask(
    wire: Wire, linked: tuple[ContactMap, SequenceMask]
) -> None:
    contact_map, view = linked
    assert view.previews
    assert view.note == ""
    model = load_model("mini")
    for serial, fragments in ((7, [(3, 20)]), (8, [(3, 21), (40, 58)]), (9, [(1, LENGTH)])):
        drag(wire, view, serial, *fragments)
        (frame,) = frames_sent(wire, serial)
        assert frame["id"] == contact_map.model_id
        assert frame["content"]["serial"] == serial
        assert frame["content"]["label"] == MASKED_HEAD_LABEL
        mask = Mask.showing(SEQUENCE, fragments)
        expected = model.contact_probabilities(RESIDUES, [mask if mask else None])[0]
        np.testing.assert_allclose(values_of(frame), expected, rtol=0, atol=STEP)
    # A frame is no more than a picture: nothing that lasts has changed.
    assert (contact_map.values, contact_map.label, view.mask) == (None, "", None)
    assert [timing.serial for timing in view.timings] == [7, 8, 9]
    assert all(timing.size == LENGTH * (LENGTH + 1) for timing in view.timings)


def test_of_moves_that_wait_only_the_last_is_computed(
    wire: Wire, linked: tuple[ContactMap, SequenceMask]
) -> None:
    _, view = linked
    drag(wire, view, 1, (1, 5))
    frames_sent(wire, 1)
    with Held():
        for serial in range(2, 30):
            drag(wire, view, serial, (1, serial))
    frames = frames_sent(wire, 29)
    assert [frame["content"]["serial"] for frame in frames] == [29]
    assert view.stale_frames == 27
    expected = load_model("mini").contact_probabilities(RESIDUES, [Mask.showing(SEQUENCE, [(1, 29)])])[0]
    np.testing.assert_allclose(values_of(frames[0]), expected, rtol=0, atol=STEP)


def test_a_frame_that_fails_is_told_and_the_next_one_is_shown(wire: Wire) -> None:
    model = copy.copy(load_model("mini"))
    run = model.contact_probabilities

    def failing(residues: str, masks: list[Mask | None]) -> np.ndarray:
        if masks[0] is not None and len(masks[0].fragments) == 1:
            raise DeviceError("The device was lost; restart the kernel.")
        return run(residues, masks)

    model.contact_probabilities = failing
    contact_map = ContactMap(sequence=SEQUENCE)
    view = SequenceMask(state=contact_map, model=model)
    drag(wire, view, 1, (1, 9))
    wait_for(lambda: view.note != "")
    assert "The device was lost; restart the kernel." in view.note
    drag(wire, view, 2, (1, 9), (20, 30))
    assert [frame["content"]["serial"] for frame in frames_sent(wire, 2)] == [2]
    view.delivery.flush()
    assert view.note == ""


def test_messages_that_overtake_each_other_are_dropped(
    wire: Wire, linked: tuple[ContactMap, SequenceMask]
) -> None:
    _, view = linked
    drag(wire, view, 5, (1, 5))
    drag(wire, view, 4, (1, 4))
    drag(wire, view, 6, (1, 6))
    assert 4 not in [frame["content"]["serial"] for frame in frames_sent(wire, 6)]


def test_messages_may_come_on_any_thread(wire: Wire, linked: tuple[ContactMap, SequenceMask]) -> None:
    contact_map, view = linked
    failures: list[BaseException] = []

    def hand(number: int) -> None:
        try:
            for k in range(20):
                drag(wire, view, 1000 * k + number, (1, 1 + k))
                state = {"mask": [[1 + number, 30 + k]], "mask_preview": None}
                wire.receive({"id": contact_map.model_id, "method": "update", "state": state})
                press(wire, view, "undo" if k % 2 else "redo")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=hand, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    drag(wire, view, 10**6, (2, 3))
    assert frames_sent(wire, 10**6)[-1]["content"]["serial"] == 10**6
    view.delivery.flush()
    assert view.mask == contact_map.mask


def test_undo_and_redo(wire: Wire) -> None:
    view = SequenceMask(RESIDUES)
    masks = [Mask.showing(SEQUENCE, [(1, k)]) for k in (10, 20, 30)]
    assert not view.can_undo
    view.undo()
    assert view.mask is None
    for mask in masks:
        view.mask = mask
    view.delivery.flush()
    assert (view.can_undo, view.can_redo) == (True, False)
    seen = []
    for _ in range(4):
        view.undo()
        seen.append(view.mask)
    assert seen == [masks[1], masks[0], None, None]
    assert (view.can_undo, view.can_redo) == (False, True)
    view.redo()
    assert view.mask == masks[0]
    view.mask = masks[2]
    view.redo()
    assert view.mask == masks[2]
    view.delivery.flush()
    assert not view.can_redo
    view.undo()
    assert view.mask == masks[0]


def test_presses_that_wait_together_all_count(wire: Wire) -> None:
    view = SequenceMask(RESIDUES)
    for k in range(1, 6):
        view.mask = Mask.showing(SEQUENCE, [(1, k)])
    with view.delivery.lock:
        for _ in range(3):
            press(wire, view, "undo")
    view.delivery.flush()
    assert view.mask == Mask.showing(SEQUENCE, [(1, 2)])


def test_nothing_masked_is_the_same_however_it_is_written(wire: Wire) -> None:
    view = SequenceMask(RESIDUES)
    view.mask = Mask.none(SEQUENCE)
    view.delivery.flush()
    assert not view.can_undo


def test_bad_input_is_refused(wire: Wire) -> None:
    with pytest.raises(UsageError, match="no sequence"):
        SequenceMask()
    with pytest.raises(OptionError, match="colour"):
        SequenceMask(RESIDUES, colour="red")
    view = SequenceMask(RESIDUES)
    with pytest.raises(MaskError, match="10 residues"):
        view.mask = Mask.none(10)
    assert view.mask is None


def test_a_model_without_contact_head_says_so(wire: Wire) -> None:
    from stubs import PottsModel

    contact_map = ContactMap(sequence=SEQUENCE)
    view = SequenceMask(state=contact_map, model=PottsModel())
    assert not view.previews
    assert "no fitted contact head" in view.note
    drag(wire, view, 1, (1, 9))
    view.delivery.flush()
    assert not view.timings


# ---- in the explorer


def staged(wire: Wire) -> tuple[Explorer, list[StagedJob]]:
    jobs: list[StagedJob] = []

    def start(mask: Mask) -> StagedJob:
        jobs.append(StagedJob(plan_of(SEQUENCE, mask=mask)))
        return jobs[-1]

    return Explorer(SEQUENCE, start, model_name="stub"), jobs


def test_a_new_mask_starts_its_job_and_stops_the_former(wire: Wire) -> None:
    ex, jobs = staged(wire)
    jobs[0].give(1, 2, 3)
    ex.delivery.flush()
    ex.mask = Mask.showing(SEQUENCE, [(5, 30)])
    assert ex.job is jobs[1]
    assert jobs[0].cancelled == 1
    assert str(jobs[1].plan.mask) == "5-30"
    assert "former mask" in ex.contact_map.label
    jobs[1].finish()
    ex.wait(30)
    assert (ex.status, ex.contact_map.label) == ("done", "Jacobian under a mask")
    visible = np.arange(LENGTH)
    inside = (visible >= 4) & (visible < 30)
    assert np.isfinite(ex.contact_map.values[np.ix_(inside, inside)]).all()
    assert np.isnan(ex.contact_map.values[~inside]).all()
    # The former job has no say any more.
    jobs[0].give(40)
    ex.delivery.flush()
    assert ex.contact_map.label == "Jacobian under a mask"
    ex.sequence_mask.undo()
    assert ex.mask is None
    assert len(jobs) == 3
    assert not jobs[2].plan.mask
    ex.close()


def test_a_mask_from_the_browser_is_taken_up_by_the_queue(wire: Wire) -> None:
    ex, jobs = staged(wire)
    with ex.delivery.lock:  # nobody delivers meanwhile
        wire.receive({"id": ex.model_id, "method": "update", "state": {"mask": [[3, 9]]}})
        assert len(jobs) == 1
    ex.delivery.flush()
    assert len(jobs) == 2
    assert str(jobs[1].plan.mask) == "3-9"
    ex.close()


def test_with_everything_masked_there_is_nothing_to_compute(wire: Wire) -> None:
    ex, jobs = staged(wire)
    ex.mask = Mask.everything(SEQUENCE)
    assert ex.status == "idle"
    assert "hides every residue" in ex.sequence_mask.note
    with pytest.raises(UsageError, match="hides every residue"):
        _ = ex.job
    ex.wait(1)
    ex.cancel()
    ex.resume()
    ex.selection = (3, 9)
    ex.delivery.flush()
    assert ex.jacobian_slice.block["status"] == "masked"
    ex.mask = Mask.showing(SEQUENCE, [(5, 30)])
    assert ex.sequence_mask.note == ""
    assert ex.status == "queued"
    assert ex.job is jobs[-1]
    ex.close()
