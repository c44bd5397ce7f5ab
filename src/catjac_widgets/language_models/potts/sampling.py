"""Drawing sequences from a Potts model."""

from __future__ import annotations

import numpy as np

from catjac_widgets.errors import UsageError
from catjac_widgets.language_models.potts.parameters import PottsParameters
from catjac_widgets.proteins.alignments import Alignment


def sample_potts(
    parameters: PottsParameters, count: int, *, sweeps: int = 30, temperature: float = 1.0, seed: int = 0
) -> Alignment:
    """Draw sequences from a Potts model by Gibbs sampling, each from a chain of its own.

    Chains begin at letters drawn from the fields alone; all columns are redrawn in turn, given the others.

    Parameters
    ----------
    count
        How many sequences.
    sweeps
        How often all columns are redrawn. Strongly coupled models need more before they forget where they
        began.
    temperature
        Above 1, fields and couplings are that much weaker: chains mix faster, sequences vary more.
    seed
        Of the random numbers.

    Returns
    -------
    Alignment
        Over the model's K columns and letters; where the query is known and has all columns, it is one more
        row, the first.

    Raises
    ------
    UsageError
        If `count` or `sweeps` is below 1, or the temperature not above 0.
    """
    if count < 1 or sweeps < 1:
        raise UsageError(f"{count} sequences of {sweeps} sweeps cannot be drawn; give 1 or more of both.")
    if not temperature > 0:
        raise UsageError(f"temperature={temperature!r} is not above 0; 1 is that of the model.")
    random = np.random.default_rng(seed)
    K, q = parameters.fields.shape
    V = parameters.fields.astype(np.float64) / temperature
    W = (parameters.couplings / temperature).astype(np.float32).reshape(K, q, K * q)
    states = np.stack([_draw(np.broadcast_to(V[j], (count, q)), random) for j in range(K)], axis=1)
    added = np.zeros((count, K * q), dtype=np.float32)
    for i in range(K):
        added += W[i][states[:, i]]
    for _ in range(sweeps):
        for i in range(K):
            drawn = _draw(V[i] + added[:, i * q : (i + 1) * q], random)
            moved = np.flatnonzero(drawn != states[:, i])
            added[moved] += W[i][drawn[moved]] - W[i][states[moved, i]]
            states[moved, i] = drawn[moved]
    query = parameters.sequence if len(parameters.sequence) == K else ""
    query = query if set(query) <= set(parameters.letters) else ""
    if query:
        first = [parameters.letters.index(letter) for letter in query]
        states = np.concatenate([np.array([first]), states])
    letters = parameters.letters
    if letters[-1] not in "-.":
        # An alignment's last letter is the gap, which this model never draws.
        letters += "-"
    name = "query" if query else "drawn"
    query = query or "".join(letters[k] for k in states[0])
    return Alignment(states.astype(np.int8), letters, query, name)


def _draw(logits: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw a letter from each row's softmax."""
    # The largest of logits with Gumbel noise has the softmax's distribution.
    return (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
