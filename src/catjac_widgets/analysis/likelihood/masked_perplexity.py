"""Perplexity under random masks: what training minimises, measured on one protein or on many."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from catjac_widgets.analysis.likelihood.pseudo_perplexity import PseudoPerplexity
from catjac_widgets.analysis.probabilities import log_softmax
from catjac_widgets.engine.jobs.passes import in_batches
from catjac_widgets.engine.plans.request import make_request
from catjac_widgets.errors import ModelError, UsageError
from catjac_widgets.language_models.base import LanguageModel, WholeVocabulary
from catjac_widgets.language_models.registry import resolve_model
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.sequences import Sequence

#: Share of residues that masked language models are trained to predict.
SHARE = 0.15


class MaskedPerplexity(PseudoPerplexity):
    """A perplexity over random masks; see `PseudoPerplexity` for the rest.

    Attributes
    ----------
    share, samples, seed
        Of residues masked, masks a sequence, and of their drawing.
    standard_error
        Of the perplexity, from how much the masks differ; NaN with one mask a sequence.
    """

    share: float
    samples: int
    seed: int
    standard_error: float

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (self.log_likelihood, self.residues, self.letters, self.method, vars(self))


def _remade(log_likelihood: float, residues: int, letters: int, method: str, state: dict) -> MaskedPerplexity:
    made = MaskedPerplexity(log_likelihood, residues, letters, method)
    vars(made).update(state)
    return made


def random_masks(length: int, share: float = SHARE, samples: int = 64, seed: Any = 0) -> np.ndarray:
    """Draw masks that each hide round(share · L) residues, one at least, all sets being equally likely.

    Returns
    -------
    np.ndarray
        Bool (samples, L), True = masked.

    Raises
    ------
    UsageError
        For a share outside 0 … 1 or fewer than one sample.
    """
    if not 0 < share <= 1:
        raise UsageError(f"share={share!r} is not between 0 and 1; training uses 0.15.")
    if samples < 1:
        raise UsageError(f"samples={samples!r} draws no mask; give 1 or more.")
    count = max(1, round(share * length))
    ranks = np.random.default_rng(seed).random((samples, length)).argsort(axis=1).argsort(axis=1)
    return ranks < count


def masked_perplexity(
    sequence: Any,
    model: Any = "mini",
    *,
    share: float = SHARE,
    samples: int = 64,
    seed: int = 0,
    letters: int | None = None,
    linker: str = "",
    unknown: Mapping[str, str] | None = None,
    batch_size: int | None = None,
    progress: bool = True,
    stop: threading.Event | None = None,
) -> MaskedPerplexity:
    """Compute exp(−E[log p(x_i | visible residues)]) over random masks, i among the masked ones.

    Every residue of a mask is replaced by the mask token, so that it is what the ESM-2 paper reports, but for
    the tenth of residues that training leaves or replaces by others.

    Parameters
    ----------
    sequence
        As for `jacobian`; or a list of sequences, over all of which the mean is taken (each masked residue
        counts once, as over a corpus).
    model
        The language model.
    share
        Of residues that a mask hides; at least one.
    samples
        Masks a sequence.
    seed
        Of the masks; the k-th sequence draws its own.
    letters, linker, unknown
        See `pseudo_perplexity`.
    batch_size
        Masks run at once; makes no difference to the result beyond rounding.
    progress
        Show a bar if it takes a while.
    stop
        Set it from another thread to cancel.

    Returns
    -------
    MaskedPerplexity

    Raises
    ------
    UsageError
        For a share, number of samples or of letters that makes no sense, or without a sequence.
    ModelError
        See `pseudo_perplexity`.
    Cancelled
        If `stop` was set.

    References
    ----------
    Lin Z. et al. (2023), Evolutionary-scale prediction of atomic-level protein structure with a language
    model, Science 379:1123, supplement A.2.2.
    """
    many = isinstance(sequence, Iterable) and not isinstance(sequence, str | Path | Sequence)
    given = list(sequence) if many else [sequence]
    if not given:
        raise UsageError("There is no sequence; give at least one.")
    sums: list[np.ndarray] = []
    counted, size = 0, 0
    for place, each in enumerate(given):
        request = make_request(each, model, linker=linker, unknown=unknown)
        plan, resolved = request.plan, request.model
        if not request.identity.has_mask_token:
            raise ModelError(
                f"{request.identity.name} has no mask token, so that no residue can be hidden from it; use "
                "pseudo_perplexity."
            )
        masks = random_masks(plan.length, share, samples, [seed, place])
        loaded = resolve_model(resolved)
        size = letters or len(plan.letters)
        log_p = _log_probabilities(plan, loaded, masks, size, batch_size, progress, stop)
        sums.append(log_p)
        counted += int(masks.sum())
    total = float(sum(part.sum() for part in sums))
    made = MaskedPerplexity(total, counted, size, "masked samples")
    variance = sum(len(part) * part.var(ddof=1) for part in sums) if samples > 1 else float("nan")
    made.share, made.samples, made.seed = float(share), int(samples), int(seed)
    made.standard_error = float(made * np.sqrt(variance) / counted)
    return made


def _log_probabilities(
    plan: Any,
    model: LanguageModel,
    masks: np.ndarray,
    letters: int,
    batch_size: int | None,
    progress: bool,
    stop: threading.Event | None,
) -> np.ndarray:
    """Σ log p over the masked residues of each mask, float64 (samples,)."""
    import torch

    if letters == len(plan.letters):
        columns = [plan.letters.index(letter) for letter in plan.sequence.residues]
        logits_of: Callable[[torch.Tensor], torch.Tensor] = functools.partial(
            model.residue_logits, plan.model_residues
        )
    elif not isinstance(model, WholeVocabulary):
        raise ModelError(
            f"{model.name} tells the logits of its {len(plan.letters)} letters only, not of {letters}; leave "
            "letters= out."
        )
    elif letters == len(model.vocabulary):
        columns = [model.vocabulary.index(letter) for letter in plan.sequence.residues]
        logits_of = model.vocabulary_logits
    else:
        raise UsageError(
            f"letters={letters!r} is neither {len(plan.letters)}, the letters of {model.name}, nor "
            f"{len(model.vocabulary)}, its whole vocabulary."
        )
    wide = np.zeros((len(masks), len(plan.model_residues)), dtype=bool)
    wide[:, plan.kept] = masks
    inputs = torch.stack([model.encode(plan.model_residues, Mask.from_array(row)) for row in wide])
    every = np.arange(plan.length)

    def run(part: slice) -> np.ndarray:
        logits = logits_of(inputs[part]).double().cpu().numpy()[:, plan.kept]
        if not np.isfinite(logits).all():
            raise ModelError(f"{plan.model} gives logits that are not finite.")
        return (log_softmax(logits)[:, every, columns] * masks[part]).sum(axis=1)

    return in_batches(
        run,
        len(inputs),
        model,
        length=len(plan.model_residues),
        batch_size=batch_size,
        description=f"Perplexity under masks, {plan.model}",
        progress=progress,
        stop=stop,
    )
