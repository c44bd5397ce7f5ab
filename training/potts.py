"""Potts models of single families by pseudo-likelihood, and their conditionals under masks.

A gap or a masked site is missing information: with features centred on the column's profile,
`x~_i = onehot(x_i) - f_i`, it contributes zero, so the conditional under a mask is the profile average of
the conditional's logits, exactly. Regularisation and gauge follow GREMLIN (Kamisetty et al. 2013, PNAS;
Balakrishnan et al. 2011, Proteins).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize

from catjac_widgets.language_models.potts.pseudo_likelihood import PseudoLikelihood

from .families import MISSING, Family

A = MISSING
REGULARISATION = 0.01


@dataclass(frozen=True)
class Potts:
    """Fields (L, 20), symmetric couplings (L, 20, L, 20) with zero diagonal blocks, profile (L, 20)."""

    fields: torch.Tensor
    couplings: torch.Tensor
    profile: torch.Tensor

    @property
    def length(self) -> int:
        """Number of sites."""
        return self.fields.shape[0]

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Logits of every site given all others: (N, L) states, 20 where missing -> (N, L, 20)."""
        features = centred_features(states, self.profile)
        flat = self.couplings.reshape(self.length * A, self.length * A)
        return self.fields + (features.flatten(1) @ flat).view(len(states), self.length, A)

    def save(self, path: Path) -> None:
        """Write an .npz file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez(
            part,
            fields=self.fields.numpy(),
            couplings=self.couplings.numpy().astype(np.float32),
            profile=self.profile.numpy(),
        )
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Potts:
        """Read an .npz file that `save` wrote."""
        with np.load(path) as stored:
            return cls(
                *(torch.from_numpy(stored[name]).float() for name in ("fields", "couplings", "profile"))
            )


def centred_features(states: torch.Tensor, profile: torch.Tensor) -> torch.Tensor:
    """Onehot minus profile at known sites, zero at missing ones: (N, L) -> (N, L, 20)."""
    known = states < A
    features = torch.nn.functional.one_hot(states.long().clamp(max=A - 1), A).to(profile.dtype) - profile
    return features * known[..., None]


def pseudo_likelihood(
    states: torch.Tensor, weights: torch.Tensor, profile: torch.Tensor, allowed: torch.Tensor | None = None
) -> PseudoLikelihood:
    """Make the package's objective with centred features: rows (N, L), weights (N,), profile (L, 20).

    All pairs but the diagonal couple unless `allowed`, (L, L) bool and symmetric, says which.
    """
    length, neff = states.shape[1], float(weights.sum())
    partners = length - 1 if allowed is None else float(allowed.sum()) / length
    return PseudoLikelihood(
        centred_features(states, profile),
        states.long().clamp(max=A - 1),
        weights,
        field_penalty=REGULARISATION / neff,
        coupling_penalty=REGULARISATION * 0.5 * partners * (A - 1) / neff,
        known=states < A,
        allowed=allowed,
    )


def fit(
    family: Family, iterations: int = 60, allowed: torch.Tensor | None = None, start: Potts | None = None
) -> Potts:
    """Fits fields and couplings to a family's training rows by L-BFGS; starts from its profile."""
    profile = torch.from_numpy(family.profile).float()
    objective = pseudo_likelihood(
        torch.from_numpy(family.rows), torch.from_numpy(family.weights).float(), profile, allowed
    )
    if start is None:
        fields = profile.log()
        first = torch.cat(
            [(fields - fields.mean(dim=1, keepdim=True)).flatten(), torch.zeros(objective.size**2)]
        )
    else:
        first = torch.cat([start.fields.flatten(), start.couplings.flatten()])

    def value_and_gradient(vector: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = objective(torch.from_numpy(vector).float())
        return float(value), gradient.double().numpy()

    found = minimize(
        value_and_gradient,
        first.double().numpy(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations, "maxcor": 6},
    )
    fields, couplings = objective.unpack(torch.from_numpy(found.x).float())
    length = family.length
    return Potts(fields.clone(), couplings.view(length, A, length, A).clone(), profile)


def coupling_map(couplings: torch.Tensor) -> torch.Tensor:
    """Frobenius norms of the blocks, average product corrected, zero diagonal: (L, L)."""
    norms = couplings.square().sum(dim=(1, 3)).sqrt()
    norms.fill_diagonal_(0)
    corrected = norms - norms.sum(0, keepdim=True) * norms.sum(1, keepdim=True) / norms.sum()
    return corrected.fill_diagonal_(0)


def strongest_pairs(couplings: torch.Tensor, number: int) -> torch.Tensor:
    """(L, L) bool, symmetric: the pairs with the highest corrected norms, neighbours included."""
    scores = coupling_map(couplings)
    i, j = torch.triu_indices(len(scores), len(scores), 1)
    best = scores[i, j].argsort(descending=True)[:number]
    allowed = torch.zeros_like(scores, dtype=torch.bool)
    allowed[i[best], j[best]] = True
    return allowed | allowed.T


def perplexity(logits: torch.Tensor, states: torch.Tensor) -> float:
    """Exp of the mean negative log-probability of the known letters, over the 20: (N, L, 20), (N, L)."""
    known = states < A
    log_p = torch.log_softmax(logits, dim=-1).gather(-1, states.long().clamp(max=A - 1)[..., None])[..., 0]
    return float(torch.exp(-log_p[known].mean()))
