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
        #: The fingerprint of what the name stood for at that time, that of the model when it was loaded, and
        #: the model as long as it is in memory.
        self._models: dict[tuple[Name, Form], tuple[str, str, weakref.ref[LanguageModel]]] = {}
        self._latest: deque[LanguageModel] = deque(maxlen=kept)
        #: What somebody outside holds, or may hold, and can alter.
        self._handed_out: weakref.WeakSet[object] = weakref.WeakSet()

    def get(
        self,
        name: Name,
        form: Form,
        source: Source,
        make: Callable[[], LanguageModel],
        *,
        hand_out: bool,
    ) -> LanguageModel:
        """Return a model, loading it unless it is there and still what its name stands for.

        Parameters
        ----------
        hand_out
            Whether a person gets it. From then on its weights are read whenever it is asked for by name: a
            change through ``parameter.data`` shows nowhere else. Of others no weight is read, their source
            remembers what its file holds.
        """
        with self._guard:
            # One lock a name, not a form: two of the same name would both download or fit it.
            lock = self._locks.setdefault(name, threading.RLock())
        with lock:
            fingerprint = source.identity().fingerprint
            with self._guard:
                then, loaded_as, reference = self._models.get((name, form), ("", "", None))
            model = None if reference is None else reference()
            if model is None or then != fingerprint or self._is_altered(model, loaded_as):
                model = make()
                loaded_as = model.fingerprint
                with self._guard:
                    for gone in [key for key, (*_, kept) in self._models.items() if kept() is None]:
                        del self._models[gone]
                    self._models[name, form] = fingerprint, loaded_as, weakref.ref(model)
            with self._guard:
                if model in self._latest:
                    self._latest.remove(model)
                self._latest.append(model)
                if hand_out:
                    self._handed_out.add(model.altered_with)
            return model

    def _is_altered(self, model: LanguageModel, loaded_as: str) -> bool:
        if model.changed:
            return True
        return model.altered_with in self._handed_out and model.fingerprint != loaded_as

    def clear(self) -> None:
        """Forget all of them; those in use live on with their users."""
        with self._guard:
            self._models.clear()
            self._latest.clear()
