"""Run a generator that a model is needed for, step by step on the thread of the model's device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from catjac_widgets.engine.backends.threads import worker_of
from catjac_widgets.engine.compute.passes import run_one
from catjac_widgets.engine.jobs.calls import call_with_model
from catjac_widgets.engine.priorities import Priority
from catjac_widgets.engine.telling import as_exception, tell

if TYPE_CHECKING:
    from catjac_widgets.language_models.base import LanguageModel

_LOG = logging.getLogger("catjac")

T = TypeVar("T")


def results_of(steps: Iterator[T | None], model: Any, *, priority: Priority = Priority.SCREEN) -> Iterator[T]:
    """Yield what a generator yields, each of its steps being done on the device's thread; None is left out.

    Parameters
    ----------
    steps
        Yields None where other work may come in between.
    model
        Says which device; see `call_with_model`.
    priority
        How urgent each step is.
    """
    ended = object()
    while (step := call_with_model(lambda _: next(steps, ended), model, priority=priority)) is not ended:
        if step is not None:
            yield step  # type: ignore[misc]


class SteppedTask(Generic[T]):
    """A generator in the background; a `Task` of the worker of the model's device.

    Parameters
    ----------
    make
        Called with the loaded model, gives the generator; it yields results, and None where other work may
        come in between.
    model
        A language model; or a name or path, which is loaded in the first step.
    on_result
        Called on the worker's thread with each result.
    on_error
        Called there with what went wrong, a `CatjacError` where a person can do something about it. It is
        logged where nobody is to be told.
    priority
        How urgent it is; it waits while somebody drags.
    """

    yields_to_drags = True
    ready_at = 0.0

    def __init__(
        self,
        make: Callable[[LanguageModel], Iterator[T | None]],
        model: Any,
        on_result: Callable[[T], object],
        *,
        on_error: Callable[[Exception], object] | None = None,
        priority: Priority = Priority.SCREEN,
    ) -> None:
        self.urgency = priority
        self._make, self._model = make, model
        self._on_result, self._on_error = on_result, on_error
        self._cancelled = False
        self._steps = self._work()

    def start(self) -> SteppedTask[T]:
        """Queue it; returns at once."""
        worker_of(self._model).add(self)
        return self

    def cancel(self) -> None:
        """Stop after the step in hand; nothing comes any more."""
        self._cancelled = True

    def step(self) -> bool:
        """See `Task`."""
        if self._cancelled:
            return True
        try:
            run_one(lambda: next(self._steps), getattr(self._model, "name", str(self._model)))
        except StopIteration:
            return True
        except BaseException as error:
            self.fail(error)
            return True
        return False

    def fail(self, error: BaseException) -> None:
        """See `Task`."""
        if self._on_error is not None:
            tell("an error listener", self._on_error, as_exception(error))
        else:
            _LOG.error("work in the background failed", exc_info=error)

    def _work(self) -> Iterator[None]:
        from catjac_widgets.language_models.registry import resolve_model

        model = resolve_model(self._model)
        yield
        for step in self._make(model):
            if step is not None and not self._cancelled:
                self._on_result(step)
            yield
