"""Running a torch network so that it is left as it was found, one thread at a time, in full float32."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_LOCKS: weakref.WeakKeyDictionary[Any, threading.RLock] = weakref.WeakKeyDictionary()
_LOCKS_GUARD = threading.Lock()


def lock_of(model: torch.nn.Module) -> threading.RLock:
    """Find the one lock under which our threads run that model."""
    with _LOCKS_GUARD:
        return _LOCKS.setdefault(model, threading.RLock())


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Put every module into evaluation mode and back into the mode it had, also after an error."""
    with lock_of(model):
        training = [module for module in model.modules() if module.training]
        for module in training:
            module.training = False
        try:
            yield
        finally:
            for module in training:
                module.training = True


class _FullFloat32:
    """No TF32 (nor bfloat16) in float32 products while any thread is inside; then what was set before."""

    def __init__(self) -> None:
        self._guard, self._inside = threading.Lock(), 0
        self._restore: Callable[[], None] = _nothing

    def __enter__(self) -> None:
        with self._guard:
            if not self._inside:
                self._restore = _raise_precision()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self._inside -= 1
            if not self._inside:
                self._restore()


def _raise_precision() -> Callable[[], None]:
    """Set the process to full float32; the returned function puts back what was there."""
    import torch

    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:
        # Set through torch's newer switches, one a backend, after which the older ones refuse to answer.
        switches: list[Any] = [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]
        switches = [switch for switch in switches if switch is not None]
        found = [switch.fp32_precision for switch in switches]
        for switch in switches:
            switch.fp32_precision = "ieee"

        def restore() -> None:
            for switch, precision in zip(switches, found, strict=True):
                switch.fp32_precision = precision

        return restore
    if before == "highest":
        return _nothing
    torch.set_float32_matmul_precision("highest")
    return functools.partial(torch.set_float32_matmul_precision, before)


def _nothing() -> None:
    """Leave everything as it is."""


#: The one such context of the process.
full_float32 = _FullFloat32()
