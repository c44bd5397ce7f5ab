"""How probable a model finds a protein: one residue masked at a time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from catjac_widgets.analysis.likelihood.marginals import (
    LEFT_TO_RIGHT,
    PASSED_ON,
    Method,
    check_method,
    likelihood_request,
    marginals_of,
)
from catjac_widgets.analysis.options import check_options
from catjac_widgets.analysis.probabilities import log_softmax
from catjac_widgets.engine.jobs.passes import in_batches
from catjac_widgets.errors import ModelError, UsageError
from catjac_widgets.language_models.base import WholeVocabulary
from catjac_widgets.language_models.registry import resolve_model
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.sequences import Sequence

#: Options that make sense where the logits of the whole vocabulary are run anew.
_WHOLE_VOCABULARY = ("linker", "unknown", "batch_size", "cache")


class PseudoPerplexity(float):
    """A number that remembers how it was made.

    Attributes
    ----------
    letters
        Over how many letters (or tokens of the vocabulary) the probabilities were normalised.
    method
        "masked", "wild_type" or "approximate"; "left_to_right" of a model that reads so; "masked samples" of
        `masked_perplexity`.
    log_likelihood
        Σ log p over the scored residues.
    residues
        How many residues were scored.
    """

    letters: int
    method: str
    log_likelihood: float
    residues: int

    def __new__(  # noqa: D102 - described in the class
        cls, log_likelihood: float, residues: int, letters: int, method: str
    ) -> PseudoPerplexity:
        made = super().__new__(cls, np.exp(-log_likelihood / residues))
        made.letters, made.method = letters, method
        made.log_likelihood, made.residues = float(log_likelihood), residues
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.log_likelihood, self.residues, self.letters, self.method)


def pseudo_perplexity(
    sequence: Sequence | str | Path,
    model: Any = "mini",
    *,
    letters: int | None = None,
    method: Method = "masked",
    positions: Iterable[int] | int | None = None,
    mask: Mask | np.ndarray | Iterable[bool] | None = None,
    progress: bool = True,
    **options: Any,
) -> PseudoPerplexity:
    """Compute exp(−(1/L) Σ log p(x_i | the rest)), one residue masked at a time.

    Of a model that reads from left to right it is the perplexity: each residue given those before it, in one
    pass.

    Parameters
    ----------
    letters
        How many letters the probabilities are normalised over. The model's own by default (20 amino acids, as
        in Zhang et al. (2024)). 33: the whole vocabulary of an ESM model, as in the ESM-2 paper (35 for
        ESM-1); these logits are not kept in the cache.
    method
        As for `marginals`; other than "masked" it is a pseudo-perplexity in name only.
    positions
        1-based positions of the residues that are scored, each given all others; all by default. Hidden ones
        are not scored.
    sequence, model, mask, progress, options
        As for `marginals`; over the whole vocabulary the options are `linker`, `unknown`, `batch_size` and
        `cache` (nothing of it is kept).

    Returns
    -------
    PseudoPerplexity
        A float, 1 (certain and right) to the number of letters (uniform) and beyond, with `letters`,
        `method`, `log_likelihood` and `residues`.

    Raises
    ------
    ModelError
        If the model does not tell the logits of its whole vocabulary.
    UsageError
        For another number of letters, for the approximate method over the whole vocabulary (it is derived for
        20 letters), for an option that does not apply, or if all positions asked for are hidden.

    References
    ----------
    .. [1] Salazar J. et al. (2020), Masked language model scoring, ACL.
    .. [2] Lin Z. et al. (2023), Science 379:1123, supplement (over the whole vocabulary).
    .. [3] Zhang Z. et al. (2024), PNAS 121:e2406285121 (over the 20 amino acids).
    """
    check_method(method)
    own_options = ("letters", "method", "positions", "mask", "progress")
    check_options("pseudo_perplexity", options, (*own_options, *PASSED_ON))
    request = likelihood_request(sequence, model, {"positions": positions, "mask": mask, **options})
    plan = request.plan
    own = len(plan.letters)
    if not plan.wanted:
        raise UsageError(
            "The mask hides every residue that positions= asks for, so none is scored; ask for visible ones."
        )
    if letters is None or letters == own:
        table = marginals_of(request, method, progress=progress)
        wild_type = table["wild_type"].values
        log_p = table["log_probability"].sel(aa=xr.DataArray(wild_type, dims="pos")).values
        log_p = log_p[~plan.mask.array[table["pos"].values - 1]]
        how = LEFT_TO_RIGHT if plan.causal else method
        return PseudoPerplexity(float(log_p.sum()), len(log_p), own, how)
    if method == "approximate":
        raise UsageError(
            f"The approximate method is derived for {own} letters; leave letters= out, or use "
            "method='masked'."
        )
    check_options(
        "pseudo_perplexity",
        options,
        (*own_options, *_WHOLE_VOCABULARY),
        f"over another number of letters than {own}",
    )
    loaded = resolve_model(request.model)
    if not isinstance(loaded, WholeVocabulary):
        raise ModelError(
            f"{loaded.name} tells the logits of its {own} letters only, not of {letters}; leave letters= out."
        )
    if letters != len(loaded.vocabulary):
        raise UsageError(
            f"letters={letters!r} is neither {own}, the letters of {loaded.name}, nor "
            f"{len(loaded.vocabulary)}, its whole vocabulary."
        )
    log_p = _whole_vocabulary(plan, loaded, method, request.batch_size, progress)
    return PseudoPerplexity(float(log_p.sum()), len(log_p), letters, method)


def _whole_vocabulary(
    plan: Any, model: Any, method: str, batch_size: int | None, progress: bool
) -> np.ndarray:
    """Log-probability of each visible residue over the whole vocabulary."""
    import torch

    residues, hidden = plan.model_residues, plan.model_mask
    visible = np.array(plan.wanted)
    places = plan.kept[visible]
    columns = np.array([model.vocabulary.index(plan.sequence.residues[k]) for k in visible])
    masked = hidden.array if hidden is not None else np.zeros(len(residues), dtype=bool)
    if method == "wild_type":
        inputs = model.encode(residues, hidden)[None]
    else:
        each = masked | (np.arange(len(residues)) == places[:, None])
        inputs = torch.stack([model.encode(residues, Mask.from_array(row)) for row in each])

    def run(part: slice) -> np.ndarray:
        logits = model.vocabulary_logits(inputs[part]).double().cpu().numpy()
        if not np.isfinite(logits[:, places]).all():
            raise ModelError(
                f"{plan.model} gives logits that are not finite; its weights or its number type cannot be "
                "used."
            )
        if method == "wild_type":
            return log_softmax(logits[0, places])[np.arange(len(places)), columns]
        rows = np.arange(len(logits))
        return log_softmax(logits[rows, places[part]])[rows, columns[part]]

    return in_batches(
        run,
        len(inputs),
        model,
        length=len(residues),
        batch_size=batch_size,
        description=f"Pseudo-perplexity, {plan.model}",
        progress=progress,
    )
