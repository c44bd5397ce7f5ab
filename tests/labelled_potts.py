"""Alignments drawn so that it is known which columns are coupled."""

from __future__ import annotations

import numpy as np

from catjac_widgets.alignments import Alignment


def sampled_alignment(
    *, pairs: list[tuple[int, int]], length: int, count: int, seed: int, letters: int = 4
) -> Alignment:
    """Rows of independent letters, but for pairs of columns that agree nine times in ten."""
    random = np.random.default_rng(seed)
    states = random.integers(letters, size=(count, length))
    for i, j in pairs:
        agree = random.random(count) < 0.9
        states[agree, j] = states[agree, i]
    return Alignment(states.astype(np.int8), query="ARNDCQEGHILKMFPSTWYV"[:length])
