"""Batches that are under way while the host does something else.

The tokens of a batch are made on the device from which tokens change and into what; its logits become effects
on the device and are copied to pinned memory beside the next batch. A full batch's pass is recorded once as a
graph and queued at once from then on. Two batches may be under way.

Shapes: B sequences, T tokens, L residues, R of them asked for, A letters.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from catjac_widgets.language_models.esm.cuda.streams import Streams
from catjac_widgets.language_models.esm.passes import running
from catjac_widgets.language_models.esm.prepared import PreparedInput, with_changes

if TYPE_CHECKING:
    from catjac_widgets.language_models.base import Substitution
    from catjac_widgets.language_models.esm.runner import FairEsmRunner

_log = logging.getLogger(__name__)

#: Batches of one shape that run as they are before their pass is recorded: they choose kernels and
#: workspaces, and many sweeps have no more.
BATCHES_BEFORE_A_GRAPH = 2

#: Graphs that a runner keeps; each holds the memory of a pass.
MOST_GRAPHS = 2


class LaunchedPasses:
    """A runner of a model on a device, with `launch` (see `LaunchingRunner`).

    Parameters
    ----------
    runner
        What it is about; its model is a stock model.
    streams
        Of the model's device.

    Attributes
    ----------
    prepared
        The model and its input.
    exact, in_float32
        Of approximate numerics: the exact runner, which launches too, and the layers left in float32.
    """

    def __init__(self, runner: FairEsmRunner, streams: Streams) -> None:
        self._runner, self._streams = runner, streams
        model = runner.prepared.model
        device = model.embed_tokens.weight.device
        # Made where they are used, so that their memory is not given to others while a pass still reads them.
        with streams.computing():
            self._tokens = runner.prepared.tokens.to(device)
        # A recorded pass reads the weights where they lay.
        self._weights = [parameter.detach() for parameter in model.parameters()]
        self._graphs: OrderedDict[int, _Graph | None] = OrderedDict()
        self._seen: Counter[int] = Counter()
        self._slots: list[_Slot] = []
        self._given: tuple[np.ndarray, np.ndarray, Tensor] | None = None
        self._residues: Tensor | None = None
        self.exact = None if runner.exact is None else LaunchedPasses(runner.exact, streams)
        self.in_float32 = runner.in_float32

    @property
    def prepared(self) -> PreparedInput:
        """See the class."""
        return self._runner.prepared

    def wild_type(self) -> np.ndarray:
        """See `Runner.wild_type`."""
        return self._runner.wild_type()

    def rows(self, substitutions: list[Substitution]) -> np.ndarray:
        """See `Runner.rows`."""
        return self._runner.rows(substitutions)

    def launch(
        self, substitutions: list[Substitution], size: int, baseline: np.ndarray, residues: np.ndarray
    ) -> _Launched:
        """See `LaunchingRunner.launch`.

        A batch that is more than half full runs as a full one, its last sequence repeated; whether it does
        depends on the batch alone, so that the same batch always gives the same bits.

        Raises
        ------
        ModelError
            If the model was altered meanwhile, or for a letter that it does not know.
        """
        number = len(substitutions)
        filled = size if 2 * number > size else number
        changes = self.prepared.changes(substitutions)
        with running(self.prepared.model, contents=False) as altered, torch.inference_mode():
            self._runner.as_found.check(altered)
            try:
                baseline_there = self._use(baseline, residues)
                slot = self._free_slot(max(size, number), baseline_there)
                slot.changes[:number] = changes
                slot.changes[number:filled] = changes[-1]
                with self._streams.computing():
                    logits = self._logits(slot.changes[:filled], full=filled == size)[:number]
                    if self._residues is not None:
                        logits = logits.index_select(1, self._residues)
                    torch.sub(logits, baseline_there, out=slot.effects[:number])
                    slot.wait = self._streams.fetch(slot.effects[:number], slot.fetched[:number])
            except RuntimeError:
                # Memory ran out, most likely, and what is asked for next is smaller.
                self._let_go()
                raise
        return _Launched(slot, number)

    # ---- inside

    def _use(self, baseline: np.ndarray, residues: np.ndarray) -> Tensor:
        """Bring baseline and residues to the device, unless they are there, and return the baseline."""
        known = self._given
        if known is None or known[0] is not baseline or not np.array_equal(known[1], residues):
            device = self._tokens.device
            everything = np.array_equal(residues, np.arange(self.prepared.length))
            with self._streams.computing():
                there = torch.tensor(baseline, device=device)
                self._residues = None if everything else torch.tensor(residues, device=device)
            self._given, self._slots = (baseline, residues, there), []
            return there
        return known[2]

    def _free_slot(self, size: int, baseline: Tensor) -> _Slot:
        """Return the slot used longer ago, once nothing is under way there."""
        if not self._slots or len(self._slots[0].changes) < size:
            with self._streams.computing():
                self._slots = [_Slot(self._streams, size, baseline) for _ in range(2)]
        self._slots.reverse()
        slot = self._slots[0]
        slot.wait()
        return slot

    def _logits(self, changes: Tensor, full: bool) -> Tensor:
        """Queue one pass, (B, 2) pinned changes to logits (B, L, A) that the next pass may overwrite."""
        size = len(changes)
        if not full:
            return self._pass(changes.to(self._tokens.device, non_blocking=True))
        graph = self._graphs.get(size)
        if graph is None:
            there = changes.to(self._tokens.device, non_blocking=True)
            self._seen[size] += 1
            if self._seen[size] <= BATCHES_BEFORE_A_GRAPH or size in self._graphs:
                return self._pass(there)
            try:
                graph = _Graph(there, self._streams.capture(lambda: self._pass(there)))
            except RuntimeError as error:
                # Something in the pass cannot be recorded here: it runs as it is, from now on.
                _log.warning(
                    "Passes on %s are not recorded as a graph, which is slower: %s", there.device, error
                )
                self._graphs[size] = None
                return self._pass(there)
            self._graphs[size] = graph
            if len(self._graphs) > MOST_GRAPHS:
                self._streams.wait()
                self._graphs.popitem(last=False)
        else:
            self._graphs.move_to_end(size)
            graph.changes.copy_(changes, non_blocking=True)
        return graph.replay()

    def _pass(self, changes: Tensor) -> Tensor:
        return self._runner.logits(with_changes(self._tokens, changes))

    def _let_go(self) -> None:
        self._graphs.clear()
        self._seen.clear()
        self._slots = []


class _Graph:
    """A recorded pass: where its changes are put, and how it is queued."""

    def __init__(self, changes: Tensor, replay: Callable[[], Tensor]) -> None:
        self.changes, self.replay = changes, replay


class _Slot:
    """What a batch under way has to itself.

    Attributes
    ----------
    changes
        (B, 2), pinned: which token of each sequence changes, and into what.
    effects, fetched
        (B, R, A) on the device, and pinned on the host.
    wait
        Waits until `fetched` is there.
    """

    def __init__(self, streams: Streams, size: int, baseline: Tensor) -> None:
        shape = size, *baseline.shape
        self.changes = streams.pinned((size, 2), torch.int64)
        self.effects = torch.empty(shape, dtype=baseline.dtype, device=baseline.device)
        self.fetched = streams.pinned(shape, baseline.dtype)
        self.wait: Callable[[], Any] = _nothing


class _Launched:
    """See `Launched`."""

    def __init__(self, slot: _Slot, number: int) -> None:
        self._wait, self._fetched = slot.wait, slot.fetched[:number]

    def result(self) -> np.ndarray:
        """See `Launched.result`."""
        self._wait()
        return self._fetched.numpy()


def _nothing() -> None:
    """Nothing is under way yet."""
