"""The explorer's head: which protein, which model, how far the computation is, what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import traitlets

from catjac_widgets.widgets.base.state import STATIC, SharedState, View
from catjac_widgets.widgets.explorer.model_menu import model_menu


class JobStatus(View):
    """Name, progress, Cancel and Resume, notices and errors of the `state` that it belongs to.

    Parameters
    ----------
    state
        A widget with the traits `status`, `progress`, `notice`, `error` and `model_name` (the explorer).
    cancel, resume
        Called, through the delivery queue, when a person presses the button.
    choose
        Called, through the delivery queue, with the name of the model that a person chose; None where there
        is one model only.

    Attributes
    ----------
    models
        The menu: see `model_menu`; empty until the page has asked for it.
    offer
        Name of a model of the menu that is offered at one click, or "".
    """

    _esm = STATIC / "job_status.js"
    _css = STATIC / "catjac.css"

    models: Any = traitlets.List().tag(sync=True)
    offer = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        *,
        state: SharedState,
        cancel: Callable[[], None],
        resume: Callable[[], None],
        choose: Callable[[str], None] | None = None,
    ) -> None:
        self._actions = {"cancel": cancel, "resume": resume}
        self._choose = choose
        super().__init__(state=state)
        self.on_msg(self._pressed)

    def _pressed(self, widget: Any, content: dict[str, Any], buffers: Any) -> None:
        kind = content.get("kind", "")
        action, choose = self._actions.get(kind), self._choose
        if kind == "models" and choose is not None and self.sequence is not None:
            length = len(self.sequence)
            # Families that are installed have to be looked for.
            self.delivery.post(("models", id(self)), self._show_menu, prepare=lambda: model_menu(length))
        elif kind == "model" and choose is not None:
            name = str(content.get("name", ""))
            if name in {entry["name"] for entry in self.models}:
                self.delivery.post(("model", id(self)), lambda _: choose(name), urgent=True)
        elif action is not None:
            self.delivery.post(("action", id(self)), lambda _: action(), urgent=True)

    def _show_menu(self, menu: list[dict[str, Any]]) -> None:
        self.models = menu
