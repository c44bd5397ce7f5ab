"""Fixtures for tests of language models."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a cache folder and a torch hub of its own, and no model loaded by another test."""
    import torch

    from catjac_widgets.language_models import fingerprints
    from catjac_widgets.language_models.registry import release_models

    monkeypatch.setenv("CATJAC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fingerprints.file_memory, "_entries", {})
    release_models()
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path
