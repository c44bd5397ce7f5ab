"""Which panels there are: those of the package's own views, and those that somebody else registered."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from typing import Any

import traitlets

import catjac_widgets.widgets as views
from catjac_widgets.errors import UsageError
from catjac_widgets.widgets.base.panels import Panel, registered_panels


@cache
def _find_own() -> None:
    """Import the module `panel` of each view's folder, which registers what it shows."""
    for folder in pkgutil.iter_modules(views.__path__):
        if not folder.ispkg:
            continue
        package = importlib.import_module(f"{views.__name__}.{folder.name}")
        if any(module.name == "panel" for module in pkgutil.iter_modules(package.__path__)):
            importlib.import_module(f"{package.__name__}.panel")


def all_panels() -> tuple[Panel, ...]:
    """Return all panels in the order in which they lie."""
    _find_own()
    return registered_panels()


def panel_names() -> tuple[str, ...]:
    """Name all panels in the order in which they lie."""
    return tuple(panel.name for panel in all_panels())


def check_panels(panels: Iterable[str]) -> tuple[str, ...]:
    """Return names of panels in the order in which they lie, each once.

    Raises
    ------
    UsageError
        For a name that is no panel's.
    """
    try:
        wanted = (panels,) if isinstance(panels, str) else tuple(panels)
    except TypeError:
        wanted = (panels,)  # type: ignore[assignment]
    known = panel_names()
    for name in wanted:
        if name not in known:
            raise UsageError(f"There is no panel {name!r}; there are {', '.join(known)}.")
    return tuple(name for name in known if name in wanted)


class PanelsTrait(traitlets.TraitType[Any, Any]):
    """Names of panels, in the order in which they lie, each once; all of them by default."""

    info_text = "names of panels"

    def make_dynamic_default(self) -> tuple[str, ...]:
        """Name all panels that there are when the widget is made."""
        return panel_names()

    def validate(self, obj: Any, value: Any) -> tuple[str, ...]:
        """Refuse what is no panel's name."""
        return check_panels(value)
