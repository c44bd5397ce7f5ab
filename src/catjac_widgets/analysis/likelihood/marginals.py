"""How probable a model finds each residue: marginals, substitution scores, entropy, pseudo-perplexity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from catjac_widgets.analysis import labels
from catjac_widgets.analysis.probabilities import entropy, log_softmax
from catjac_widgets.engine.api import jacobian
from catjac_widgets.errors import UsageError
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.sequences import Sequence

Method = Literal["masked", "wild_type", "approximate"]

#: Options of `jacobian` that make sense where all residues are asked for.
OPTIONS = ("linker", "unknown", "batch_size", "numerics", "cache")


def marginals(
    sequence: Sequence | str | Path,
    model: Any = "mini",
    method: Method = "masked",
    *,
    mask: Mask | np.ndarray | Iterable[bool] | None = None,
    progress: bool = True,
    **options: Any,
) -> xr.Dataset:
    """Compute the probability of every letter at every residue, given the others.

    Parameters
    ----------
    sequence, model, mask, progress
        As for `jacobian`, whose fast variant this reads: nothing runs twice. Under a mask, hidden residues
        are predicted from the visible ones whatever the method.
    method
        "masked": each residue is masked in turn (L passes). "wild_type": nothing is masked (one pass); biased
        towards the wild type, because a tenth of the training targets was left visible. "approximate": the
        latter with that bias taken out, p(w) = q(w) / (21 − 20 q(w)) and p(b) = q(b) (1 + 20 p(w)), which is
        exact for a perfect model trained with 10 % kept and 10 % random residues.
    options
        Further options of `jacobian`: `linker`, `unknown`, `batch_size`, `numerics`, `cache`.

    Returns
    -------
    xr.Dataset
        By `pos` (and `aa`, in the model's order, normalised over these letters): log_probability; score, the
        log-odds against the wild-type letter; and by residue entropy (nats), effective_letters (e^entropy)
        and conservation (ln A − entropy).

    Raises
    ------
    UsageError
        For a method or an option that does not exist; otherwise as `jacobian`.
    """
    check_method(method)
    check_options("marginals", options)
    # Without a row there is nothing to mask: one position is computed only because a Jacobian has at least
    # one.
    some: dict[str, Any] = {} if method == "masked" else {"positions": [_first_visible(mask)]}
    J = jacobian(sequence, model, variant="fast", mask=mask, progress=progress, **some, **options)
    baseline = J["wild_type_logits"].transpose("pos_out", "aa_out").values.astype(np.float64)
    logits = _masked_logits(J, baseline) if method == "masked" else baseline
    letters = labels.letters(J, "aa_out")
    wild_type = np.array([letters.index(str(letter)) for letter in J["wild_type_out"].values])
    log_p = log_softmax(logits)
    hidden = np.ones(len(wild_type), dtype=bool)
    hidden[[position - 1 for position in labels.visible_positions(J) or ()]] = False
    if method == "approximate":
        log_p[~hidden] = without_kept_bias(log_p[~hidden], wild_type[~hidden])
    every = np.arange(len(wild_type))
    coords = labels.map_coordinates(J, [""])
    coords["aa"] = ("aa", np.array(letters, dtype=str))
    H = entropy(log_p)
    return xr.Dataset(
        {
            "log_probability": (("pos", "aa"), log_p),
            "score": (("pos", "aa"), log_p - log_p[every, wild_type][:, None]),
            "entropy": ("pos", H, {"units": "nats"}),
            "effective_letters": ("pos", np.exp(H)),
            "conservation": ("pos", np.log(len(letters)) - H, {"units": "nats"}),
        },
        coords=coords,
        attrs={**labels.provenance(J), "kind": f"marginals, {method.replace('_', ' ')}", "method": method},
    )


def substitution_scores(
    sequence: Sequence | str | Path,
    model: Any = "mini",
    method: Method = "masked",
    *,
    mask: Mask | np.ndarray | Iterable[bool] | None = None,
    progress: bool = True,
    **options: Any,
) -> xr.DataArray:
    """Score every substitution of one residue, as a deep mutational scan would: log p(a) − log p(wild type).

    Parameters
    ----------
    sequence, model, method, mask, progress, options
        See `marginals`.

    Returns
    -------
    xr.DataArray
        "substitution_score", float64, dims (pos, aa), letters in the model's order, in nats; 0 at the wild
        type, negative where the model finds the substitution worse. The normaliser cancels, so that it does
        not matter over how many letters the probabilities are. `plots.substitutions.plot_substitutions` draws
        it.

    Raises
    ------
    CatjacError
        See `marginals`.

    References
    ----------
    Meier J. et al. (2021), Language models enable zero-shot prediction of the effects of mutations on protein
    function, NeurIPS (wild-type and masked marginals).
    """
    check_method(method)
    check_options("substitution_scores", options)
    table = marginals(sequence, model, method, mask=mask, progress=progress, **options)
    scores = table["score"].rename("substitution_score")
    kind = f"substitution scores, {method.replace('_', ' ')} marginals"
    return scores.assign_attrs({**table.attrs, "kind": kind, "units": "nats"})


def check_method(method: Any) -> None:
    """Refuse a method that does not exist.

    Raises
    ------
    UsageError
        With those that do.
    """
    if method not in get_args(Method):
        raise UsageError(f"method={method!r} is none of {', '.join(map(repr, get_args(Method)))}.")


def check_options(function: str, options: Mapping[str, Any], allowed: Iterable[str] = OPTIONS) -> None:
    """Refuse options that a function of all residues does not have.

    Parameters
    ----------
    function
        Its name, for the sentence.
    options
        What was given.
    allowed
        What there is.

    Raises
    ------
    UsageError
        Naming the first of the others.
    """
    allowed = tuple(allowed)
    stray = next((name for name in options if name not in allowed), None)
    if stray == "positions":
        raise UsageError(
            f"{function} is of all residues; leave out positions= and select from what it gives."
        )
    if stray is not None:
        known = ", ".join(f"{name}=" for name in allowed)
        raise UsageError(f"{function} has no option {stray}=; leave it out (beside its own it has {known}).")


def without_kept_bias(log_q: np.ndarray, wild_type: np.ndarray) -> np.ndarray:
    """Turn unmasked log-probabilities (L, A) into masked ones: 10 % of targets kept, 10 % random.

    Derived by Bayes' rule for a perfect model over A letters; approximate for a real one.

    Parameters
    ----------
    wild_type
        Int array (L,), the column of the wild-type letter.
    """
    rows, letters = np.arange(len(log_q)), log_q.shape[1]
    q = np.exp(log_q[rows, wild_type])
    log_p_wild_type = log_q[rows, wild_type] - np.log(letters + 1 - letters * q)
    corrected = log_q + np.log1p(letters * np.exp(log_p_wild_type))[:, None]
    corrected[rows, wild_type] = log_p_wild_type
    return corrected


def _masked_logits(J: xr.DataArray, baseline: np.ndarray) -> np.ndarray:
    """Logits of each residue while it is masked: J_f[i, 0, i] + z[i]; of hidden residues, the baseline's."""
    logits = baseline.copy()
    for k in np.flatnonzero(labels.rows_present(J)):
        logits[k] += J.isel(pos_in=k, aa_in=0, pos_out=k).values
    return logits


def _first_visible(mask: Any) -> int:
    masked = np.asarray(mask.array if isinstance(mask, Mask) else mask if mask is not None else [False])
    return int(np.argmin(masked)) + 1
