"""Whatever goes wrong in a job, at whichever place, ends that job at most: nobody waits for ever."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stubs import PottsModel

from catjac_widgets.engine.api import jacobian, submit
from catjac_widgets.engine.backends.threads import Worker, worker_for
from catjac_widgets.engine.cache.info import CacheWarning
from catjac_widgets.engine.cache.store import cache
from catjac_widgets.engine.jobs import rows as rows_module
from catjac_widgets.engine.jobs import work as work_module
from catjac_widgets.engine.jobs.frames import Frames
from catjac_widgets.engine.jobs.job import Job
from catjac_widgets.engine.jobs.rows import Rows
from catjac_widgets.engine.jobs.steps import SteppedTask
from catjac_widgets.engine.jobs.work import Work
from catjac_widgets.engine.priorities import Priority
from catjac_widgets.errors import Cancelled, WorkError
from catjac_widgets.proteins.masks import Mask

RESIDUES = "MKTAYI"
L = len(RESIDUES)
PATIENCE = 30

#: What may be raised, and what whoever waits for the result is told: an exit of somebody else's is no exit
#: of theirs.
ERRORS: list[tuple[BaseException, type[Exception]]] = [
    (ZeroDivisionError("broken"), ZeroDivisionError),
    (SystemExit(3), WorkError),
    (KeyboardInterrupt(), WorkError),
    (StopIteration(), Exception),
]
each_error = pytest.mark.parametrize(
    ("error", "told"), ERRORS, ids=[type(error).__name__ for error, _ in ERRORS]
)


@pytest.fixture(scope="module")
def normal() -> np.ndarray:
    return jacobian("MKT", PottsModel(seed=77), cache=False, progress=False).values


@pytest.fixture(autouse=True)
def _served_afterwards(normal: np.ndarray) -> Iterator[None]:
    """After each test the workers serve a normal job, and whatever else they are asked."""
    yield
    found = submit("MKT", PottsModel(seed=77)).result(PATIENCE)
    np.testing.assert_array_equal(found.values, normal)
    for name in ("cpu", "cache"):
        assert worker_for(name).submit_call(lambda: 1, Priority.BACKGROUND).result(PATIENCE) == 1


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise error

    return fail


# ---- listeners


@each_error
@pytest.mark.parametrize("kind", ["row", "norms", "change"])
@pytest.mark.parametrize("late", [False, True], ids=["while rows come", "in the replay"])
def test_a_listener_that_raises_is_told_off_in_the_log_and_the_job_goes_on(
    error: BaseException,
    told: type[Exception],
    kind: str,
    late: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    job = submit(RESIDUES, PottsModel())
    if late:
        job.result(PATIENCE)
    heard, ended = [], threading.Event()
    listener: dict[str, Any] = {kind: raising(error)}
    job.add_listener(**listener)
    job.add_listener(
        row=lambda position, row: heard.append(position),
        change=lambda job: ended.set() if job.done and len(heard) == L else None,
    )
    assert job.result(PATIENCE).shape == (L, 20, L, 20)
    assert ended.wait(PATIENCE)
    assert heard == list(range(1, L + 1))
    assert "listener failed" in caplog.text


@pytest.mark.filterwarnings("ignore::catjac_widgets.engine.cache.info.CacheWarning")
@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("also_later", [True, False])
def test_a_cache_folder_that_is_deleted_in_the_middle(
    cache_folder: Path, lazy: bool, also_later: bool
) -> None:
    model = PottsModel()
    job = submit(RESIDUES + RESIDUES, model, lazy=lazy, batch_size=19)

    def delete(position: int, row: np.ndarray) -> None:
        if position == 3 or (also_later and position > 3):
            shutil.rmtree(cache_folder, ignore_errors=True)

    job.add_listener(row=delete)
    expected = jacobian(RESIDUES + RESIDUES, model, cache=False, progress=False, batch_size=19)
    np.testing.assert_array_equal(job.result(PATIENCE).values, expected.values)
    # Asked again, it is computed anew.
    again = jacobian(RESIDUES + RESIDUES, model, lazy=lazy, progress=False, batch_size=19)
    np.testing.assert_array_equal(again.values, expected.values)


# ---- what a job is made of


class Raising(PottsModel):
    """Raises an error where it is made ready, or runs, or says where it is, or how long it takes."""

    def __init__(self, error: BaseException, where: str) -> None:
        super().__init__(seed=5)
        self.error, self.where = error, where

    def prepare(self, *arguments: Any, **options: Any) -> Any:
        if self.where == "prepare":
            raise self.error
        runner = super().prepare(*arguments, **options)
        if self.where == "wild_type":
            runner.wild_type = raising(self.error)  # type: ignore[method-assign]
        return runner

    def on_rows(self, substitutions: list[Any]) -> None:
        if self.where == "rows" and len(self.batches) == 2:
            raise self.error
        super().on_rows(substitutions)

    def seconds_per_sequence(self, length: int) -> float:
        if self.where == "seconds":
            raise self.error
        return 1e-4


@each_error
@pytest.mark.parametrize("where", ["prepare", "wild_type", "rows", "seconds"])
def test_a_model_that_raises(error: BaseException, told: type[Exception], where: str) -> None:
    job = submit(RESIDUES, Raising(error, where), batch_size=19)
    with pytest.raises(told):
        job.result(PATIENCE)
    assert job.progress.state == "failed"
    assert job.progress.rows_done == (2 if where == "rows" else 0)


#: Places in the engine, with whether what goes wrong there is the job's result.
SEAMS: list[tuple[Any, str, bool]] = [
    (Rows, "open", True),
    (Rows, "put", True),
    (Rows, "result", True),
    (Rows, "summaries", True),
    (Rows, "close", False),
    (rows_module, "label_jacobian", True),
    (Job, "_stepped", True),
    (Job, "_complete", True),
    (Job, "_let_go", False),
    (Job, "_ended", False),
    (Work, "_moved", True),
    (Work, "_check_cancelled", True),
    (cache, "hold", True),
    (cache, "release", False),
]


# An error and an exit each, eagerly and lazily.
@pytest.mark.parametrize(
    ("error", "told", "lazy"),
    [(error, told, number % 2 == 1) for number, (error, told) in enumerate(ERRORS)],
    ids=[type(error).__name__ + (", lazy" if number % 2 else "") for number, (error, _) in enumerate(ERRORS)],
)
@pytest.mark.parametrize(("owner", "name", "fails"), SEAMS, ids=[name for _, name, _ in SEAMS])
def test_every_seam_of_a_job(
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    told: type[Exception],
    lazy: bool,
    owner: Any,
    name: str,
    fails: bool,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, raising(error))
        job = submit(RESIDUES, PottsModel(), lazy=lazy)
        assert job.wait(PATIENCE)
        ended = threading.Event()
        job.add_listener(change=lambda job: ended.set())
        assert ended.wait(PATIENCE)
        if fails:
            with pytest.raises(told):
                job.result(PATIENCE)
        else:
            job.result(PATIENCE)
    assert job.progress.state == ("failed" if fails else "done")


@each_error
@pytest.mark.parametrize("name", ["urgency", "yields_to_drags", "ready_at"])
def test_a_job_that_cannot_say_how_urgent_it_is(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, told: type[Exception], name: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Work, name, property(raising(error)))
        job = submit(RESIDUES, PottsModel())
        assert job.wait(PATIENCE)
    with pytest.raises(told):
        job.result()


@each_error
def test_a_device_that_cannot_be_named_when_the_model_is_needed_after_all(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, told: type[Exception]
) -> None:
    jacobian(RESIDUES, PottsModel(), progress=False)
    row = next(cache_folder.rglob("jacobian/c.4.0.0.0"))
    row.write_bytes(b"x" * row.stat().st_size)
    with monkeypatch.context() as patch:
        patch.setattr(work_module, "worker_of", raising(error))
        job = submit(RESIDUES, PottsModel())  # all rows seem to be there, so it begins beside the device
        with pytest.raises(told), pytest.warns(CacheWarning, match="corrupt"):
            job.result(PATIENCE)


@each_error
def test_a_cancelled_job_that_cannot_say_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, told: type[Exception]
) -> None:
    busy = threading.Event()
    worker_for("cpu").submit_call(lambda: busy.wait(PATIENCE))
    with monkeypatch.context() as patch:
        patch.setattr(Job, "kept_message", raising(error))
        job = submit(RESIDUES, PottsModel())
        job.cancel()
        busy.set()
        with pytest.raises(told):
            job.result(PATIENCE)


# ---- other tasks


class Bare:
    """A task that raises wherever it is told to."""

    def __init__(self, error: BaseException, where: str) -> None:
        self.error, self.where = error, where
        self.failed = threading.Event()

    def _maybe(self, name: str, value: Any) -> Any:
        if name in self.where.split():
            raise self.error
        return value

    @property
    def urgency(self) -> Priority:
        return self._maybe("urgency", Priority.SCREEN)

    @property
    def yields_to_drags(self) -> bool:
        return self._maybe("drags", False)

    @property
    def ready_at(self) -> float:
        return self._maybe("ready", 0.0)

    def step(self) -> bool:
        return self._maybe("step", True)

    def fail(self, error: BaseException) -> None:
        assert error is self.error
        self.failed.set()
        self._maybe("fail", None)


@each_error
@pytest.mark.parametrize("where", ["urgency", "drags", "ready", "step", "step fail", "urgency fail"])
def test_any_task(error: BaseException, told: type[Exception], where: str) -> None:
    task = Bare(error, where)
    worker_for("cpu").add(task)
    assert task.failed.wait(PATIENCE)


@each_error
@pytest.mark.parametrize("where", ["make", "steps", "on_result"])
@pytest.mark.parametrize("listener_fails", [False, True])
def test_a_task_in_steps(
    error: BaseException, told: type[Exception], where: str, listener_fails: bool
) -> None:
    heard: list[Exception] = []
    ended = threading.Event()

    def steps() -> Iterator[int]:
        yield 1
        if where == "steps":
            raise error

    def on_error(what: Exception) -> None:
        heard.append(what)
        ended.set()
        if listener_fails:
            raise error

    SteppedTask(
        raising(error) if where == "make" else lambda model: steps(),
        PottsModel(),
        raising(error) if where == "on_result" else lambda made: None,
        on_error=on_error,
    ).start()
    assert ended.wait(PATIENCE)
    assert isinstance(heard[0], told)


@each_error
def test_callbacks_of_calls_end_neither_each_other_nor_the_worker(
    error: BaseException, told: type[Exception]
) -> None:
    heard: list[int] = []
    go, ended = threading.Event(), threading.Event()
    future: Future[int] = worker_for("cpu").submit_call(lambda: (go.wait(PATIENCE), 42)[1])
    future.add_done_callback(raising(error))
    future.add_done_callback(lambda done: (heard.append(done.result()), ended.set()))
    go.set()
    assert ended.wait(PATIENCE)
    assert (heard, future.result(0)) == ([42], 42)


@each_error
def test_a_frame_that_fails_is_told(error: BaseException, told: type[Exception]) -> None:
    heard: list[BaseException] = []
    ended = threading.Event()

    def on_error(what: BaseException) -> None:
        heard.append(what)
        ended.set()
        raise what

    frames = Frames(raising(error), PottsModel())
    frames.ask(Mask.none(RESIDUES), lambda frame: None, on_error)
    assert ended.wait(PATIENCE)
    assert isinstance(heard[0], told)


# ---- workers that end


def test_what_is_queued_when_a_worker_is_closed_is_cancelled() -> None:
    worker = Worker("short")
    running, go = threading.Event(), threading.Event()
    worker.submit_call(lambda: (running.set(), go.wait(PATIENCE)))
    assert running.wait(PATIENCE)
    job = Job(submit(RESIDUES, PottsModel(seed=8)).request)
    job.start_on(worker)
    call = worker.submit_call(lambda: 1)
    closing = threading.Thread(target=worker.close)
    closing.start()
    go.set()
    closing.join(PATIENCE)
    with pytest.raises(Cancelled, match="process ends"):
        job.result(PATIENCE)
    with pytest.raises(Cancelled, match="process ends"):
        call.result(PATIENCE)
    # What comes later too, at once.
    late = Job(job.request)
    late.start_on(worker)
    with pytest.raises(Cancelled, match="process ends"):
        late.result(PATIENCE)


def test_a_worker_whose_thread_could_not_be_started_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker("late")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", raising(RuntimeError("can't start new thread")))
        with pytest.raises(RuntimeError, match="new thread"):
            worker.submit_call(lambda: 1)
    assert worker.submit_call(lambda: 2).result(PATIENCE) == 2
    worker.close()


def test_an_interrupt_of_a_person_who_waits_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading from the cache is done on the caller's thread, where Ctrl-C means what it says."""
    jacobian(RESIDUES, PottsModel(), progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(Rows, "take", raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt, match="interrupted after 0 of 6 rows"):
            jacobian(RESIDUES, PottsModel(), progress=False)
