"""What a CUDA device offers to batches that nobody waits for: streams, pinned memory, graphs.

The only module that speaks to `torch.cuda` about them; `launched` says what is run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch
from torch import Tensor


class Streams(Protocol):
    """A device's queue of passes, and beside it one of copies to the host."""

    def computing(self) -> AbstractContextManager[None]:
        """Make a context in which passes are queued."""
        ...

    def pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Make an array on the host that the device reads and writes without the host's help."""
        ...

    def fetch(self, source: Tensor, target: Tensor) -> Callable[[], None]:
        """Start copying to the host what was queued last; the returned function waits for it."""
        ...

    def capture(self, call: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Record what `call` would queue; the returned function queues all of it at once.

        Its result lies at the same place each time, and is overwritten by the next call.
        """
        ...

    def wait(self) -> None:
        """Wait for all that was queued."""
        ...


class CudaStreams:
    """Two streams of one CUDA device, beside whatever else runs there (see `Streams`)."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._compute, self._copy = (torch.cuda.Stream(device) for _ in range(2))

    @contextmanager
    def computing(self) -> Iterator[None]:
        """See `Streams.computing`; all that the caller's own stream holds goes before."""
        self._compute.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._compute):
            yield

    def pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """See `Streams.pinned`."""
        return torch.empty(shape, dtype=dtype, pin_memory=True)

    def fetch(self, source: Tensor, target: Tensor) -> Callable[[], None]:
        """See `Streams.fetch`; the next pass runs meanwhile."""
        self._copy.wait_stream(self._compute)
        # A thread that waits shall sleep: the host's cores have rows to put away.
        done = torch.cuda.Event(blocking=True)
        with torch.cuda.stream(self._copy):
            target.copy_(source, non_blocking=True)
            done.record(self._copy)
        # Should `source` be let go before it was copied, its memory is kept from the next pass as long.
        source.record_stream(self._copy)
        return done.synchronize

    def capture(self, call: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """See `Streams.capture`; on the stream that ran `call` before, so that cuBLAS has its workspace."""
        graph = torch.cuda.CUDAGraph()
        # What other threads ask of CUDA meanwhile is their own affair.
        with torch.cuda.graph(graph, stream=self._compute, capture_error_mode="thread_local"):
            found = call()

        def replay() -> Tensor:
            graph.replay()
            return found

        return replay

    def wait(self) -> None:
        """See `Streams.wait`."""
        self._compute.synchronize()
        self._copy.synchronize()


@functools.cache
def streams_of(device: torch.device) -> CudaStreams:
    """Return the two streams of a device, always the same: memory freed on one stream is not another's."""
    return CudaStreams(device)
