"""Potts models at random, and alignments drawn so that it is known which columns are coupled."""

from __future__ import annotations

import numpy as np

from catjac_widgets.language_models.potts.parameters import PottsParameters
from catjac_widgets.proteins.alignments import Alignment


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


def random_parameters(K: int, seed: int = 0, sequence: str = "") -> PottsParameters:
    """Normally distributed fields and couplings over 21 states."""
    random = np.random.default_rng(seed)
    W = random.normal(size=(K, 21, K, 21))
    W = W + W.transpose(2, 3, 0, 1)
    W[np.arange(K), :, np.arange(K), :] = 0
    return PottsParameters(random.normal(size=(K, 21)), W, sequence=sequence)
