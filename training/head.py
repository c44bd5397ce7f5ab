"""The contact head: sparse logistic regression on corrected attention maps (Rao et al. 2021, ICLR).

It is fitted to whole queries and to what a person makes of them: masked ones, in which only pairs of visible
residues are contacts and none where too little is visible to know the family, and shuffled ones without
contacts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from esm.model.esm2 import ESM2
from esm.modules import apc, symmetrize
from sklearn.linear_model import LogisticRegression

from .corruption import aligned_tokens, heavy_mask
from .maps import SEPARATION, precision_at_l
from .recognition import belief, evidence

FOLDS = 5
INVERSE_PENALTY = 0.15
"""scikit-learn's C for the L1 penalty, the value published with ESM-1b's head."""
MASKED_VIEWS, SHUFFLED_VIEWS = 4, 1

View = tuple[np.ndarray, np.ndarray]
"""(L, L, layers * heads) features and (L, L) bool contacts."""


@torch.no_grad()
def attention_features(model: ESM2, states: torch.Tensor, mask: torch.Tensor | None = None) -> np.ndarray:
    """(L, L, layers * heads): attention between residues, a + a^T, average product corrected."""
    tokens = aligned_tokens(states[None], None if mask is None else mask[None])
    attention = model(tokens, need_head_weights=True)["attentions"][:, :, :, 1:-1, 1:-1].flatten(1, 2)
    return apc(symmetrize(attention))[0].permute(1, 2, 0).numpy()


def visible_contacts(
    truth: np.ndarray, states: torch.Tensor, mask: torch.Tensor, odds: torch.Tensor
) -> np.ndarray:
    """(L, L) bool: contacts of visible residues, none where the visible letters leave the family in doubt."""
    seen = torch.where(mask, torch.tensor(len(odds[0]), dtype=states.dtype), states)
    known = float(belief(evidence(seen[None], odds).sum())) > 0.5
    visible = ~mask.numpy()
    return truth & visible[:, None] & visible[None, :] & known


def views(model: ESM2, states: torch.Tensor, truth: np.ndarray, odds: torch.Tensor) -> list[View]:
    """Make a query's whole, masked and shuffled features with their contacts, the whole first."""
    rng = np.random.default_rng(len(states))
    found = [(attention_features(model, states), truth)]
    for mask in torch.from_numpy(heavy_mask((MASKED_VIEWS, len(states)), rng)):
        labels = visible_contacts(truth, states, mask, odds)
        found.append((attention_features(model, states, mask), labels))
    for _ in range(SHUFFLED_VIEWS):
        shuffled = states[torch.from_numpy(rng.permutation(len(states)))]
        found.append((attention_features(model, shuffled), np.zeros_like(truth)))
    return found


def fit(shown: Sequence[View]) -> tuple[torch.Tensor, torch.Tensor]:
    """(weight (1, F), bias (1,)) from all pairs at separation 6 or more of some views."""
    inputs, labels = [], []
    for feature, truth in shown:
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


def out_of_fold(shown: Sequence[Sequence[View]]) -> list[float]:
    """Precision at L of each protein's whole query by a head fitted to the views of the other folds."""
    folds = np.random.default_rng(0).permutation(len(shown)) % FOLDS
    found = []
    for index, (whole, *_) in enumerate(shown):
        others = [of_one for other, of_one in enumerate(shown) if folds[other] != folds[index]]
        head = fit([view for of_one in others for view in of_one])
        found.append(precision_at_l(score(whole[0], head), whole[1]))
    return found
