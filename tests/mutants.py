"""Random residues and mutants, and what must not change what a compiled kernel gives for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from catjac_widgets.language_models.base import Substitution
from catjac_widgets.language_models.esm.cpu_kernels import exact as compiled_passes
from catjac_widgets.proteins.alphabets import ESM_LETTERS, MASK_LETTER


def residues_of(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list(ESM_LETTERS), length))


def some_mutants(residues: str, number: int, seed: int = 0) -> list[Substitution]:
    generator = np.random.default_rng(seed)
    letters = [*ESM_LETTERS, MASK_LETTER]
    return [
        Substitution(int(generator.integers(len(residues))), str(generator.choice(letters)))
        for _ in range(number)
    ]


def same_bits_however_divided(runner: Any, residues: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither threads nor groups nor blocks nor the company of other mutants change a bit."""
    substitutions = some_mutants(residues, 23)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            for tokens in (1, 80, 4000):
                monkeypatch.setattr(compiled_passes, "_TOKENS_AT_A_TIME", tokens)
                for numbers in (1, 64 * 1024):
                    monkeypatch.setattr(compiled_passes, "_HIDDEN_NUMBERS", numbers)
                    found.append(runner.rows(substitutions))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)
    np.testing.assert_array_equal(runner.rows(substitutions[5:6])[0], found[0][5])
