"""The models that were loaded by name, each once, and what holds them in memory."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable

from catjac_widgets.language_models.base import LanguageModel
from catjac_widgets.language_models.families import Source

#: Whose name it is, and the name.
Name = tuple[str, str]

#: Device and dtype.
Form = tuple[str, str]


class LoadedModels:
    """Models by name and form, loaded when first asked for; whoever loads one name keeps no other waiting.

    Parameters
    ----------
    kept
        So many, of those that were asked for last, stay in memory although nobody uses them.
    """

    def __init__(self, kept: int) -> None:
        self._guard = threading.Lock()
        self._locks: dict[Name, threading.RLock] = {}
        #: The fingerprint of what the name stood for at that time, and the model as long as it is in memory.
        self._models: dict[tuple[Name, Form], tuple[str, weakref.ref[LanguageModel]]] = {}
        self._latest: deque[LanguageModel] = deque(maxlen=kept)

    def get(self, name: Name, form: Form, source: Source, make: Callable[[], LanguageModel]) -> LanguageModel:
        """Return a model, loading it unless it is there and still what its name stands for.

        No weight of a model that is there is read for it: its source remembers what its file holds, and
        `LanguageModel.changed` looks at places and versions.
        """
        with self._guard:
            # One lock a name, not a form: two of the same name would both download or fit it.
            lock = self._locks.setdefault(name, threading.RLock())
        with lock:
            fingerprint = source.identity().fingerprint
            with self._guard:
                then, reference = self._models.get((name, form), ("", None))
            model = None if reference is None else reference()
            if model is None or then != fingerprint or model.changed:
                model = make()
                with self._guard:
                    for gone in [key for key, (_, kept) in self._models.items() if kept() is None]:
                        del self._models[gone]
                    self._models[name, form] = fingerprint, weakref.ref(model)
            with self._guard:
                if model in self._latest:
                    self._latest.remove(model)
                self._latest.append(model)
            return model

    def clear(self) -> None:
        """Forget all of them; those in use live on with their users."""
        with self._guard:
            self._models.clear()
            self._latest.clear()
