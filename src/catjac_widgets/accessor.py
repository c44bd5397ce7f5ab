"""Registers ``J.catjac`` with xarray: at once where xarray is imported, otherwise as soon as it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def register_accessor() -> None:
    """Give every ``xarray.DataArray`` the attribute ``catjac``, without importing xarray for it."""
    module = sys.modules.get("xarray")
    # A module that is still being imported has no DataArray yet.
    if module is not None and hasattr(module, "DataArray"):
        _register(module)
    else:
        after_import("xarray", _register)


def after_import(name: str, then: Callable[[ModuleType], None]) -> None:
    """Call a function with a module once that is imported; the import itself is left as it is."""
    sys.meta_path.insert(0, _AfterImport(name, then))


def _register(xarray: ModuleType) -> None:
    if not hasattr(xarray.DataArray, "catjac"):
        xarray.register_dataarray_accessor("catjac")(_accessor)


def _accessor(array: Any) -> Any:
    """Analyses of this Jacobian, and selections by chain and residue number."""
    # Imported when it is first used: the analyses take longer to import than a small file to open.
    from catjac_widgets.analysis.accessor import JacobianAccessor

    return JacobianAccessor(array)


class _AfterImport(MetaPathFinder):
    """Lets the usual finders find one module, and has something done once that is executed."""

    def __init__(self, name: str, then: Callable[[ModuleType], None]) -> None:
        self._name = name
        self._then = then

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        for finder in list(sys.meta_path):
            search = getattr(finder, "find_spec", None)
            spec = search(fullname, path, target) if finder is not self and search is not None else None
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _ThenLoader(spec.loader, self._done)
                return spec
        return None

    def _done(self, module: ModuleType) -> None:
        # Only now, because others may look for the module without importing it.
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        self._then(module)


class _ThenLoader(Loader):
    """Executes a module by its own loader, gives that back to it, and then calls a function."""

    def __init__(self, loader: Loader, then: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._then = then

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._then(module)
