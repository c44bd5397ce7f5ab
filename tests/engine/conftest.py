"""Fixtures of the engine's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from cache_counts import Counts


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, which does not exist yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CATJAC_CACHE", str(folder))
    monkeypatch.delenv("CATJAC_CACHE_LIMIT", raising=False)
    return folder


@pytest.fixture
def counts() -> Counts:
    return Counts()
