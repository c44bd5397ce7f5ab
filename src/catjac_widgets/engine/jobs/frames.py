"""Frames: what is computed, and forgotten again, while a hand drags a mask."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from catjac_widgets.engine.backends.threads import Worker, worker_for, worker_of
from catjac_widgets.engine.compute.passes import run_one
from catjac_widgets.engine.priorities import Priority
from catjac_widgets.engine.telling import as_exception

if TYPE_CHECKING:
    import numpy as np

    from catjac_widgets.language_models.base import LanguageModel
    from catjac_widgets.proteins.masks import Mask

#: A pass that one thread is likely to finish sooner than this is left to one thread.
SMALL_PASS_SECONDS = 0.05

#: Makes the array of a frame of a loaded model and a mask.
FrameFunction = Callable[["LanguageModel", "Mask"], "np.ndarray"]


class _Question(NamedTuple):
    """What was asked, and whom to tell."""

    mask: Mask
    on_frame: Callable[[np.ndarray], object]
    on_error: Callable[[BaseException], object]


class Frames:
    """Computes a function of a model and a mask as fast as masks follow each other.

    Of masks that wait, the last is computed, before anything else that the device has to do. Nothing is
    stored. A model given by name is loaded when the first frame is asked for, or by `warm`, and not looked
    for again as long as it is in memory.

    Parameters
    ----------
    function
        Pure; called on the thread of the model's device.
    model
        As of `catjac.jacobian`.

    Attributes
    ----------
    computed, dropped, failed
        How many frames were computed, were overtaken by a newer question before that, and went wrong.

    Raises
    ------
    ModelError
        If `model` is not a name and cannot be used.
    """

    def __init__(self, function: FrameFunction, model: Any = "mini") -> None:
        from catjac_widgets.language_models.registry import resolve_model

        self.computed = self.dropped = self.failed = 0
        self._function = function
        self._model = model if isinstance(model, str | Path) else resolve_model(model)
        self._loaded: weakref.ref[LanguageModel] | None = None
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._warming = False
        self._waiting: _Question | None = None

    def warm(self) -> None:
        """Load the model, in the background, so that the first frame need not wait for it."""
        with self._lock:
            if self._warming:
                return
            self._warming = True
        # Naming the device may import torch, which takes seconds: not on the thread that takes messages in.
        worker_for("cache").submit_call(self._find_worker, Priority.SCREEN)

    def ask(
        self,
        mask: Mask,
        on_frame: Callable[[np.ndarray], object],
        on_error: Callable[[BaseException], object],
    ) -> None:
        """Have a frame computed before anything else; returns at once.

        Parameters
        ----------
        mask
            Which residues the model may not see.
        on_frame
            Called on the worker's thread with what the function returned; not where a newer question
            overtakes this one.
        on_error
            Called on a worker's thread with what went wrong instead: a `CatjacError` where a person can do
            something about it.
        """
        question = _Question(mask, on_frame, on_error)
        with self._lock:
            worker = self._worker
            if worker is None:
                self.dropped += self._waiting is not None
                self._waiting = question
        if worker is None:
            self.warm()
        else:
            self._submit(worker, question)

    def _find_worker(self) -> None:
        try:
            worker, failure = worker_of(self._model), None
        except BaseException as error:
            worker, failure = None, as_exception(error)
        with self._lock:
            self._worker, waiting, self._waiting = worker, self._waiting, None
            self._warming = worker is not None  # else the next question tries again
        if worker is None:
            if waiting is not None and failure is not None:
                self.failed += 1
                waiting.on_error(failure)
        elif waiting is not None:
            self._submit(worker, waiting)
        else:
            # What goes wrong with it will go wrong with the first frame, which has somebody to tell.
            worker.submit_call(self._resolve, Priority.SCREEN)

    def _submit(self, worker: Worker, question: _Question) -> None:
        def done(future: Future[np.ndarray]) -> None:
            if future.cancelled():
                self.dropped += 1
            elif (failure := future.exception()) is not None:
                self.failed += 1
                question.on_error(as_exception(failure))
            else:
                self.computed += 1
                question.on_frame(future.result())

        worker.submit_call(
            lambda: self._frame(question.mask), Priority.DRAG, replace_key=("frame", id(self))
        ).add_done_callback(done)

    def _resolve(self) -> LanguageModel:
        """Take the model as it was found before, unless somebody altered what a name stands for.

        Resolving a name may read all weights, which is too much for each frame.
        """
        from catjac_widgets.language_models.registry import resolve_model

        model = None if self._loaded is None else self._loaded()
        by_name = isinstance(self._model, str | Path)
        if model is None or (by_name and model.changed):
            model = resolve_model(self._model)
            self._loaded = weakref.ref(model)
        return model

    def _frame(self, mask: Mask) -> np.ndarray:
        from catjac_widgets.language_models.devices import cpu_threads

        model = self._resolve()
        if model.seconds_per_sequence(len(mask)) < SMALL_PASS_SECONDS:
            with cpu_threads(1):
                return self._run(model, mask)
        return self._run(model, mask)

    def _run(self, model: LanguageModel, mask: Mask) -> np.ndarray:
        return run_one(lambda: self._function(model, mask), model.name)
