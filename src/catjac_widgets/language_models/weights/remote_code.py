"""Code that comes with a model's weights runs only where somebody said so, model by model."""

from __future__ import annotations

import os

#: Names, after commas, the models whose code may run: a repository of Hugging Face, or a folder.
REMOTE_CODE = "CATJAC_REMOTE_CODE"


def may_run_code(place: str) -> bool:
    """Whether the code of a repository or folder may run: the environment names it."""
    return place in [each.strip() for each in os.environ.get(REMOTE_CODE, "").split(",")]


def how_to_allow(place: str) -> str:
    """Say what allows that, as the end of a sentence."""
    return f"read it, and if you trust it, allow it by setting {REMOTE_CODE}={place}"
