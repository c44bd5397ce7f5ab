"""Log-probabilities and entropy over the last axis of an array; plain numpy."""

from __future__ import annotations

import numpy as np


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Compute log-probabilities over the last axis, float64."""
    logits = np.asarray(logits, dtype=np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def entropy(log_probabilities: np.ndarray) -> np.ndarray:
    """Compute the entropy over the last axis, in nats; a probability of 0 contributes nothing."""
    probabilities = np.exp(log_probabilities)
    return -np.where(probabilities > 0, probabilities * log_probabilities, 0.0).sum(axis=-1)
