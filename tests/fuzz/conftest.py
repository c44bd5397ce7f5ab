"""Fuzzing runs under a bound of memory, so that what unfolds is found out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bounded_memory import bounded_memory

#: What reading a file of some hundred kilobytes may take.
MOST_MEGABYTES = 3 * 2**10


@pytest.fixture(autouse=True)
def bound() -> Iterator[None]:
    """Let reading take no more than that."""
    with bounded_memory(MOST_MEGABYTES):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where examples lie."""
    return tmp_path_factory.mktemp("fuzz")
