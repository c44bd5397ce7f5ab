"""Logits of masked residues by a plain loop over fair-esm."""

from __future__ import annotations

from typing import Any

import numpy as np

from catjac_widgets.proteins.alphabets import ESM_LETTERS
from catjac_widgets.proteins.masks import Mask


def masked_by_hand(module: Any, alphabet: Any, residues: str, mask: Mask | None = None) -> np.ndarray:
    """Logits (L, 20) of each residue while it is masked, one pass a residue, in fair-esm's own classes."""
    import torch

    tokens = alphabet.get_batch_converter()([("", residues)])[2]
    for k in np.flatnonzero(mask.array) if mask is not None else ():
        tokens[0, k + 1] = alphabet.mask_idx
    columns = [alphabet.get_idx(letter) for letter in ESM_LETTERS]
    found = []
    for k in range(len(residues)):
        changed = tokens.clone()
        changed[0, k + 1] = alphabet.mask_idx
        with torch.no_grad():
            found.append(module(changed)["logits"][0, k + 1, columns].numpy())
    return np.array(found, dtype=np.float64)
