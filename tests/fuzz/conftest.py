"""Fuzzing runs under a bound of memory, so that what unfolds is found out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

#: What reading a file of some hundred kilobytes may take.
MOST_BYTES = 3 * 2**30


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """Let this process take no more than so much memory beside what it has."""
    if sys.platform != "linux":
        yield
        return
    import resource

    import biotite.structure.io.pdbx
    import torch

    torch.zeros(1)
    assert biotite.structure.io.pdbx
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MOST_BYTES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where examples lie."""
    return tmp_path_factory.mktemp("fuzz")
