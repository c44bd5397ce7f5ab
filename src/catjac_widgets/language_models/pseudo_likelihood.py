"""Fitting a Potts model to an alignment by pseudo-likelihood."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from catjac_widgets.alignments import Alignment, as_alignment
from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.potts_parameters import PottsParameters

if TYPE_CHECKING:
    import torch

#: GREMLIN's λ of the fields; that of the couplings is this times (K − 1)(q − 1) / 2.
REGULARISATION = 0.01


class PseudoLikelihood:
    """The regularised negative log-pseudo-likelihood a (effective) sequence, with its gradient.

    ``−Σ_n w_n Σ_j log softmax_b(V_jb + Σ_i f_ni W_i,j,b)[x_nj] / Σ w + λ_V ‖V‖² + λ_W ‖W‖²``, ‖W‖² over both
    triangles, W symmetric with zero diagonal blocks.

    Parameters
    ----------
    features
        f, shape (N, K, q): one-hot, or whatever stands for a residue (zero: unknown).
    targets
        x, int64 (N, K).
    weights
        w, shape (N,).
    field_penalty, coupling_penalty
        λ_V and λ_W.
    known
        Bool (N, K): which targets count; all by default.
    allowed
        Bool (K, K), symmetric: which pairs may couple; all by default.
    one_hot
        Whether the features are the targets' one-hot code: sums of rows then take the place of a product.
    """

    def __init__(
        self,
        features: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor,
        *,
        field_penalty: float,
        coupling_penalty: float,
        known: torch.Tensor | None = None,
        allowed: torch.Tensor | None = None,
        one_hot: bool = False,
    ) -> None:
        import torch

        self.number, self.length, self.states = features.shape
        self.size = self.length * self.states
        self._features = features.reshape(self.number, self.size).contiguous()
        self._targets = targets.long()[..., None]
        self._bags: torch.Tensor | None = None
        if one_hot:
            self._bags = targets.long() + torch.arange(self.length, device=targets.device) * self.states
        weights = (weights / weights.sum()).to(features.dtype)
        self._weights = weights[:, None].expand(-1, self.length)
        if known is not None:
            self._weights = self._weights * known
        off_diagonal = ~torch.eye(self.length, dtype=torch.bool, device=features.device)
        pairs = off_diagonal if allowed is None else allowed & off_diagonal
        self._allowed = pairs.to(features.dtype)[:, None, :, None]
        self.field_penalty, self.coupling_penalty = field_penalty, coupling_penalty

    @property
    def parameters(self) -> int:
        """Length of the flat vector: fields, then couplings (of which the symmetric part counts)."""
        return self.size + self.size**2

    def unpack(self, vector: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn the flat vector into fields (K, q) and symmetric couplings (K q, K q)."""
        fields = vector[: self.size].view(self.length, self.states)
        raw = vector[self.size :].view(self.size, self.size)
        return fields, self._symmetric(raw)

    def _symmetric(self, raw: torch.Tensor) -> torch.Tensor:
        both = ((raw + raw.T) * 0.5).view(self.length, self.states, self.length, self.states) * self._allowed
        return both.reshape(self.size, self.size)

    def __call__(self, vector: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Value (0-dimensional) and gradient at a flat vector."""
        import torch

        fields, couplings = self.unpack(vector)
        if self._bags is None:
            added = self._features @ couplings
        else:
            added = torch.nn.functional.embedding_bag(self._bags, couplings, mode="sum")
        logits = added.view(self.number, self.length, self.states) + fields
        log_p = torch.log_softmax(logits, dim=-1)
        value = -(log_p.gather(-1, self._targets)[..., 0] * self._weights).sum()
        value = value + self.field_penalty * fields.square().sum()
        value = value + self.coupling_penalty * couplings.square().sum()
        residual = log_p.exp_()
        residual.scatter_add_(-1, self._targets, -torch.ones_like(self._targets, dtype=residual.dtype))
        residual *= self._weights[..., None]
        by_fields = residual.sum(dim=0) + 2 * self.field_penalty * fields
        by_couplings = self._symmetric(self._features.T @ residual.view(self.number, self.size))
        by_couplings = by_couplings + 2 * self.coupling_penalty * couplings
        return value, torch.cat([by_fields.flatten(), by_couplings.flatten()])


def minimise(
    objective: PseudoLikelihood, start: torch.Tensor, *, iterations: int = 100, tolerance: float = 1e-5
) -> torch.Tensor:
    """Minimise by L-BFGS with a strong Wolfe line search, on the objective's device.

    Parameters
    ----------
    start
        Flat vector to begin with.
    iterations
        At most so many.
    tolerance
        Ends when no entry of the gradient is larger.
    """
    import torch

    vector = start.clone().requires_grad_(True)
    optimiser = torch.optim.LBFGS(
        [vector],
        max_iter=iterations,
        max_eval=2 * iterations,
        history_size=8,
        tolerance_grad=tolerance,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def closure() -> torch.Tensor:
        with torch.no_grad():
            value, gradient = objective(vector.detach())
        vector.grad = gradient
        return value

    optimiser.step(closure)
    return vector.detach()


def fit_potts(
    alignment: Alignment | str | Path,
    *,
    iterations: int = 100,
    gap_fraction: float = 0.5,
    identity: float = 0.8,
    regularisation: float = REGULARISATION,
    tolerance: float = 1e-5,
    device: torch.device | str | None = None,
    float64: bool = False,
) -> PottsParameters:
    """Fit a Potts model over residues and gap to an alignment by pseudo-likelihood, as GREMLIN does.

    Parameters
    ----------
    alignment
        An `Alignment`, or the path (or text) of A3M or aligned FASTA; the first row is the query.
    iterations, tolerance
        See `minimise`; the problem is convex.
    gap_fraction
        Columns with a smaller share of gaps are used.
    identity
        Rows at least so alike share their weight.
    regularisation
        λ of the fields; λ (K − 1)(q − 1)/2 of the couplings.
    device
        Where to compute; the CPU by default.
    float64
        Compute in double precision.

    Returns
    -------
    PottsParameters
        Over K columns and 21 states; ``save`` it, or use it as a model: ``potts:<file>``.

    Raises
    ------
    SequenceError
        If the alignment cannot be read or has fewer than two columns to use.
    ModelError
        If the fit gives numbers that are not finite.

    References
    ----------
    Kamisetty, Ovchinnikov & Baker (2013), PNAS 110:15674; Balakrishnan et al. (2011), Proteins 79:1061.
    """
    import torch

    whole = as_alignment(alignment)
    columns = whole.columns_below(gap_fraction)
    used = whole.with_columns(columns)
    weights = used.weights(identity)
    neff, K, q = float(weights.sum()), used.length, len(used.letters)
    dtype = torch.float64 if float64 else torch.float32
    where = torch.device(device or "cpu")
    targets = torch.from_numpy(used.states.astype(np.int64)).to(where)
    features = torch.nn.functional.one_hot(targets, q).to(dtype)
    w = torch.from_numpy(weights).to(where, dtype)
    objective = PseudoLikelihood(
        features,
        targets,
        w,
        field_penalty=regularisation / neff,
        coupling_penalty=regularisation * 0.5 * (K - 1) * (q - 1) / neff,
        one_hot=True,
    )
    # With one sequence log Neff is 0, and a letter that never occurs would begin at −∞.
    counts = torch.einsum("n,nkq->kq", w, features) + max(0.01 * float(np.log(neff)), 1e-4)
    fields = counts.log()
    start = torch.cat(
        [(fields - fields.mean(dim=1, keepdim=True)).flatten(), fields.new_zeros(objective.size**2)]
    )
    found = minimise(objective, start, iterations=iterations, tolerance=tolerance)
    if not bool(torch.isfinite(found).all()):
        raise ModelError("The fit of the Potts model gave numbers that are not finite; pass float64=True.")
    fields, couplings = objective.unpack(found)
    # A query with gaps is no sequence that a model could be asked about: the columns then stand alone.
    named = whole.letters[whole.gap] not in whole.query
    return PottsParameters(
        fields.cpu().numpy().copy(),
        couplings.view(K, q, K, q).cpu().numpy().copy(),
        used.letters,
        whole.query if named else "",
        tuple(int(column) for column in columns) if named else tuple(range(K)),
        neff,
    )
