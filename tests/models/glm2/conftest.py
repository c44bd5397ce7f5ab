from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from genomic_models import genomic_network, genomic_tokenizer

import catjac_widgets as catjac
from catjac_widgets.language_models.base import LanguageModel
from catjac_widgets.language_models.registry import release_models
from catjac_widgets.language_models.weights.remote_code import REMOTE_CODE


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a cache of its own, and no model loaded by another test."""
    monkeypatch.setenv("CATJAC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(REMOTE_CODE, raising=False)
    release_models()


@pytest.fixture(scope="module")
def network() -> Any:
    return genomic_network()


@pytest.fixture
def model(network: Any) -> LanguageModel:
    return catjac.wrap((network, genomic_tokenizer()))
