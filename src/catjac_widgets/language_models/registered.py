"""Names of a person's own for models that a function of theirs makes."""

from __future__ import annotations

import inspect
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import ModelError, UsageError
from catjac_widgets.language_models.base import LanguageModel
from catjac_widgets.language_models.families import Loader, ModelFamily, Source
from catjac_widgets.language_models.identity import ModelIdentity, identity_of

if TYPE_CHECKING:
    import torch

    #: Makes a `LanguageModel` of what a factory returned.
    Wrap = Callable[[Any], LanguageModel]


class RegisteredModels(ModelFamily):
    """The models that were registered in this process."""

    name = "registered here"

    def __init__(self) -> None:
        self._sources: dict[str, _FactorySource] = {}

    def register(self, name: str, factory: Callable[..., Any], wrap: Wrap) -> None:
        """Register a factory under a name; one that is there already is replaced.

        Raises
        ------
        UsageError
            If the name or the factory is none.
        """
        if not isinstance(name, str) or not name.strip() or name != name.strip():
            raise UsageError(f"{name!r} is no name for a model; give text without blanks at its ends.")
        if not callable(factory):
            raise UsageError(
                f"The factory of {name!r} cannot be called; give a function that makes the model."
            )
        self._sources[name] = _FactorySource(name, factory, wrap)

    def claims(self, name: str | Path) -> bool:
        """See `ModelFamily`."""
        return isinstance(name, str) and name in self._sources

    def source(self, name: str | Path, loader: Loader) -> Source:
        """See `ModelFamily`."""
        return self._sources[str(name)]

    def rows(self) -> list[dict[str, Any]]:
        """See `ModelFamily`; what a model is shows once it has been made."""
        return [
            {
                "name": name,
                "family": self.name,
                "status": "registered",
                "letters": None if source.known is None else source.known.letters,
            }
            for name, source in self._sources.items()
        ]


class _FactorySource:
    """A model that a function makes."""

    def __init__(self, name: str, factory: Callable[..., Any], wrap: Wrap) -> None:
        self._name, self._factory, self._wrap = name, factory, wrap
        taken = inspect.signature(factory).parameters.values()
        every = any(each.kind is each.VAR_KEYWORD for each in taken)
        self._options = [key for key in ("device", "dtype") if every or key in {each.name for each in taken}]
        self._guard = threading.RLock()
        self._made: tuple[tuple[str, str], LanguageModel] | None = None
        self._last: weakref.ref[LanguageModel] | None = None
        #: What is known of the model since it was made.
        self.known: ModelIdentity | None = None

    def identity(self) -> ModelIdentity:
        """See `Source`; the model is made for it once, and once more where it was altered or freed since.

        It may be one that somebody holds on to and alters, so that its weights are read for it.
        """
        from catjac_widgets.language_models.devices import choose_device, choose_dtype

        with self._guard:
            last = None if self._last is None else self._last()
            if self.known is None or last is None or self._is_another(last):
                where, kind = choose_device(None), choose_dtype(None)
                # Whoever asks what it is will most likely load it next.
                self._made = (str(where), str(kind)), self.load(where, kind)
            assert self.known is not None
            return self.known

    def _is_another(self, model: LanguageModel) -> bool:
        """Whether a model that was made is no longer what is known of it."""
        assert self.known is not None
        return model.changed or (model.fingerprint, model.unseen) != (
            self.known.fingerprint,
            self.known.unseen,
        )

    def load(self, device: torch.device, dtype: torch.dtype) -> LanguageModel:
        """See `Source`."""
        with self._guard:
            made, self._made = self._made, None
            if made is not None and made[0] == (str(device), str(dtype)) and not self._is_another(made[1]):
                return made[1]
            options = {"device": device, "dtype": dtype}
            found = self._factory(**{key: options[key] for key in self._options})
            if found is None:
                raise ModelError(f"The factory of {self._name!r} returned no model.")
            model = self._wrap(found)
            self.known, self._last = identity_of(model), weakref.ref(model)
            return model
