from __future__ import annotations

from pathlib import Path

import pytest

from catjac_widgets.language_models.registry import release_models


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test an empty cache folder of its own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CATJAC_CACHE", str(folder))
    return folder


@pytest.fixture
def no_loaded_models() -> None:
    """Have no model in memory that another test has loaded."""
    release_models()
