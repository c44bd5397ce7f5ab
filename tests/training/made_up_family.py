"""A family in which one pair of sites is coupled."""

from __future__ import annotations

import numpy as np

from training import families
from training.families import Family


def synthetic_family(number: int = 400, length: int = 12) -> Family:
    """Sites 2 and 9 always agree; all others are independent."""
    rng = np.random.default_rng(3)
    rows = rng.integers(0, 4, (number, length)).astype(np.int8)
    rows[:, 9] = rows[:, 2]
    weights = families.row_weights(rows)
    query = "".join(families.LETTERS[state] for state in rows[0])
    return Family(
        "made_up",
        query,
        rows[:350],
        rows[350:],
        weights[:350],
        families.profile_of(rows[:350], weights[:350]),
        {},
    )
