"""Look inside protein language models with the categorical Jacobian.

`import catjac` gives the same objects under the short name. Nothing heavy is imported until a name is used,
so that the import (and ``%load_ext catjac``) is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Examples, structure files and databases become known wherever a protein is named.
import catjac_widgets.structures  # noqa: F401
from catjac_widgets._version import __version__
from catjac_widgets.accessor import register_accessor
from catjac_widgets.namespaces import NAMESPACES, TOP, resolve

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# Names that have moved still work, and are no longer shown.
__all__ = ["__version__", *sorted(TOP), *sorted(NAMESPACES)]

register_accessor()


def __getattr__(name: str) -> Any:
    value = resolve(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Register the magics: ``%load_ext catjac``."""
    importlib.import_module("catjac_widgets.notebook").load_ipython_extension(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Take the magics away again: ``%unload_ext catjac``."""
    importlib.import_module("catjac_widgets.notebook").unload_ipython_extension(ipython)
