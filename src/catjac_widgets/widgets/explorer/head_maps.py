"""The contact head's maps of an explorer: the first impression, and those that somebody asks to see."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.proteins.masks import Mask, as_mask
from catjac_widgets.widgets.base.sentences import reason
from catjac_widgets.widgets.base.traits import HEAD, UNMASKED_HEAD
from catjac_widgets.widgets.explorer.job_feed import NO_MASK, head_layer
from catjac_widgets.widgets.explorer.state import ExplorerState

if TYPE_CHECKING:
    from catjac_widgets.engine.jobs.job import Job
    from catjac_widgets.proteins.sequences import Sequence
    from catjac_widgets.widgets.contact_map.layers import MapLayer
    from catjac_widgets.widgets.contact_map.view import ContactMap


class HeadMaps:
    """Has the contact head's maps computed when they are to be shown and nobody has computed them yet.

    Parameters
    ----------
    state
        Whose `maps_shown` and `mask` to follow.
    contact_map
        The view that shows them.
    under
        Called with a mask, returns the future map, or None for none; None where the model has no contact
        head.
    """

    def __init__(
        self,
        state: ExplorerState,
        contact_map: ContactMap,
        under: Callable[[Mask], Future[Any] | None] | None,
    ) -> None:
        self._state, self._map = state, contact_map
        state.observe(lambda change: self._ask(), ["maps_shown", "mask"])
        self.use(under)

    def use(self, under: Callable[[Mask], Future[Any] | None] | None) -> None:
        """Have maps computed otherwise from now on: by another model, or by none that has a contact head."""
        self._under = under
        self._map.offered = [] if under is None else [HEAD, UNMASKED_HEAD]
        self._ask()

    def _ask(self) -> None:
        # Perhaps on the thread of a message: another one does the work.
        self._state.delivery.post("heads", lambda _: None, prepare=self._submit)

    def _submit(self) -> None:
        sequence = self._state.sequence
        assert sequence is not None
        under = self._under
        for name in set(self._state.maps_shown) & {HEAD, UNMASKED_HEAD}:
            if under is not None and self._map.layer(name) is None:
                mask = as_mask(self._state.mask, sequence) if name == HEAD else Mask.none(sequence)
                future = under(mask)
                if future is not None:
                    future.add_done_callback(partial(self._come, name, mask))

    def _come(self, name: str, mask: Mask, done: Future[Any]) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            told = f"The map of the contact head could not be computed. {reason(error)}"
            self._state.delivery.post(("head", name), lambda _: self._state.tell("contact head", told))
        else:
            layer = head_layer(done.result(), mask)
            self._state.delivery.post(("head", name), lambda _: self._show(name, layer, mask))

    def _show(self, name: str, layer: MapLayer, mask: Mask) -> None:
        self._state.tell("contact head", "")
        if name == UNMASKED_HEAD:
            self._map.unmasked_head = dataclasses.replace(layer, label=f"{layer.label}, {NO_MASK}")
        elif self._state.sequence is not None and mask == as_mask(self._state.mask, self._state.sequence):
            self._map.head = layer


def head_of(sequence: Sequence, model: Any, job: Job) -> Future[Any] | None:
    """Have the contact head's map under a job's mask computed; None where J is in the cache already."""
    if job.answered:
        return None
    return head_under(sequence, model, job.plan.mask)


def head_under(sequence: Sequence, model: Any, mask: Mask) -> Future[Any] | None:
    """Have the contact head's map under a mask computed; None where the model has no contact head.

    A model without one is not loaded for this: its job does that, says how far it is, and can be cancelled.
    """
    from catjac_widgets.analysis.contacts.head import contact_head
    from catjac_widgets.engine.jobs.calls import submit_with_model
    from catjac_widgets.language_models.registry import identify, resolve_model

    if not identify(model).has_contact_head:
        return None
    by_name = isinstance(model, str | Path)
    return submit_with_model(
        lambda loaded: contact_head(sequence, loaded, mask=mask if mask else None),
        model if by_name else resolve_model(model),
    )
