"""What an explorer needs of one model: how its jobs are started, and what is shown before their rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catjac_widgets.proteins.masks import Mask
from catjac_widgets.widgets.explorer.head_maps import head_of, head_under
from catjac_widgets.widgets.explorer.job_feed import StartPreview
from catjac_widgets.widgets.recovery.view import unfamiliar

if TYPE_CHECKING:
    from catjac_widgets.engine.jobs.job import Job
    from catjac_widgets.engine.plans.request import JacobianRequest


@dataclass(frozen=True)
class Session:
    """One protein under one model.

    Attributes
    ----------
    model
        As of `catjac.jacobian`.
    name
        What a person calls it.
    start
        Called with a mask, returns its job; may take long.
    head
        Called with a job, returns the future map of the contact head under its mask, or None for none.
    head_under
        The same for a mask.
    preview
        See `StartPreview`.
    notice
        What a person should know of this model and this protein, or "".
    """

    model: Any
    name: str
    start: Callable[[Mask], Job]
    head: Callable[[Job], Future[Any] | None] | None = None
    head_under: Callable[[Mask], Future[Any] | None] | None = None
    preview: StartPreview | None = None
    notice: str = ""


def session_of(request: JacobianRequest) -> Session:
    """Make the session of a request, for whatever mask is asked for later."""
    from catjac_widgets.analysis.previews.in_background import start_preview
    from catjac_widgets.engine.api import submit_request

    known, model, name = request.sequence, request.model, request.identity.name
    return Session(
        model,
        name,
        # In the background: behind the contact head's one pass and the preview, which fill the screen first.
        start=lambda mask: submit_request(dataclasses.replace(request, mask=mask)),
        head=lambda job: head_of(known, model, job),
        head_under=lambda mask: head_under(known, model, mask),
        preview=start_preview,
        # What the embedded model has to say about a protein that it does not know.
        notice=unfamiliar(known) if name == "mini" else "",
    )
