"""The registry of panels: how a view says that it can lie in an explorer.

A view's folder has a module ``panel`` that registers a `Panel`; the explorer finds these modules by itself
and holds no list of its own. Whoever has another view registers it in the same way::

    register_panel(Panel("notes", "Notes", height=200, make=lambda context: Notes(state=context.state)))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import UsageError
from catjac_widgets.widgets.base.state import SharedState
from catjac_widgets.widgets.base.traits import Brush

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr


@dataclass(frozen=True)
class PanelContext:
    """What a panel is made with: the state that it follows, and whom it may ask.

    Attributes
    ----------
    state
        The widget that holds what the views share.
    model
        As of `catjac.jacobian`, or None.
    structure
        A `Structure`, native contacts without atoms, or None.
    native
        uint8, (L, L): native contacts as of `ContactMap.native`, or None.
    find
        Called with a 1-based position, returns what is known of that row of the Jacobian.
    jacobian
        Called for the Jacobian as far as it is computed.
    mean_block
        Called with a brush, returns its mean block, which reads rows as they come.
    """

    state: SharedState
    model: Any = None
    structure: Any = None
    native: np.ndarray | None = None
    find: Callable[[int], Any] | None = None
    jacobian: Callable[[], xr.DataArray] | None = None
    mean_block: Callable[[Brush], Any] | None = None


def _never(context: PanelContext) -> str:
    return ""


@dataclass(frozen=True)
class Panel:
    """A view as a panel of the explorer.

    Attributes
    ----------
    name
        What `Explorer.panels` calls it.
    title
        What its button says.
    height
        About how high it is in a column, in pixels; panels are dealt out to two columns by it.
    make
        Called with a `PanelContext` when it is first shown, returns the widget: anything with `close()`.
    order
        Panels lie, and are offered, in ascending order.
    attribute
        Name of the explorer's attribute that holds the widget; `name` by default.
    slow
        Whether it takes long to make (libraries to import): it follows the first picture of the map.
    wide
        Whether it lies across both columns, above them.
    eager
        Whether it is made with the explorer, shown or not, because others write to it.
    load
        Called before `make`, where nobody waits for it: for the imports of a slow panel.
    in_cell
        Called while the cell runs, if the panel is among the first: for what belongs into the cell's output.
    absent
        Called with the `PanelContext`, returns a sentence where the panel cannot be shown, else "".
    show_summary
        Called with the widget and `catjac.sensitivity(J)` whenever a Jacobian is complete.
    use_model
        Called with the widget and another model, which takes the place of the one that it was made with.
    show_contacts
        Called with the widget and the scores of the map, (L, L) float32, whenever these are others.
    """

    name: str
    title: str
    height: int
    make: Callable[[PanelContext], Any]
    order: float = 100.0
    attribute: str = ""
    slow: bool = False
    wide: bool = False
    eager: bool = False
    load: Callable[[], None] | None = None
    in_cell: Callable[[], None] | None = None
    absent: Callable[[PanelContext], str] = _never
    use_model: Callable[[Any, Any], None] | None = None
    show_summary: Callable[[Any, xr.Dataset], None] | None = None
    show_contacts: Callable[[Any, np.ndarray], None] | None = None

    @property
    def place(self) -> tuple[float, str]:
        """What panels are sorted by."""
        return self.order, self.name


_PANELS: dict[str, Panel] = {}


def register_panel(panel: Panel) -> None:
    """Offer a panel to explorers that are made from now on; one of the same name is replaced.

    Raises
    ------
    UsageError
        For a name that is empty.
    """
    if not panel.name.strip():
        raise UsageError('A panel needs a name; give for instance Panel(name="notes", …).')
    _PANELS[panel.name] = panel


def unregister_panel(name: str) -> None:
    """Offer a panel no more.

    Raises
    ------
    UsageError
        If no panel of that name was registered.
    """
    if _PANELS.pop(name, None) is None:
        raise UsageError(f"There is no panel {name!r}; there are {', '.join(_PANELS)}.")


def registered_panels() -> tuple[Panel, ...]:
    """Return the panels that were registered so far, in the order in which they lie."""
    return tuple(sorted(_PANELS.values(), key=lambda panel: panel.place))
