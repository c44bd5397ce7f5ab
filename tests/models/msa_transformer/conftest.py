from __future__ import annotations

from pathlib import Path

import pytest

from catjac_widgets.language_models import fingerprints


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATJAC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fingerprints.file_memory, "_entries", {})
