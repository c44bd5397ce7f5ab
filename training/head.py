"""The contact head: sparse logistic regression on corrected attention maps (Rao et al. 2021, ICLR)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from esm.model.esm2 import ESM2
from esm.modules import apc, symmetrize
from sklearn.linear_model import LogisticRegression

from .corruption import aligned_tokens
from .maps import SEPARATION, precision_at_l

FOLDS = 5
INVERSE_PENALTY = 0.15
"""scikit-learn's C for the L1 penalty, the value published with ESM-1b's head."""


@torch.no_grad()
def attention_features(model: ESM2, states: torch.Tensor, mask: torch.Tensor | None = None) -> np.ndarray:
    """(L, L, layers * heads): attention between residues, a + a^T, average product corrected."""
    tokens = aligned_tokens(states[None], None if mask is None else mask[None])
    attention = model(tokens, need_head_weights=True)["attentions"][:, :, :, 1:-1, 1:-1].flatten(1, 2)
    return apc(symmetrize(attention))[0].permute(1, 2, 0).numpy()


def fit(features: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """(weight (1, F), bias (1,)) from all pairs at separation 6 or more of some proteins."""
    inputs, labels = [], []
    for feature, truth in zip(features, truths, strict=True):
        i, j = np.triu_indices(len(truth), SEPARATION)
        inputs.append(feature[i, j])
        labels.append(truth[i, j])
    regression = LogisticRegression(
        l1_ratio=1.0, C=INVERSE_PENALTY, solver="liblinear", max_iter=1000, random_state=0
    )
    regression.fit(np.concatenate(inputs), np.concatenate(labels))
    return torch.from_numpy(regression.coef_).float(), torch.from_numpy(regression.intercept_).float()


def score(feature: np.ndarray, head: tuple[torch.Tensor, torch.Tensor]) -> np.ndarray:
    """(L, L) logits of contact."""
    return feature @ head[0][0].numpy() + float(head[1])


def out_of_fold(features: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> list[float]:
    """Precision at L of each protein by a head fitted to the other folds."""
    folds = np.random.default_rng(0).permutation(len(features)) % FOLDS
    found = []
    for index, (feature, truth) in enumerate(zip(features, truths, strict=True)):
        others = [other for other in range(len(features)) if folds[other] != folds[index]]
        head = fit([features[o] for o in others], [truths[o] for o in others])
        found.append(precision_at_l(score(feature, head), truth))
    return found
