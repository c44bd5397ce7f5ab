"""Genomes for tests of gLM2, and a plain loop over a network in its vocabulary."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
import xarray as xr
from genomic_models import GENOMIC_VOCABULARY

import catjac_widgets as catjac

PROTEIN, DNA = "LAGVSERTIDPKQNFYMHWC", "atcg"
FIRST, BETWEEN, SECOND = "MALTKV", "aattcg", "MLGIE"
GENOME = f"<+>{FIRST}<+>{BETWEEN}<->{SECOND}"
PROTEINS = f"<+>{FIRST}<->{SECOND}"


def tokens_of(text: str) -> list[int]:
    """Ids by the published vocabulary, written out here once more."""
    ids = {token: k for k, token in enumerate(GENOMIC_VOCABULARY)}
    made, rest = [], text
    while rest:
        token = next(each for each in ("<+>", "<->", "<mask>", rest[0]) if rest.startswith(each))
        made.append(ids[token])
        rest = rest[len(token) :]
    return made


def logits_of(network: Any, tokens: list[int]) -> np.ndarray:
    with torch.no_grad():
        return network(input_ids=torch.tensor([tokens])).logits[0].double().numpy()


def plain_jacobian(network: Any, text: str, letters: str) -> np.ndarray:
    """One sequence at a time: residues only, and on both sides only the letters that each may have."""
    ids = {token: k for k, token in enumerate(GENOMIC_VOCABULARY)}
    tokens = tokens_of(text)
    places = [k for k, token in enumerate(tokens) if GENOMIC_VOCABULARY[token] not in ("<+>", "<->")]
    columns = [ids[letter] for letter in letters]
    before = logits_of(network, tokens)
    made = np.zeros((len(places), len(letters), len(places), len(letters)))
    for i, a in itertools.product(range(len(places)), range(len(letters))):
        if (GENOMIC_VOCABULARY[tokens[places[i]]] in DNA) != (letters[a] in DNA):
            continue
        changed = list(tokens)
        changed[places[i]] = ids[letters[a]]
        effect = (logits_of(network, changed) - before)[np.ix_(places, columns)]
        for j, b in itertools.product(range(len(places)), range(len(letters))):
            if (GENOMIC_VOCABULARY[tokens[places[j]]] in DNA) == (letters[b] in DNA):
                made[i, a, j, b] = effect[j, b]
    return made


def jacobian(text: str, model: Any, **options: Any) -> xr.DataArray:
    return catjac.jacobian(text, model, progress=False, **options)


def centred_part(part: np.ndarray) -> np.ndarray:
    for axis in range(4):
        if part.shape[axis] > 1:
            part = part - part.mean(axis=axis, keepdims=True)
    return part
