"""What an explorer says of itself beside what its views share."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import traitlets

from catjac_widgets.errors import CatjacError
from catjac_widgets.widgets.base.sentences import Sentences
from catjac_widgets.widgets.base.state import SharedState
from catjac_widgets.widgets.explorer.registry import PanelsTrait

if TYPE_CHECKING:
    from catjac_widgets.engine.jobs.job import Progress

#: States in which nothing more will come.
ENDED = ("done", "cancelled", "failed")

STATUSES = ("queued", "running", *ENDED, "idle")


class ExplorerState(SharedState):
    """The shared state, how far the work is, and what a person should know.

    Attributes
    ----------
    status, progress, error, notice, model, model_name, panels
        See `catjac_widgets.widgets.explorer.view.Explorer`.
    """

    status = traitlets.Enum(STATUSES, "queued").tag(sync=True)
    progress = traitlets.Dict().tag(sync=True)
    error = traitlets.Unicode("").tag(sync=True)
    notice = traitlets.Unicode("").tag(sync=True)
    model = traitlets.Any()
    model_name = traitlets.Unicode("").tag(sync=True)
    panels = PanelsTrait().tag(sync=True)

    def report(self, status: str, progress: Progress | dict[str, Any], error: str = "") -> None:
        """Set `status`, `progress` and `error` together."""
        with self.hold_sync():  # type: ignore[attr-defined]
            self.status, self.progress, self.error = status, as_dict(progress), error

    def tell(self, source: str, sentence: str) -> None:
        """Add a sentence to `notice`, in place of what the same source said before; "" takes it back."""
        if not hasattr(self, "_notices"):
            self._notices = Sentences(self.notice)
        self.notice = self._notices.say(source, sentence)


def as_dict(progress: Progress | dict[str, Any]) -> dict[str, Any]:
    """Progress as the front end reads it: rows_done, rows_total, seconds, seconds_left and message."""
    known = progress if isinstance(progress, dict) else dataclasses.asdict(progress)
    return {name: value for name, value in known.items() if name != "state"}


def sentence(error: BaseException | None) -> str:
    """Tell a person why a job failed: by the error's own sentence, or that it is our mistake."""
    if error is None:
        return ""
    if isinstance(error, CatjacError):
        return str(error)
    return (
        f"Something went wrong inside catjac ({type(error).__name__}: {error}); "
        "the rows done so far are kept, and job.error has the whole story."
    )
