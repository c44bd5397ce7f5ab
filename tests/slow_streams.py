"""A device that is the CPU, but answers late: what was not waited for is not there, and is NaN until then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class SlowStreams:
    """Stands in for `CudaStreams` (see `Streams`).

    Attributes
    ----------
    log
        "pass" for each that was queued, "graph" for each recorded, "replay", and "fetch" and "wait" with the
        number of the fetch.
    inside
        Whether a pass may be queued now.
    """

    def __init__(self, refuse_graphs: bool = False) -> None:
        self.log: list[Any] = []
        self.inside = False
        self.refuse_graphs = refuse_graphs
        self._fetches = 0

    @contextmanager
    def computing(self) -> Iterator[None]:
        outer, self.inside = self.inside, True
        yield
        self.inside = outer

    def pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.zeros(shape, dtype=dtype)

    def fetch(self, source: Tensor, target: Tensor) -> Callable[[], None]:
        assert self.inside
        # A stream copies what was there when it was asked to; the host sees it when it has waited.
        number, arrived, snapshot = self._fetches, False, source.clone()
        self._fetches += 1
        self.log.append(("fetch", number))
        target.fill_(torch.nan)

        def wait() -> None:
            nonlocal arrived
            if not arrived:
                arrived = True
                self.log.append(("wait", number))
                with torch.inference_mode():
                    target.copy_(snapshot)

        return wait

    def capture(self, call: Callable[[], Tensor]) -> Callable[[], Tensor]:
        assert self.inside
        if self.refuse_graphs:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        self.log.append("graph")
        kept = torch.empty_like(call())

        def replay() -> Tensor:
            assert self.inside
            self.log.append("replay")
            return kept.copy_(call())

        return replay

    def wait(self) -> None:
        self.log.append("wait for all")
