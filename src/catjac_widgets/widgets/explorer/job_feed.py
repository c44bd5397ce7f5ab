"""From a job to the views: rows, progress, blocks, the finished map. Nothing here knows how J is computed."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.analysis.contacts.operations import apc, zero_diagonal
from catjac_widgets.analysis.previews.in_background import ENOUGH_ROWS
from catjac_widgets.analysis.previews.preview import preview_label
from catjac_widgets.block_math.centring import letter_centred_norms
from catjac_widgets.widgets.base.arrays import square
from catjac_widgets.widgets.base.sentences import reason
from catjac_widgets.widgets.contact_map.layers import MapLayer
from catjac_widgets.widgets.contact_map.view import ContactMap
from catjac_widgets.widgets.explorer.state import ENDED, ExplorerState, sentence
from catjac_widgets.widgets.jacobian_slice.mean_block import MeanBlock
from catjac_widgets.widgets.jacobian_slice.values import Row, masked_note
from catjac_widgets.widgets.jacobian_slice.view import JacobianSlice

if TYPE_CHECKING:
    import xarray as xr

    from catjac_widgets.engine.jobs.job import Job
    from catjac_widgets.engine.jobs.steps import SteppedTask
    from catjac_widgets.widgets.base.delivery import Delivery
    from catjac_widgets.widgets.base.traits import Brush

HEAD_LABEL, HEAD_CAPTION = "contact head", "supervised regression on the model's attention, one pass"
ROWS_CAPTION = "block norms, centred over letters"
CONTACTS_CAPTION = "block norms, symmetrised, APC-corrected"
UNCORRECTED_CAPTION = "block norms, symmetrised, without APC"
PREVIEW_CAPTION = "block norms of an approximate Jacobian, averaged over both directions, APC-corrected"
MIXED_CAPTION = "the same, with the exact rows that are there"
UNITS = "logits"

#: Percent of rows between two maps in which exact rows take the place of a preview.
PREVIEW_STEP = 4

#: Called with a job and whom to tell of approximate Jacobians, and of a failure; returns the task, or None.
StartPreview = Callable[
    ["Job", Callable[[int, np.ndarray], None], Callable[[BaseException], None]], "SteppedTask[Any] | None"
]

#: How a finished map is called while another mask is on.
NO_MASK, FORMER_MASK = "no mask", "the mask before"


class JobFeed:
    """Follows one job and tells a map and a slice what comes, from `begin` until `close`.

    Parameters
    ----------
    job
        What to follow.
    contact_map, jacobian_slice
        The views to tell.
    state
        Told how far the job is, and what a person should know.
    """

    def __init__(
        self,
        job: Job,
        contact_map: ContactMap,
        jacobian_slice: JacobianSlice,
        state: ExplorerState,
    ) -> None:
        self.job = job
        self.finished = threading.Event()
        self._map = contact_map
        self._slice = jacobian_slice
        self._state = state
        self._lock = threading.Lock()
        self._rows: dict[int, np.ndarray] = {}
        self._filling = False
        self._first: MapLayer | None = None
        self._exact: dict[int, np.ndarray] = {}
        self._approximate: np.ndarray | None = None
        self._head: Future[xr.DataArray] | None = None
        self._preview: SteppedTask[Any] | None = None
        self._mixed_at = -PREVIEW_STEP
        self._closed = False

    def begin(self) -> None:
        """Follow the job from now on."""
        self.job.add_listener(norms=self._row, change=self._change)

    @property
    def _delivery(self) -> Delivery:
        return self._map.delivery

    @property
    def _jacobian_label(self) -> str:
        kind = "Jacobian, fast" if self.job.plan.variant == "fast" else "Jacobian"
        kind += ", one-sided" * self.job.plan.causal
        return f"{kind} under a mask" if self.job.plan.mask else kind

    def close(self) -> None:
        """Tell nobody anything more; the job keeps its listener, which does nothing."""
        self._closed = True
        self._stop_preview()
        if self._head is not None:
            self._head.cancel()
        self.finished.set()
        self._rows.clear()

    def show_head(self, future: Future[xr.DataArray]) -> None:
        """Show the contact head's map when it is there, unless rows came first."""

        def come(done: Future[xr.DataArray]) -> None:
            if done.cancelled():
                return
            error = done.exception()
            if error is not None:
                self._delivery.post("head", lambda _: self._complain("contact head", error))
            else:
                self._delivery.post("head", lambda _: self._send_head(done.result()))

        self._head = future
        future.add_done_callback(come)
        if self._closed:
            future.cancel()

    def _complain(self, what: str, error: BaseException) -> None:
        if not self._closed:
            self._state.tell(what, f"The map of the {what} could not be computed. {reason(error)}")

    def _send_head(self, head: Any) -> None:
        if self._closed:
            return
        self._state.tell("contact head", "")
        self._first = head_layer(head, self.job.plan.mask)
        if self._filling or self._approximate is not None or self.finished.is_set():
            self._keep_first()
        else:
            first = self._first
            self._map.show(first.values, label=first.label, caption=first.caption, quantity=first.quantity)

    def _keep_first(self) -> None:
        """Offer the contact head's map beside the one that takes its place."""
        # As long as it is the map itself, it need not go twice.
        if self._first is not None:
            self._map.head, self._first = self._first, None

    # ---- the preview

    def show_preview(self, start: StartPreview) -> None:
        """Show approximate maps until exact rows have taken their place."""
        self._preview = start(self.job, self._preview_came, self._preview_failed)
        if self._closed:
            self._stop_preview()

    def _preview_failed(self, error: BaseException) -> None:
        self._delivery.post("preview", lambda _: self._complain("preview", error))

    def _stop_preview(self) -> None:
        if self._preview is not None:
            self._preview.cancel()

    def _preview_came(self, letters: int, jacobian: np.ndarray) -> None:
        # On the worker's thread.
        if self._closed or self.finished.is_set():
            return
        norms = zero_diagonal(np.stack([letter_centred_norms(row) for row in jacobian]).astype(np.float32))
        self._delivery.post("preview", lambda _: self._send_preview(norms, preview_label(letters)))

    def _send_preview(self, norms: np.ndarray, label: str) -> None:
        progress = self.job.progress
        enough = progress.rows_done > ENOUGH_ROWS * progress.rows_total
        if self._closed or self.finished.is_set() or enough:
            return
        self._state.tell("preview", "")
        self._approximate = norms
        self._show_mixed(label if not self._exact else "")
        message = f"{label} · exact rows follow"
        self._state.report(progress.state, dataclasses.replace(progress, message=message))

    def _show_mixed(self, label: str = "") -> None:
        """Show the preview, exact rows in place of its own."""
        assert self._approximate is not None
        percent = self._percent
        norms = self._approximate.copy()
        for position, row in self._exact.items():
            norms[position - 1] = row
        # Blocks of both directions are hardly ever alike: their mean norm stands for the norm of their mean.
        values = zero_diagonal(apc(norms + norms.T) / 2).astype(np.float32)
        label = label or f"{self._jacobian_label}, {percent} %, the rest a preview"
        caption = MIXED_CAPTION if self._exact else PREVIEW_CAPTION
        self._map.show(values, label=label, caption=caption, quantity="score", units=UNITS)
        self._mixed_at = percent
        self._keep_first()

    @property
    def _percent(self) -> int:
        progress = self.job.progress
        return min(99, int(100 * progress.rows_done / max(1, progress.rows_total)))

    # ---- rows, on the worker's thread

    def _row(self, position: int, norms: np.ndarray) -> None:
        if self._closed:
            return
        norms = norms.astype(np.float32)
        # How a residue answers to itself is another question, and would outshine all contacts.
        norms[position - 1] = 0.0
        with self._lock:
            self._rows[position] = norms
        self._delivery.post("rows", lambda _: self._send_rows())
        self._slice.row_came(position)

    def _change(self, job: Job) -> None:
        if self._closed:
            return
        if job.progress.state in ENDED:
            self._stop_preview()
        if job.progress.state == "done":
            self._delivery.post("end", self._send_end, prepare=self._contacts, urgent=True)
        else:
            self._delivery.post("change", lambda _: self._send_change())

    # ---- in deliver()

    def _send_rows(self) -> None:
        with self._lock:
            rows, self._rows = self._rows, {}
        if self._closed or self.finished.is_set():
            return
        progress = self.job.progress
        label = f"{self._jacobian_label}, {self._percent} %"
        self._exact.update(rows)
        if self._approximate is not None:
            ended = progress.state in ENDED
            if rows and (ended or self._percent >= self._mixed_at + PREVIEW_STEP):
                self._show_mixed()
        elif self._filling:
            self._map.add_rows(rows)
            self._map.label = label
        else:
            length = self.job.plan.length
            values = np.full((length, length), np.nan, dtype=np.float32)
            for position, norms in rows.items():
                values[position - 1] = norms
            self._filling = True
            self._map.show(values, label=label, caption=ROWS_CAPTION, quantity="norm", units=UNITS)
            self._keep_first()
        self._state.report("running", progress)

    def _send_change(self) -> None:
        if self._closed or self.finished.is_set():
            return
        progress = self.job.progress
        if progress.state in ("cancelled", "failed"):
            self._send_rows()
            # Rows went as messages; the trait is what a saved notebook shows.
            self._map.send_state("values")
            self._slice.renew()
            self.finished.set()
            self._state.report(
                progress.state, progress, sentence(self.job.error) if progress.state == "failed" else ""
            )
        elif progress.state != "done" and not (self._approximate is not None and not progress.rows_done):
            self._state.report(progress.state, progress)

    def _contacts(self) -> xr.DataArray | Exception:
        try:
            from catjac_widgets.analysis.contacts.maps import contacts

            return contacts(self.job.result())
        except Exception as error:
            return error

    def _send_end(self, contacts: Any) -> None:
        if self._closed or self.finished.is_set():
            return
        progress = self.job.progress
        try:
            self._slice.renew()
            if isinstance(contacts, Exception):
                self._send_rows()
                self._map.send_state("values")
                self._state.report("failed", progress, sentence(contacts))
            else:
                label = self._jacobian_label
                caption = CONTACTS_CAPTION if contacts.attrs["removed"] else UNCORRECTED_CAPTION
                self._map.show(contacts, label=label, caption=caption, quantity="score", units=UNITS)
                self._keep_first()
                self._state.report("done", progress)
        finally:
            self.finished.set()  # whoever waits must not wait for ever

    # ---- maps under another mask

    def keep(self) -> None:
        """Before another mask: keep the finished map, and the head's, to compare others with."""
        shown, masked = self._map, bool(self.job.plan.mask)
        head, shown.head = self._first or shown.head, None
        # Without a mask they are the same each time, and need not go again.
        if head is not None and not masked and shown.unmasked_head is None:
            shown.unmasked_head = dataclasses.replace(head, label=f"{HEAD_LABEL}, {NO_MASK}")
        kept = shown.layer()
        if not self.finished.is_set() or self.job.progress.state != "done" or kept is None:
            return
        kind = "Jacobian, fast" if self.job.plan.variant == "fast" else "Jacobian"
        layer = dataclasses.replace(kept, label=f"{kind}, {FORMER_MASK if masked else NO_MASK}")
        if masked:
            shown.former = layer
        elif shown.unmasked is None:
            shown.unmasked = layer

    # ---- rows

    def row(self, position: int) -> Row:
        """Find the row of a 1-based position as far as it is known; safe on any thread."""
        plan = self.job.plan
        label = self._map.residue_labels[position - 1]
        if plan.mask.masked[position - 1]:
            return Row(position, "masked", masked_note(label))
        values = self.job.row(position)
        if values is None:
            return Row(position, "waiting", self._why_not(label))
        wild_type = plan.sequence.residues[position - 1]
        known = plan.blocks
        own = None if known is None else known.at(np.array([position - 1]), np.arange(plan.length))
        return Row(position, "ready", "", plan.letters_in, tuple(plan.letters), values, wild_type, own)

    def mean_block(self, brush: Brush) -> MeanBlock:
        """Prepare the mean block of a brush; it reads rows as they come, on whatever thread asks it to."""
        plan = self.job.plan
        masked = frozenset(position for position, hidden in enumerate(plan.mask.masked, 1) if hidden)
        letters = plan.letters_in, tuple(plan.letters)
        return MeanBlock(brush, self.job.row, *letters, masked, plan.blocks)

    def _why_not(self, label: str) -> str:
        if self.job.progress.state in ENDED:
            return (
                f"The row of {label} was not computed before the work stopped; go on with the button above."
            )
        return f"The row of {label} is not computed yet; it appears here as soon as it is."


def head_layer(head: Any, mask: Any) -> MapLayer:
    """Name the map of the contact head under a mask (or none)."""
    label = f"{HEAD_LABEL}, masked" if mask else HEAD_LABEL
    return MapLayer(square(head), label, HEAD_CAPTION, "probability")
