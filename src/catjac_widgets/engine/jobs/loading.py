"""The model that rows were asked of: loading it when rows are missing, and seeing that it stays as it is."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.engine.cache.store import cache
from catjac_widgets.errors import ModelError

if TYPE_CHECKING:
    from catjac_widgets.language_models.base import LanguageModel

#: Models that this process has loaded by name, to count each once.
_LOADED: weakref.WeakValueDictionary[int, LanguageModel] = weakref.WeakValueDictionary()


def load_for(model: Any, name: str, fingerprint: str) -> LanguageModel:
    """Return a model, loading (and counting) it if it was given by name or path.

    Parameters
    ----------
    model
        A name or path, or a language model.
    name, fingerprint
        What its identity said when the key was made.

    Raises
    ------
    ModelError
        If it cannot be loaded, or its weights are no longer those that the key was made for.
    """
    from catjac_widgets.language_models.registry import resolve_model

    by_name = isinstance(model, str | Path)
    made = resolve_model(model)
    if by_name and _LOADED.get(id(made)) is not made:
        _LOADED[id(made)] = made
        cache.count(models_loaded=1)
    # Rows of other weights must not be kept under this key.
    if made.fingerprint != fingerprint:
        what = "The checkpoint of" if by_name else "The model"
        raise ModelError(f"{what} {name} changed since it was asked for; ask again.")
    return made


class AlteredModelCheck:
    """Finds that a model was altered while rows were made with it, and takes these rows back.

    Reading all weights is the only way to be sure, so that it is done seldom: now and then, and at the end,
    also of work that was cancelled or failed. As a context, around what makes rows.

    Parameters
    ----------
    model
        What makes them.
    name, fingerprint
        What its identity said when the key was made.
    forget
        Takes back rows, by their indices.

    Attributes
    ----------
    made
        Indices of rows that were made since the model was last found to be as it was.
    """

    #: At most this share of the time goes into reading weights while rows are made, and not sooner than that.
    _SHARE, _SECONDS = 0.02, 20.0

    def __init__(
        self,
        model: LanguageModel,
        name: str,
        fingerprint: str,
        forget: Callable[[list[int]], None] = lambda _: None,
    ) -> None:
        self._model, self._name, self._fingerprint, self._forget = model, name, fingerprint, forget
        self.made: list[int] = []
        self._next = time.monotonic() + self._SECONDS

    def now(self) -> None:
        """Read the weights.

        Raises
        ------
        ModelError
            If the model was altered.
        """
        if not self._is_as_it_was():
            raise ModelError(
                f"{self._name} was altered while its rows were computed; those that were made meanwhile are "
                "not kept: call again for the altered one."
            )

    def now_and_then(self) -> None:
        """Read the weights if it was long ago; see `now`."""
        if time.monotonic() >= self._next:
            self.now()

    def _is_as_it_was(self) -> bool:
        started = time.monotonic()
        same = self._model.fingerprint == self._fingerprint
        ended = time.monotonic()
        self._next = ended + max(self._SECONDS, (ended - started) / self._SHARE)
        if not same:
            self._forget(self.made)
        self.made = []
        return same

    def __enter__(self) -> AlteredModelCheck:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.now()
        elif self.made:
            # What went wrong, or that it was cancelled, is said already.
            self._is_as_it_was()
