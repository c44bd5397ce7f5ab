"""The explorer's head: which protein, which model, how far the computation is, what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from catjac_widgets.widgets.base.state import STATIC, SharedState, View


class JobStatus(View):
    """Name, progress, Cancel and Resume, notices and errors of the `state` that it belongs to.

    Parameters
    ----------
    state
        A widget with the traits `status`, `progress`, `notice`, `error` and `model_name` (the explorer).
    cancel, resume
        Called, through the delivery queue, when a person presses the button.
    """

    _esm = STATIC / "job_status.js"
    _css = STATIC / "catjac.css"

    def __init__(self, *, state: SharedState, cancel: Callable[[], None], resume: Callable[[], None]) -> None:
        self._actions = {"cancel": cancel, "resume": resume}
        super().__init__(state=state)
        self.on_msg(self._pressed)

    def _pressed(self, widget: Any, content: dict[str, Any], buffers: Any) -> None:
        action = self._actions.get(content.get("kind", ""))
        if action is not None:
            self.delivery.post(("action", id(self)), lambda _: action(), urgent=True)
