"""The pseudo-likelihood of a Potts model with its gradient, and its minimisation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

#: Numbers that one block of rows takes: small enough that a processor's cache holds them.
_BLOCK = 2**21

#: The same on an accelerator, which wants large products.
_LARGE_BLOCK = 2**26

#: Rows and columns of a matrix that are symmetrised at once.
_TILE = 512


class PseudoLikelihood:
    """The regularised negative log-pseudo-likelihood a (effective) sequence, with its gradient.

    ``−Σ_n w_n Σ_j log softmax_b(V_jb + Σ_i f_ni W_i,j,b)[x_nj] / Σ w + λ_V ‖V‖² + λ_W ‖W‖²``, ‖W‖² over both
    triangles, W symmetric with zero diagonal blocks.

    Parameters
    ----------
    features
        f, shape (N, K, q): whatever stands for a residue (zero: unknown). None: the one-hot code of the
        targets; sums of rows then take the place of products, which is several times faster on a CPU.
    targets
        x, integers (N, K) from 0 to q − 1.
    weights
        w, shape (N,).
    states
        q; needed only without features.
    dtype
        Of the computation, without features; float32 by default.
    field_penalty, coupling_penalty
        λ_V and λ_W.
    known
        Bool (N, K): which targets count; all by default.
    allowed
        Bool (K, K), symmetric: which pairs may couple; all by default.

    Attributes
    ----------
    length, states
        K and q.
    size
        K q.
    parameters
        Length of the flat vector: fields, then couplings, (K q)², of which the symmetric part counts.
    """

    def __init__(
        self,
        features: torch.Tensor | None,
        targets: torch.Tensor,
        weights: torch.Tensor,
        *,
        field_penalty: float,
        coupling_penalty: float,
        states: int | None = None,
        dtype: torch.dtype | None = None,
        known: torch.Tensor | None = None,
        allowed: torch.Tensor | None = None,
    ) -> None:
        import torch

        self.number, self.length = targets.shape
        self.states = int(features.shape[2] if features is not None else states or 0)
        if not self.states:
            raise ValueError("Without features, the number of states has to be given.")
        self.size = self.length * self.states
        self.parameters = self.size + self.size**2
        kind = features.dtype if features is not None else dtype or torch.float32
        where = targets.device
        self._targets = targets.long()[..., None]
        weights = (weights.double() if where.type != "mps" else weights).to(where)
        self._weights = (weights / weights.sum()).to(kind)[:, None].expand(-1, self.length)
        if known is not None:
            self._weights = self._weights * known
        off_diagonal = ~torch.eye(self.length, dtype=torch.bool, device=where)
        pairs = off_diagonal if allowed is None else allowed & off_diagonal
        self._allowed = pairs.to(kind)[:, None, :, None]
        self.field_penalty, self.coupling_penalty = field_penalty, coupling_penalty
        numbers = _BLOCK if where.type == "cpu" and features is None else _LARGE_BLOCK
        step = max(64, numbers // self.size)
        self._blocks = []
        for first in range(0, self.number, step):
            rows = slice(first, first + step)
            block: _Block
            if features is not None:
                block = _Features(features[rows].reshape(-1, self.size))
            elif where.type == "cpu":
                block = _Letters(targets[rows], self.states)
            else:
                block = _OneHot(targets[rows], self.states, kind)
            self._blocks.append((rows, block))

    def unpack(self, vector: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn the flat vector into fields (K, q) and symmetric couplings (K q, K q)."""
        fields = vector[: self.size].view(self.length, self.states)
        return fields, self.symmetric(vector[self.size :].view(self.size, self.size))

    def symmetric(self, raw: torch.Tensor) -> torch.Tensor:
        """Give the symmetric part of a matrix (K q, K q), zero where pairs may not couple."""
        both = raw.clone()
        # Tile by tile: the transpose of the whole is read across the memory, which takes three times as long.
        for i in range(0, self.size, _TILE):
            for j in range(0, i + 1, _TILE):
                here, there = both[i : i + _TILE, j : j + _TILE], both[j : j + _TILE, i : i + _TILE]
                mean = here.add(there.T).mul_(0.5)
                here.copy_(mean)
                there.copy_(mean.T)
        both.view(self.length, self.states, self.length, self.states).mul_(self._allowed)
        return both

    def __call__(self, vector: torch.Tensor) -> tuple[float, torch.Tensor]:
        """Value and gradient at a flat vector."""
        value, by_fields, by_couplings = self.at(*self.unpack(vector))
        import torch

        return value, torch.cat([by_fields.flatten(), by_couplings.flatten()])

    def at(self, fields: torch.Tensor, couplings: torch.Tensor) -> tuple[float, torch.Tensor, torch.Tensor]:
        """Value and gradients by fields (K, q) and by symmetric couplings (K q, K q)."""
        import torch

        by_fields, by_couplings = torch.zeros_like(fields), torch.zeros_like(couplings)
        value = self.field_penalty * float(fields.square().sum())
        value += self.coupling_penalty * float(couplings.square().sum())
        for rows, block in self._blocks:
            targets, weights = self._targets[rows], self._weights[rows]
            logits = block.times(couplings).view(-1, self.length, self.states) + fields
            log_p = torch.log_softmax(logits, dim=-1)
            # Summed block by block in double precision: near the minimum the differences are small.
            value -= float((log_p.gather(-1, targets)[..., 0] * weights).sum())
            residual = log_p.exp_()
            residual.scatter_add_(-1, targets, -torch.ones_like(targets, dtype=residual.dtype))
            residual *= weights[..., None]
            by_fields += residual.sum(dim=0)
            by_couplings += block.transposed_times(residual.view(-1, self.size))
        by_fields += 2 * self.field_penalty * fields
        return value, by_fields, self.symmetric(by_couplings) + 2 * self.coupling_penalty * couplings

    def moments(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Weighted mean and variance of the features, and frequencies of the targets; each (K q,)."""
        import torch

        zeros = self._allowed.new_zeros(self.size)
        mean, square, counts = zeros.clone(), zeros.clone(), zeros.clone()
        places = torch.arange(self.length, device=zeros.device)[:, None] * self.states
        for rows, block in self._blocks:
            weights = self._weights[rows]
            counts.index_add_(0, (self._targets[rows] + places).flatten(), weights.flatten())
            if isinstance(block, _Features):
                mean += (block.matrix * weights[:, :1]).sum(dim=0)
                square += (block.matrix.square() * weights[:, :1]).sum(dim=0)
        if not isinstance(self._blocks[0][1], _Features):
            mean, square = counts, counts
        return mean, (square - mean.square()).clamp(min=0), counts


class _Block(Protocol):
    """Rows of the features as a matrix (rows, K q)."""

    def times(self, couplings: torch.Tensor) -> torch.Tensor: ...

    def transposed_times(self, residual: torch.Tensor) -> torch.Tensor: ...


class _Features:
    """Rows of a matrix that is there."""

    def __init__(self, matrix: torch.Tensor) -> None:
        self.matrix = matrix

    def times(self, couplings: torch.Tensor) -> torch.Tensor:
        return self.matrix @ couplings

    def transposed_times(self, residual: torch.Tensor) -> torch.Tensor:
        return self.matrix.T @ residual


class _OneHot:
    """One-hot rows, written out for each product: an accelerator multiplies faster than it gathers."""

    def __init__(self, targets: torch.Tensor, states: int, dtype: torch.dtype) -> None:
        self._targets, self._states, self._dtype = targets.long(), states, dtype

    def _matrix(self) -> torch.Tensor:
        import torch

        return torch.nn.functional.one_hot(self._targets, self._states).to(self._dtype).flatten(1)

    def times(self, couplings: torch.Tensor) -> torch.Tensor:
        return self._matrix() @ couplings

    def transposed_times(self, residual: torch.Tensor) -> torch.Tensor:
        return self._matrix().T @ residual


class _Letters:
    """One-hot rows as places: a product is a sum of K rows of the other factor."""

    def __init__(self, targets: torch.Tensor, states: int) -> None:
        import torch

        number, length = targets.shape
        self._places = targets.long() + torch.arange(length) * states
        every = self._places.flatten()
        self._order = torch.arange(number).repeat_interleave(length)[torch.argsort(every, stable=True)]
        counts = torch.bincount(every, minlength=length * states)
        self._starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)[:-1]])

    def times(self, couplings: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.nn.functional.embedding_bag(self._places, couplings, mode="sum")

    def transposed_times(self, residual: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.nn.functional.embedding_bag(self._order, residual, self._starts, mode="sum")


@dataclass(frozen=True)
class Minimum:
    """Where a minimisation ended.

    Attributes
    ----------
    fields, couplings
        Shapes (K, q) and (K q, K q).
    value
        The objective there.
    residual
        Size of the gradient over that of the parameters, both in variables in which the problem is about
        round: an estimate of the relative distance to the minimum.
    evaluations
        How often value and gradient were computed.
    """

    fields: torch.Tensor
    couplings: torch.Tensor
    value: float
    residual: float
    evaluations: int


class _CloseEnough(Exception):
    """Ends a minimisation from within."""


def minimise(
    objective: PseudoLikelihood,
    fields: torch.Tensor,
    couplings: torch.Tensor | None = None,
    *,
    iterations: int = 200,
    tolerance: float = 1e-3,
    watch: Callable[[float], None] | None = None,
) -> Minimum:
    """Minimise by L-BFGS with a strong Wolfe line search, on the objective's device.

    The variables are those of centred features, each scaled by the curvature that it would have were the
    columns independent: that takes a fraction of the steps which fields and couplings themselves take.

    Parameters
    ----------
    fields, couplings
        Where to begin: shapes (K, q) and (K q, K q), symmetric; no couplings by default.
    iterations
        At most so many.
    tolerance
        Ends when `Minimum.residual` is no larger.
    watch
        Called with the residual after each evaluation; an exception that it raises ends the minimisation.
    """
    import torch

    size, states = objective.size, objective.states
    start = torch.zeros_like(objective.symmetric(fields.new_zeros(size, size)))
    start = start if couplings is None else couplings
    mean, spread, frequency = objective.moments()
    curvature = frequency * (1 - frequency)
    of_fields = (curvature + 2 * objective.field_penalty).rsqrt().view(-1, states)
    crossed = torch.outer(spread, curvature)
    of_couplings = ((crossed + crossed.T) / 2 + 2 * objective.coupling_penalty).rsqrt()

    def parameters(vector: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        W = objective.symmetric(vector[size:].view(size, size) * of_couplings)
        return vector[:size].view(-1, states) * of_fields - (mean @ W).view(-1, states), W

    shifted = (fields + (mean @ start).view(-1, states)) / of_fields
    vector = torch.cat([shifted.flatten(), (start / of_couplings).flatten()]).requires_grad_(True)
    optimiser = torch.optim.LBFGS(
        [vector],
        max_iter=iterations,
        max_eval=2 * iterations,
        history_size=10,
        tolerance_grad=0,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )
    best: Minimum | None = None
    evaluations = 0

    def closure() -> float:
        nonlocal best, evaluations
        with torch.no_grad():
            V, W = parameters(vector.detach())
            value, by_fields, by_couplings = objective.at(V, W)
            by_couplings = objective.symmetric(by_couplings - torch.outer(mean, by_fields.flatten()))
            gradient = torch.cat([(by_fields * of_fields).flatten(), (by_couplings * of_couplings).flatten()])
            residual = float(gradient.norm() / vector.norm().clamp(min=1e-30))
        vector.grad = gradient
        evaluations += 1
        # The last point of a line search need not be the best that was seen.
        if best is None or value <= best.value:
            best = Minimum(V, W, value, residual, evaluations)
        if watch is not None:
            watch(residual)
        if residual <= tolerance:
            best = Minimum(V, W, value, residual, evaluations)
            raise _CloseEnough
        return value

    with contextlib.suppress(_CloseEnough):
        optimiser.step(closure)
    assert best is not None
    return best
