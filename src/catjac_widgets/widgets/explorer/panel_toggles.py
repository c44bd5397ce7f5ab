"""The row of buttons by which an explorer's panels are shown and hidden."""

from __future__ import annotations

from typing import Any

import traitlets

from catjac_widgets.widgets.base.state import STATIC, SharedState, View


class PanelToggles(View):
    """One button a panel; pressing it changes the trait `panels` of the `state`.

    Parameters
    ----------
    state
        A widget with the trait `panels` (the explorer).
    choices
        (name, what is written on the button) of each panel.

    Attributes
    ----------
    absent
        {name: a sentence}, for panels that cannot be shown.
    """

    _esm = STATIC / "panel_toggles.js"
    _css = STATIC / "catjac.css"

    choices: Any = traitlets.List().tag(sync=True)
    absent: Any = traitlets.Dict().tag(sync=True)

    def __init__(self, *, state: SharedState, choices: list[tuple[str, str]]) -> None:
        super().__init__(state=state, choices=[list(choice) for choice in choices])
