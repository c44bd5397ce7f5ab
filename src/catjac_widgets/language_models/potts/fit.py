"""Fitting a Potts model to an alignment by pseudo-likelihood, as GREMLIN does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from catjac_widgets.errors import ModelError, UsageError
from catjac_widgets.language_models.potts.parameters import UNKNOWN, PottsParameters
from catjac_widgets.language_models.potts.pseudo_likelihood import PseudoLikelihood, minimise
from catjac_widgets.progress import progress_bar
from catjac_widgets.proteins.alignments import Alignment, as_alignment

if TYPE_CHECKING:
    import torch

#: GREMLIN's λ of the fields; that of the couplings is this times (K − 1)(q − 1) / 2.
REGULARISATION = 0.01

#: Ends a fit when the parameters are estimated to be so near the optimum, relative to their size.
TOLERANCE = 1e-3


def fit_potts(
    alignment: Alignment | str | Path,
    *,
    iterations: int = 200,
    gap_fraction: float = 0.5,
    identity: float = 0.8,
    regularisation: float = REGULARISATION,
    tolerance: float = TOLERANCE,
    device: torch.device | str | None = None,
    float64: bool = False,
    progress: bool = True,
    watch: Callable[[float], None] | None = None,
) -> PottsParameters:
    """Fit a Potts model over residues and gap to an alignment by pseudo-likelihood, as GREMLIN does.

    Parameters
    ----------
    alignment
        An `Alignment`, or the path (or text) of A3M or aligned FASTA; the first row is the query.
    iterations
        At most so many steps of L-BFGS.
    gap_fraction
        Columns with a smaller share of gaps are used.
    identity
        Rows at least so alike share their weight.
    regularisation
        λ of the fields; λ (K − 1)(q − 1)/2 of the couplings.
    tolerance
        The fit ends when the gradient is that small, relative to the parameters, in variables in which the
        (convex) problem is about round. The default leaves the couplings about 1 % of their size from
        the optimum.
    device
        Where to compute; the CPU by default.
    float64
        Compute in double precision.
    progress
        Whether to show a progress bar (on stderr, if it takes longer than half a second). An interrupt ends
        the fit.
    watch
        Called with the share of the work done (an estimate, 0 to 1) after every step; an exception that it
        raises ends the fit.

    Returns
    -------
    PottsParameters
        Over K columns and q states (21, or 5 of nucleotides); `residual` says how near the optimum it is.
        ``save`` it, or use it as a model: ``potts:<file>``.

    Raises
    ------
    SequenceError
        If the alignment cannot be read or has fewer than two columns to use.
    UsageError
        If a share, the tolerance or the number of steps makes no sense.
    ModelError
        If the fit gives numbers that are not finite.

    References
    ----------
    Kamisetty, Ovchinnikov & Baker (2013), PNAS 110:15674; Balakrishnan et al. (2011), Proteins 79:1061.
    """
    import torch

    if not (0 < gap_fraction <= 1 and 0 < identity <= 1 and regularisation > 0 and tolerance > 0):
        raise UsageError("gap_fraction and identity are in (0, 1], regularisation and tolerance above 0.")
    if iterations < 1:
        raise UsageError(f"iterations={iterations!r} is no number of steps; give 1 or more.")
    whole = as_alignment(alignment)
    columns = whole.columns_below(gap_fraction)
    used = whole.with_columns(columns)
    description = f"Potts model of {whole.name or f'{whole.length} columns'}"
    with progress_bar(description, 1, shown=progress) as bar:
        follow = _Follow(tolerance, bar.show, watch)
        weights = used.weights(identity)
        neff, K, q = float(weights.sum()), used.length, len(used.letters)
        objective = PseudoLikelihood(
            None,
            torch.from_numpy(used.states.astype(np.int64)).to(torch.device(device or "cpu")),
            torch.from_numpy(weights if float64 else weights.astype(np.float32)),
            states=q,
            dtype=torch.float64 if float64 else torch.float32,
            field_penalty=regularisation / neff,
            coupling_penalty=regularisation * 0.5 * (K - 1) * (q - 1) / neff,
        )
        # With one sequence log Neff is 0, and a letter that never occurs would begin at −∞.
        counts = objective.moments()[2] * neff + max(0.01 * float(np.log(neff)), 1e-4)
        fields = counts.log().view(K, q)
        fields = fields - fields.mean(dim=1, keepdim=True)
        found = minimise(objective, fields, iterations=iterations, tolerance=tolerance, watch=follow)
    if not bool(torch.isfinite(found.couplings).all() and torch.isfinite(found.fields).all()):
        raise ModelError("The fit of the Potts model gave numbers that are not finite; pass float64=True.")
    query = query_of(whole)
    return PottsParameters(
        found.fields.cpu().numpy().copy(),
        found.couplings.view(K, q, K, q).cpu().numpy().copy(),
        used.letters,
        query,
        tuple(int(column) for column in columns) if query else tuple(range(K)),
        neff,
        found.residual,
    )


def query_of(alignment: Alignment) -> str:
    """Give the first row's residues, X where one is not known; "" where it has gaps.

    A query with gaps is no sequence that a model could be asked about: the columns then stand alone.
    """
    residues = alignment.letters[: alignment.gap]
    if alignment.letters[alignment.gap] in alignment.query:
        return ""
    return "".join(letter if letter in residues else UNKNOWN for letter in alignment.query)


class _Follow:
    """Turns residuals into a share of the work: on the whole they fall by the same factor a step."""

    def __init__(
        self, tolerance: float, bar: Callable[[float], object], watch: Callable[[float], None] | None
    ) -> None:
        self._tolerance, self._bar, self._watch = tolerance, bar, watch
        self._first: float | None = None
        self._done = 0.0

    def __call__(self, residual: float) -> None:
        if self._first is None:
            self._first = max(residual, 2 * self._tolerance)
        fallen = np.log(self._first / max(residual, self._tolerance)) / np.log(self._first / self._tolerance)
        done = min(1.0, max(self._done, float(fallen)))
        self._bar(done)
        self._done = done
        if self._watch is not None:
            self._watch(done)
