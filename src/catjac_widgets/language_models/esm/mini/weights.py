"""The files of the embedded model `mini`."""

from __future__ import annotations

from pathlib import Path

from catjac_widgets.errors import CheckpointError

#: The folder with `mini.safetensors` (weights) and `mini.json` (families and queries it was trained on).
FOLDER = Path(__file__).parent
WEIGHTS, CARD = "mini.safetensors", "mini.json"


def embedded_file() -> Path:
    """Path of the embedded weights.

    Raises
    ------
    CheckpointError
        If they are not in this installation.
    """
    path = FOLDER / WEIGHTS
    if not path.is_file():
        raise CheckpointError(
            f"The embedded model is missing from this installation ({WEIGHTS}); install catjac-widgets again."
        )
    return path
