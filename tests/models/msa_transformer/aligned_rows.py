"""Alignments and small MSA Transformers for tests, and a plain pass of fair-esm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import esm
import numpy as np
import torch
from checkpoints import random_msa_transformer, write_msa_transformer

from catjac_widgets.language_models.msa_transformer.adapter import MSATransformer
from catjac_widgets.language_models.registry import wrap
from catjac_widgets.proteins.alphabets import ESM_LETTERS

QUERY = "MKTAYIAKQRQISFVKSHFSRQ"
ALPHABET = esm.Alphabet.from_architecture("msa_transformer")
COLUMNS = [ALPHABET.get_idx(letter) for letter in ESM_LETTERS]

#: Of J and logits against fair-esm's own forward pass, whose numbers are of the order of 1.
TOLERANCE = 1e-4


def homologues(count: int = 8, query: str = QUERY, seed: int = 0) -> list[str]:
    """The query, and sequences that share some half of its residues, with gaps."""
    generator = np.random.default_rng(seed)
    letters = f"{ESM_LETTERS}-"
    return [query] + [
        "".join(a if generator.random() < 0.5 else letters[generator.integers(21)] for a in query)
        for _ in range(count - 1)
    ]


def written(path: Path, rows: list[str]) -> Path:
    path.write_text("".join(f">{k}\n{row}\n" for k, row in enumerate(rows)))
    return path


def wrapped(network: Any = None, rows: list[str] | None = None, **options: Any) -> MSATransformer:
    text = "".join(f">{k}\n{row}\n" for k, row in enumerate(rows or homologues()))
    network = random_msa_transformer() if network is None else network
    model = wrap((network, ALPHABET), alignment=text, **options)
    assert isinstance(model, MSATransformer)
    return model


def plain_logits(network: Any, rows: list[str], hidden: tuple[int, ...] = ()) -> np.ndarray:
    """The first row's logits by fair-esm's own batch converter and forward pass."""
    tokens = ALPHABET.get_batch_converter()([(str(k), row) for k, row in enumerate(rows)])[2]
    tokens[0, 0, [1 + k for k in hidden]] = ALPHABET.mask_idx
    with torch.no_grad():
        return network(tokens)["logits"][0, 0, 1:][:, COLUMNS].numpy()


def named(folder: Path, network: Any, rows: list[str] | None = None, **options: Any) -> str:
    checkpoint = write_msa_transformer(network, folder, **options)
    return f"msa_transformer:{written(folder / 'family.a3m', rows or homologues())}@{checkpoint}"


def greedily(rows: list[str], count: int) -> list[int]:
    """Which rows differ most from those chosen before, letter by letter."""
    chosen = [0]
    while len(chosen) < min(count, len(rows)):
        farthest, best = -1.0, -1
        for k, row in enumerate(rows):
            if k not in chosen:
                distances = [sum(a != b for a, b in zip(row, rows[c], strict=True)) for c in chosen]
                mean = sum(distances) / len(distances)
                if mean > farthest:
                    farthest, best = mean, k
        chosen.append(best)
    return sorted(chosen)
