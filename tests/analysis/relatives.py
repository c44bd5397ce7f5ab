"""Made-up relatives of a protein."""

from __future__ import annotations

import numpy as np


def mutated(residues, count, seed=0, share=0.4):
    """A3M of a query and relatives of it."""
    random = np.random.default_rng(seed)
    rows = [residues]
    for _ in range(count - 1):
        row = list(residues)
        for k in np.flatnonzero(random.random(len(row)) < share):
            row[k] = "ACDEFGHIKLMNPQRSTVWY-"[random.integers(21)]
        rows.append("".join(row))
    return "".join(f">row{k}\n{row}\n" for k, row in enumerate(rows))
