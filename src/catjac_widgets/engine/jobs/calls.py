"""Run a function with a model on the thread of the model's device.

A model runs on its device's one thread only: elsewhere, work in the background would run it at the same time.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from catjac_widgets.engine.backends.threads import worker_of
from catjac_widgets.engine.priorities import Priority

if TYPE_CHECKING:
    from catjac_widgets.language_models.base import LanguageModel

T = TypeVar("T")


def submit_with_model(
    function: Callable[[LanguageModel], T],
    model: Any,
    *,
    priority: Priority = Priority.SCREEN,
    replace_key: object | None = None,
) -> Future[T]:
    """Have a function called with a model; returns at once.

    Parameters
    ----------
    function
        Called on the device's thread with the loaded model.
    model
        A language model; or a name or path, which is loaded on that thread.
    priority
        How urgent it is among other work of the device.
    replace_key
        A call that still waits under the same key is cancelled, and this one takes its place.

    Returns
    -------
    concurrent.futures.Future
        Of what the function returns or raises. Its ``cancel()`` takes a call that still waits off the queue.
    """
    return worker_of(model).submit_call(lambda: function(_loaded(model)), priority, replace_key)


def call_with_model(
    function: Callable[[LanguageModel], T], model: Any, *, priority: Priority = Priority.SCREEN
) -> T:
    """Call a function with a model and wait for what it returns or raises; see `submit_with_model`.

    Where the caller is on the device's thread already, it is called there. An interrupt takes it off the
    queue if it still waits.
    """
    if worker_of(model).owns_this_thread():
        return function(_loaded(model))
    future = submit_with_model(function, model, priority=priority)
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        raise


def _loaded(model: Any) -> LanguageModel:
    from catjac_widgets.language_models.registry import resolve_model

    return resolve_model(model)
