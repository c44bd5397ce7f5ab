"""About how long a model takes on this machine, before it is loaded."""

from __future__ import annotations

import os
from typing import Any

from catjac_widgets.language_models.devices import likely_device


def jacobian_seconds(row: dict[str, Any], length: int) -> float | None:
    """Estimate how long a model of the table takes for the Jacobian of so many residues on this machine.

    From its parameters alone: 2 operations a parameter and token, at what a core (3·10¹⁰ a second) or a GPU
    (2·10¹³) does with networks of this kind; a few times off either way. A model that reads an alignment runs
    each of its rows.

    Returns
    -------
    float or None
        Seconds; None where the parameters or the letters are not known.
    """
    if not row.get("parameters") or not row.get("letters"):
        return None
    sequences = (len(row["letters"]) - 1) * length + 1
    speed = 3e10 * (os.cpu_count() or 1) if likely_device() == "cpu" else 2e13
    return 2.0 * row["parameters"] * (length + 2) * (row.get("alignment_rows") or 1) * sequences / speed
