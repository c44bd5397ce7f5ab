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


class PseudoLikelihood:
    """The regularised negative pseudo-log-likelihood per effective row, with its gradient."""

    def __init__(
        self,
        states: torch.Tensor,
        weights: torch.Tensor,
        profile: torch.Tensor,
        allowed: torch.Tensor | None = None,
    ) -> None:
        """Take all pairs but the diagonal unless `allowed`, (L, L) bool, says which may couple."""
        self.number, self.length = states.shape
        self.size = self.length * A
        self.features = centred_features(states, profile).flatten(1)
        self.known = states < A
        self.letters = states.long().clamp(max=A - 1)[..., None]
        self.weights = (weights / weights.sum()).to(profile.dtype)
        if allowed is None:
            allowed = ~torch.eye(self.length, dtype=torch.bool)
        self.allowed = allowed.to(profile.dtype)[:, None, :, None]
        partners = float(self.allowed.sum()) / self.length
        neff = float(weights.sum())
        self.field_penalty = REGULARISATION / neff
        self.coupling_penalty = REGULARISATION * 0.5 * partners * (A - 1) / neff

    def unpack(self, parameters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(fields (L, 20), symmetric couplings (20 L, 20 L)) from the flat vector."""
        fields = parameters[: self.size].view(self.length, A)
        raw = parameters[self.size :].view(self.size, self.size)
        both = ((raw + raw.T) * 0.5).view(self.length, A, self.length, A) * self.allowed
        return fields, both.reshape(self.size, self.size)

    def __call__(self, parameters: torch.Tensor) -> tuple[float, torch.Tensor]:
        """(value, gradient) at a flat vector of fields and couplings."""
        fields, couplings = self.unpack(parameters)
        logits = fields + (self.features @ couplings).view(self.number, self.length, A)
        log_p = torch.log_softmax(logits, dim=-1)
        weight = self.weights[:, None] * self.known
        loss = -(log_p.gather(-1, self.letters)[..., 0] * weight).sum()
        loss = (
            loss
            + self.field_penalty * fields.square().sum()
            + self.coupling_penalty * couplings.square().sum()
        )
        residual = log_p.exp_()
        residual.scatter_add_(-1, self.letters, -torch.ones_like(self.letters, dtype=residual.dtype))
        residual = residual * weight[..., None]
        d_fields = residual.sum(dim=0) + 2 * self.field_penalty * fields
        d_raw = self.features.T @ residual.flatten(1)
        d_raw = ((d_raw + d_raw.T) * 0.5).view(self.length, A, self.length, A) * self.allowed
        d_couplings = d_raw.reshape(self.size, self.size) + 2 * self.coupling_penalty * couplings
        return float(loss), torch.cat([d_fields.flatten(), d_couplings.flatten()])


def fit(
    family: Family, iterations: int = 60, allowed: torch.Tensor | None = None, start: Potts | None = None
) -> Potts:
    """Fits fields and couplings to a family's training rows by L-BFGS; starts from its profile."""
    profile = torch.from_numpy(family.profile).float()
    objective = PseudoLikelihood(
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
        loss, gradient = objective(torch.from_numpy(vector).float())
        return loss, gradient.double().numpy()

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
