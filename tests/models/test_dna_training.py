"""A small model of DNA, trained on sequences with known stems, finds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dna_readers import RESIDUES

import catjac_widgets as catjac


def tRNA(data_folder: Path) -> tuple[str, list[tuple[int, int]]]:
    told = json.loads((data_folder / "rna" / "trna_tyr_ecoli.json").read_text())
    return told["sequence"].replace("U", "T"), [(i - 1, j - 1) for i, j in told["pairs_one_based"]]


def family_of(sequence: str, pairs: list[tuple[int, int]], count: int, seed: int) -> np.ndarray:
    """Draw sequences that keep the pairs: int (count, L), letters ACGT. Other places keep 70 % of theirs."""
    rng = np.random.default_rng(seed)
    wild_type = np.array(["ACGT".index(letter) for letter in sequence])
    drawn = rng.integers(0, 4, (count, len(sequence)))
    kept = rng.random(drawn.shape) < 0.7
    drawn = np.where(kept, wild_type, drawn)
    partners = np.array([(2, 1), (1, 2), (0, 3), (3, 0), (2, 3), (3, 2)])  # GC, CG, AT, TA, GT, TG
    for i, j in pairs:
        chosen = partners[rng.choice(6, size=count, p=[0.25, 0.25, 0.2, 0.2, 0.05, 0.05])]
        drawn[:, i], drawn[:, j] = chosen.T
    return drawn


class Mixture(torch.nn.Module):
    """A mixture of two autoregressive models, each log-linear in the letters before; tokens 0 to 3 and 4.

    What it has read tells which of the two it reads: a sequence of the family or the other strand of one.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.fields = torch.nn.Parameter(torch.zeros(2, length, 4))
        self.couplings = torch.nn.Parameter(torch.zeros(2, length, 4, length, 4))
        before = torch.triu(torch.ones(length, length), diagonal=1)
        self.register_buffer("before", before[:, None, :, None])

    def log_p(self, one_hot: torch.Tensor, component: int) -> torch.Tensor:
        """Logarithms (B, L, 4) of what one component gives each letter after those before it."""
        W = self.couplings[component] * self.before
        read = one_hot.flatten(1) @ W.reshape(self.length * 4, -1)
        return (read.reshape(one_hot.shape) + self.fields[component]).log_softmax(-1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        one_hot = torch.nn.functional.one_hot(tokens[:, 1:].clamp_max(3), 4).float()
        each = torch.stack([self.log_p(one_hot, 0), self.log_p(one_hot, 1)])
        seen = (each * one_hot).sum(-1).cumsum(-1)
        before = torch.nn.functional.pad(seen[..., :-1], (1, 0))
        logits = (each + before.log_softmax(0)[..., None]).logsumexp(0)
        # After the last letter nothing is known.
        return torch.nn.functional.pad(logits, (0, 1, 0, 1))


def trained(sequence: str, pairs: list[tuple[int, int]], count: int = 1500, steps: int = 40) -> Any:
    """Train on sequences of the family and on their other strands."""
    network = Mixture(len(sequence))
    drawn = family_of(sequence, pairs, count, seed=1)
    for component, letters in enumerate((drawn, (3 - drawn)[:, ::-1])):
        one_hot = torch.eye(4)[torch.from_numpy(letters.copy())]
        optimizer = torch.optim.Adam([network.fields, network.couplings], lr=0.1)
        for _ in range(steps):
            optimizer.zero_grad()
            fit = -(network.log_p(one_hot, component) * one_hot).sum() / count
            (fit + 0.01 * network.couplings[component].square().sum()).backward()
            optimizer.step()
    return catjac.dna.wrap(
        network, tokens=[0, 1, 2, 3], start=4, name="trained", fingerprint="trained in a test"
    )


def precision(values: np.ndarray, pairs: list[tuple[int, int]]) -> float:
    """Share of known pairs among as many best-scoring ones, of those four or more apart."""
    i, j = np.triu_indices(len(values), 4)
    best = np.argsort(-values[i, j])[: len(pairs)]
    return float(np.mean([(i[k], j[k]) in pairs for k in best]))


def test_a_small_model_trained_on_a_family_finds_its_stems(data_folder: Path) -> None:
    sequence, pairs = tRNA(data_folder)
    one = trained(sequence, pairs)
    both = catjac.dna.both_strands(one)
    J = catjac.jacobian(sequence, both, progress=False)
    possible = len(np.triu_indices(len(sequence), 4)[0])
    chance = len(pairs) / possible
    assert chance < 0.01
    single = catjac.jacobian(sequence, one, progress=False)
    found = {
        "both strands": precision(catjac.contacts(J).values, pairs),
        "one strand": precision(catjac.contacts(single).values, pairs),
    }
    D = catjac.dna.dependency(J).values
    found["dependency"] = precision(np.maximum(D, D.T), pairs)
    print(found, f"by chance {chance:.4f}")
    assert found["both strands"] > 0.9
    assert found["one strand"] > 0.9
    assert found["dependency"] > 0.8
    # Both directions of a pair are there only where both strands were read.
    norms = np.sqrt((J.values**2).sum(axis=(1, 3)))
    assert min(min(norms[i, j], norms[j, i]) for i, j in pairs) > 3 * np.median(norms)

    native = np.zeros((len(sequence),) * 2)
    native[tuple(np.transpose(pairs))] = 1
    ex = catjac.explore(sequence.replace("T", "U"), both, structure=native + native.T, unknown={"U": "T"})
    try:
        ex.job.result()
        np.testing.assert_allclose(ex.jacobian.values, J.values)
    finally:
        ex.close()


def test_the_parts_of_the_trained_model_are_causal() -> None:
    pairs = [(0, 11), (1, 10), (2, 9)]
    model = trained(RESIDUES, pairs, count=200, steps=5)
    assert catjac.check_model(model, [RESIDUES], progress=False).checks[5].passed
