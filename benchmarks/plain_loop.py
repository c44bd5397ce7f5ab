"""What people run today: a plain loop over fair-esm's own forward pass, into a float64 array."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def tokens_of(model: Any, residues: str) -> torch.Tensor:
    """Tokens with start and end, shape (L + 2,)."""
    alphabet = model.alphabet
    letters = [alphabet.get_idx(letter) for letter in residues]
    return torch.tensor([alphabet.cls_idx, *letters, alphabet.eos_idx])


@torch.no_grad()
def plain_wild_type(model: Any, residues: str) -> np.ndarray:
    """Logits of the wild type, float64, shape (L, 20)."""
    device = next(model.parameters()).device
    logits = model(tokens_of(model, residues)[None].to(device))["logits"]
    return logits[0, 1 : len(residues) + 1, 4:24].cpu().numpy().astype(np.float64)


@torch.no_grad()
def plain_row(model: Any, residues: str, position: int, wild_type: np.ndarray) -> np.ndarray:
    """One row of the Jacobian: all 20 letters at a 0-based position as one batch; float64, (20, L, 20)."""
    device = next(model.parameters()).device
    batch = tokens_of(model, residues).repeat(20, 1)
    batch[:, position + 1] = torch.arange(4, 24)
    logits = model(batch.to(device))["logits"][:, 1 : len(residues) + 1, 4:24]
    return logits.cpu().numpy().astype(np.float64) - wild_type
