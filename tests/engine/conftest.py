"""Fixtures of the engine's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from catjac_widgets.engine.cache.store import cache


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, which does not exist yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CATJAC_CACHE", str(folder))
    monkeypatch.delenv("CATJAC_CACHE_LIMIT", raising=False)
    return folder


class Counts:
    """Rows computed and read, and models loaded, since it was made."""

    def __init__(self) -> None:
        self.start = self._now()

    @staticmethod
    def _now() -> tuple[int, int, int]:
        info = cache.info()
        return info.rows_computed, info.rows_read, info.models_loaded

    def __call__(self) -> tuple[int, int, int]:
        computed, read, loaded = (now - then for now, then in zip(self._now(), self.start, strict=True))
        return computed, read, loaded


@pytest.fixture
def counts() -> Counts:
    return Counts()
