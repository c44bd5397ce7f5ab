"""What a family of language models tells about itself: which names are its own, and how their models load."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from catjac_widgets.errors import DependencyError, ModelError
from catjac_widgets.language_models.weights.wheels import Wheel

if TYPE_CHECKING:
    import torch

    from catjac_widgets.language_models.base import LanguageModel
    from catjac_widgets.language_models.identity import ModelIdentity


class Source(Protocol):
    """Where a model that has a name comes from."""

    def identity(self) -> ModelIdentity:
        """Tell what is known of it, without building it where that can be.

        It is asked for with every frame while a hand drags: what a file holds has to be remembered
        (see `fingerprints.file_memory`).
        """
        ...

    def load(self, device: torch.device, dtype: torch.dtype) -> LanguageModel:
        """Build it on a device."""
        ...


class Loader(Protocol):
    """Finds and loads models of any family; for families whose models are made of other models."""

    def source(self, name: str | Path) -> Source:
        """Find where a model comes from."""
        ...

    def load(self, name: str | Path, device: torch.device, dtype: torch.dtype) -> LanguageModel:
        """Load a model, the same object for the same request."""
        ...


class ModelFamily(ABC):
    """One family of language models, found through the entry points of the group ``catjac.models``.

    The class is called without arguments. Its module is imported with the first question about any model, so
    that it should import torch and other large packages inside its methods only.

    Attributes
    ----------
    name
        What a person calls it.
    forms
        How its names are written, as part of a sentence: "by fair-esm's name". "" says nothing.
    wraps_what
        What `wrap` takes, as part of a sentence: "fair-esm (an ESM2 or …)". "" where it takes nothing.
    options
        Keywords that its `wrap` takes beside those of all families.
    packages
        Packages that loading one of its models needs: module to what pip is to install for it.
    needs_gpu
        Whether its models run on a GPU only.
    tried
        Whether its models were ever run by those who wrote this family; what `catjac.models` says of them.
    wheels
        Published wheels that hold weights of its models.
    """

    name: str
    forms: str = ""
    wraps_what: str = ""
    options: tuple[str, ...] = ()
    packages: Mapping[str, str] = {}
    needs_gpu: bool = False
    tried: bool = True
    wheels: tuple[Wheel, ...] = ()

    @abstractmethod
    def claims(self, name: str | Path) -> bool:
        """Whether that is the name (or, as a `Path`, the file or folder) of one of its models."""

    @abstractmethod
    def source(self, name: str | Path, loader: Loader) -> Source:
        """Tell where the model of a name that it claims comes from."""

    def rows(self) -> Iterable[dict[str, Any]]:
        """List its rows of `catjac.models`, see `ModelTable`; their names are suggested for misspelt ones."""
        return ()

    def wraps(self, model: Any, alphabet: Any = None) -> bool:
        """Whether that is a model in memory that it can use."""
        return False

    def wrap(
        self, model: Any, alphabet: Any = None, *, name: str = "", fingerprint: str | None = None
    ) -> LanguageModel:
        """Use a model in memory for which `wraps` is true; `fingerprint` as of `catjac.wrap`."""
        raise ModelError(f"The family {self.name} takes no model in memory.")

    def missing_package(self) -> str | None:
        """Say which package is missing and how to install it, or None; nothing is imported for it."""
        for module, install in self.packages.items():
            if not _is_installed(module):
                return f"needs the package {module}; run: pip install {shlex.quote(install)}"
        return None

    def check_packages(self) -> None:
        """Refuse to go on without a package that its models need.

        Raises
        ------
        DependencyError
            Naming the first one that is missing, with the command that installs it.
        """
        missing = self.missing_package()
        if missing is not None:
            raise DependencyError(f"The model family {self.name} {missing}")


def _is_installed(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None
    return importlib.util.find_spec(module) is not None
