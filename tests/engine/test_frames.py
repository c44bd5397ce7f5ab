"""Frames: the latest mask wins, failures reach whoever asked, and a named model is looked for once."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import random_esm2, write_safetensors
from stubs import PottsModel

from catjac_widgets.engine.backends.threads import worker_for
from catjac_widgets.engine.jobs import frames as frames_module
from catjac_widgets.engine.jobs.frames import Frames
from catjac_widgets.engine.priorities import Priority
from catjac_widgets.errors import CheckpointError, DeviceError, ModelError
from catjac_widgets.language_models.base import LanguageModel
from catjac_widgets.language_models.registry import load_model
from catjac_widgets.proteins.masks import Mask

LENGTH = 12


def shares(model: LanguageModel, mask: Mask) -> np.ndarray:
    return np.full((LENGTH, LENGTH), mask.array.mean(), dtype=np.float32)


def mask_of(hidden: int) -> Mask:
    return Mask.from_array(np.arange(LENGTH) < hidden)


class Answers:
    """What came of the questions, and a way to wait for it."""

    def __init__(self) -> None:
        self.came: list[float] = []
        self.failures: list[BaseException] = []
        self._some = threading.Semaphore(0)

    def frame(self, values: np.ndarray) -> None:
        self.came.append(float(values[0, 0]))
        self._some.release()

    def failed(self, error: BaseException) -> None:
        self.failures.append(error)
        self._some.release()

    def wait(self) -> None:
        assert self._some.acquire(timeout=60)


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def busy() -> Iterator[threading.Event]:
    """The CPU's thread, busy until the event is set."""
    begun, go = threading.Event(), threading.Event()
    worker_for("cpu").submit_call(lambda: (begun.set(), go.wait(60)), Priority.DRAG)
    assert begun.wait(60)
    yield go
    go.set()


def ask(frames: Frames, hidden: int, answers: Answers) -> None:
    frames.ask(mask_of(hidden), answers.frame, answers.failed)


def test_of_masks_that_wait_only_the_last_is_computed(answers: Answers, busy: threading.Event) -> None:
    frames = Frames(shares, PottsModel())
    for hidden in range(1, 6):
        ask(frames, hidden, answers)
    busy.set()
    answers.wait()
    assert answers.came == pytest.approx([5 / LENGTH])
    # Those that came before anybody knew the device were overtaken there, the others on its queue.
    assert (frames.computed, frames.dropped, frames.failed) == (1, 4, 0)


def test_a_failure_reaches_whoever_asked_and_the_next_frame_comes(answers: Answers) -> None:
    def failing(model: LanguageModel, mask: Mask) -> np.ndarray:
        if mask.array.sum() == 1:
            raise ModelError("no map")
        if mask.array.sum() == 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        if mask.array.sum() == 3:
            raise RuntimeError("CUDA error: the launch timed out")
        if mask.array.sum() == 4:
            raise ZeroDivisionError
        return shares(model, mask)

    frames = Frames(failing, PottsModel())
    for hidden in range(1, 6):
        ask(frames, hidden, answers)
        answers.wait()
    assert [type(error) for error in answers.failures] == [
        ModelError,
        DeviceError,
        DeviceError,
        ZeroDivisionError,
    ]
    assert "not enough memory for one sequence with potts stub 0" in str(answers.failures[1])
    assert answers.came == pytest.approx([5 / LENGTH])
    assert (frames.computed, frames.failed) == (1, 4)


def test_a_model_that_cannot_be_loaded_is_told_with_each_frame(answers: Answers, tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    frames = Frames(shares, path)
    frames.warm()
    for number in (1, 2):
        ask(frames, 3, answers)
        answers.wait()
        assert len(answers.failures) == number
    assert isinstance(answers.failures[1], CheckpointError | ModelError)
    write_safetensors(random_esm2(), path)
    ask(frames, 6, answers)
    answers.wait()
    assert answers.came == [0.5]


def test_a_named_model_is_looked_for_once_not_with_every_frame(
    answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking for it sums all its weights, which a hand that drags would feel."""
    from catjac_widgets.language_models import registry

    path = write_safetensors(random_esm2(), tmp_path / "tiny.safetensors")
    looked: list[object] = []
    resolve = registry.resolve_model
    monkeypatch.setattr(registry, "resolve_model", lambda model: (looked.append(model), resolve(model))[1])
    frames = Frames(shares, path)
    held = load_model(path)
    for hidden in range(5):
        ask(frames, hidden, answers)
        answers.wait()
    assert len(answers.came) == 5
    assert looked == [path]
    # Nor is it kept in memory for the frames' sake.
    assert frames._loaded is not None
    assert frames._loaded() is held


@pytest.mark.parametrize(("seconds", "threads"), [(0.001, 1), (10.0, 3)])
def test_a_small_pass_is_left_to_one_thread(seconds: float, threads: int, answers: Answers) -> None:
    model, seen = copy.copy(PottsModel()), list[int]()
    model.seconds_per_sequence = lambda length: seconds  # type: ignore[method-assign]
    on_worker = worker_for("cpu").submit_call
    before = on_worker(torch.get_num_threads).result(60)
    frames = Frames(lambda model, mask: (seen.append(torch.get_num_threads()), shares(model, mask))[1], model)
    try:
        on_worker(lambda: torch.set_num_threads(3)).result(60)
        ask(frames, 3, answers)
        answers.wait()
        assert seen == [threads]
        assert on_worker(torch.get_num_threads).result(60) == 3
    finally:
        on_worker(lambda: torch.set_num_threads(before)).result(60)


def test_a_frame_goes_before_everything_else(answers: Answers, busy: threading.Event) -> None:
    order: list[str] = []
    frames = Frames(lambda model, mask: (order.append("frame"), shares(model, mask))[1], PottsModel())
    screen = worker_for("cpu").submit_call(lambda: order.append("screen"), Priority.SCREEN)
    frames.warm()
    frames_module.worker_for("cache").submit_call(lambda: None).result(60)  # the device is known
    ask(frames, 1, answers)
    busy.set()
    answers.wait()
    screen.result(60)
    assert order == ["frame", "screen"]
