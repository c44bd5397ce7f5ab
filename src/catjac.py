"""The short name of catjac_widgets: the same objects, and ``%load_ext catjac``."""

from __future__ import annotations

from typing import Any

import catjac_widgets as _package
from catjac_widgets import __version__, load_ipython_extension, unload_ipython_extension

__all__ = ["__version__", "load_ipython_extension", "unload_ipython_extension", *_package.__all__]


def __getattr__(name: str) -> Any:
    return getattr(_package, name)


def __dir__() -> list[str]:
    return __all__
