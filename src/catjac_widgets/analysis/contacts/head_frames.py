"""The contact head under masks that follow each other as fast as a hand drags."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from catjac_widgets.engine.backends.threads import Priority, Worker, worker_for
from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.base import ContactHead, LanguageModel
from catjac_widgets.language_models.registry import identify, resolve_model
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.sequences import Sequence

_LOG = logging.getLogger("catjac")

#: A pass that one thread is likely to finish sooner than this is left to one thread.
SMALL_PASS_SECONDS = 0.05

Come = Callable[[np.ndarray], None]


class ContactFrames:
    """Maps of a model's contact head for one sequence; of masks that wait, the last one is computed.

    Nothing is stored, and a model given by name is loaded when the first frame is asked for, or by `warm`.

    Parameters
    ----------
    sequence
        Whose contacts; its letters are those of the model.
    model
        As of `catjac.jacobian`.

    Attributes
    ----------
    available
        Whether the model has a fitted contact head.
    model_name
        What the model is called.
    computed, dropped
        How many frames were computed, and how many were overtaken by a newer one before that.

    Raises
    ------
    ModelError
        If there is no such model.
    """

    def __init__(self, sequence: Sequence, model: Any = "mini") -> None:
        identity = identify(model)
        self.available: bool = identity.has_contact_head
        self.model_name: str = identity.name
        self.computed = self.dropped = 0
        self._residues = sequence.residues
        self._model = model if isinstance(model, str | Path) else resolve_model(model)
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._waking = False
        self._waiting: tuple[Mask, Come] | None = None

    def warm(self) -> None:
        """Load the model, in the background, so that the first frame need not wait for it."""
        with self._lock:
            if self._waking or not self.available:
                return
            self._waking = True
        # Naming the device imports torch, which takes seconds: not on the thread that takes messages in.
        worker_for("cache").submit_call(self._find_worker, Priority.SCREEN)

    def ask(self, mask: Mask, come: Come) -> None:
        """Have a map computed before anything else; returns at once.

        Parameters
        ----------
        mask
            Which residues the model may not see.
        come
            Called on the worker's thread with the probabilities, float32, (L, L); not called where a newer
            question overtakes this one.
        """
        if not self.available:
            return
        with self._lock:
            worker = self._worker
            if worker is None:
                self.dropped += self._waiting is not None
                self._waiting = (mask, come)
        if worker is None:
            self.warm()
        else:
            self._submit(worker, mask, come)

    def _find_worker(self) -> None:
        from catjac_widgets.language_models.devices import choose_device

        try:
            model = self._model
            worker = worker_for(choose_device(None) if isinstance(model, str | Path) else model.device)
        except Exception:
            _LOG.exception("no device for the contact head")
            self._waking = False  # the next question tries again
            return
        with self._lock:
            self._worker, waiting, self._waiting = worker, self._waiting, None
        if waiting is not None:
            self._submit(worker, *waiting)
        else:
            worker.submit_call(lambda: resolve_model(self._model), Priority.SCREEN)

    def _submit(self, worker: Worker, mask: Mask, come: Come) -> None:
        def done(future: Future[np.ndarray]) -> None:
            if future.cancelled():
                self.dropped += 1
            elif future.exception() is not None:
                _LOG.error("no contact map for this mask: %s", future.exception())
            else:
                self.computed += 1
                come(future.result())

        worker.submit_call(
            lambda: self._map(mask), Priority.DRAG, replace_key=("contact frame", id(self))
        ).add_done_callback(done)

    def _map(self, mask: Mask) -> np.ndarray:
        from catjac_widgets.language_models.devices import cpu_threads

        with cpu_threads(1):
            model = resolve_model(self._model)
            if model.seconds_per_sequence(len(self._residues)) < SMALL_PASS_SECONDS:
                return self._run(model, mask)
        return self._run(model, mask)

    def _run(self, model: LanguageModel, mask: Mask) -> np.ndarray:
        if not isinstance(model, ContactHead):
            raise ModelError(f"{self.model_name} gives no contact probabilities.")
        values = model.contact_probabilities(self._residues, [mask if mask else None])[0]
        return np.ascontiguousarray(values, dtype=np.float32)
