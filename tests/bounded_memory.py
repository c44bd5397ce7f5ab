"""A bound of memory on what runs in this process, so that a file that unfolds is found out."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def bounded_memory(megabytes: float) -> Iterator[None]:
    """Let this process take no more than so much memory beside what it has; elsewhere than on Linux, any.

    What is imported when it is first needed is imported before, and what the allocator keeps for later is
    given back, so that the bound is that of the work.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    import biotite.structure.io.pdb
    import biotite.structure.io.pdbx
    import torch

    torch.zeros(1)
    assert biotite.structure.io.pdb
    assert biotite.structure.io.pdbx
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + int(megabytes * 2**20), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
