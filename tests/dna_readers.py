"""A small network that reads DNA from left to right, with random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import catjac_widgets as catjac

RESIDUES = "GATTACAGGCTA"


class Reader(torch.nn.Module):
    """Reads tokens from left to right: a small GRU with random weights."""

    def __init__(self, seed: int = 0, tokens: int = 8) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(tokens, 12)
        self.reader = torch.nn.GRU(12, 12, batch_first=True)
        self.head = torch.nn.Linear(12, tokens)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.reader(self.embedding(tokens))[0])


def reader(seed: int = 0, **options: Any) -> Any:
    given = {"tokens": [3, 5, 4, 6], "start": 1, "name": "reader", "fingerprint": "a reader", **options}
    return catjac.dna.wrap(Reader(seed), **given)


def reverse_complement(residues: str) -> str:
    return residues.translate(str.maketrans("ACGTU", "TGCAA"))[::-1]


def raw(residues: str, model: Any) -> np.ndarray:
    return catjac.jacobian(residues, model, progress=False).values
