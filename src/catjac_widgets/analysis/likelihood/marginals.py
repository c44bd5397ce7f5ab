"""How probable a model finds each residue: marginals, substitution scores, entropy, pseudo-perplexity."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from catjac_widgets.analysis import labels
from catjac_widgets.analysis.options import check_options
from catjac_widgets.analysis.probabilities import entropy, log_softmax
from catjac_widgets.engine.api import run_request
from catjac_widgets.engine.plans.request import JacobianRequest, make_request
from catjac_widgets.errors import UsageError
from catjac_widgets.language_models.registry import identify, resolve_model
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.sequences import Sequence

Method = Literal["masked", "wild_type", "approximate"]

#: The method of models that read from left to right, in the place of "masked" and "wild_type".
LEFT_TO_RIGHT = "left_to_right"

#: Options of the Jacobian that change what is computed, or how, without changing what it is read for.
PASSED_ON = ("linker", "unknown", "batch_size", "numerics", "cache", "lazy")


def marginals(
    sequence: Sequence | str | Path,
    model: Any = "mini",
    method: Method = "masked",
    *,
    positions: Iterable[int] | int | None = None,
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
        exact for a perfect model trained with 10 % kept and 10 % random residues. Of a model that reads from
        left to right, each residue is predicted from those before it whatever the method: one pass, and the
        method "left_to_right" in the attributes.
    positions
        1-based positions of the residues asked about, all by default. Each has the numbers that it has among
        all; with "masked" one pass a position is run.
    options
        Further options of `jacobian`: `linker`, `unknown`, `batch_size`, `numerics`, `cache`, `lazy`.

    Returns
    -------
    xr.Dataset
        By `pos`, in the order asked (and `aa`, in the model's order, normalised over these letters):
        log_probability; score, the log-odds against the wild-type letter (both NaN of letters of another
        alphabet than the residue's); and by residue entropy (nats),
        effective_letters (e^entropy) and conservation (ln A − entropy).

    Raises
    ------
    UsageError
        For a method or an option that does not exist; otherwise as `jacobian`.
    """
    check_method(method)
    check_options("marginals", options, ("method", "positions", "mask", "progress", *PASSED_ON))
    request = likelihood_request(sequence, model, {"positions": positions, "mask": mask, **options})
    return marginals_of(request, method, progress=progress)


def likelihood_request(
    sequence: Sequence | str | Path, model: Any, options: dict[str, Any]
) -> JacobianRequest:
    """Ask for the Jacobian that likelihoods are read from: the fast one, where residues can be hidden."""
    resolved = model if isinstance(model, str | Path) else resolve_model(model)
    known = identify(resolved)
    variant = "fast" if known.has_mask_token and not known.causal else "full"
    return make_request(sequence, resolved, variant=variant, identity=known, **options)


def check_method(method: Any) -> None:
    """Refuse a method that does not exist."""
    if method not in get_args(Method):
        raise UsageError(f"method={method!r} is none of {', '.join(map(repr, get_args(Method)))}.")


def marginals_of(request: JacobianRequest, method: Method, *, progress: bool = True) -> xr.Dataset:
    """Compute the marginals of the positions of a request for a fast Jacobian; see `marginals`."""
    plan = request.plan
    _check_applies(request, method)
    masked = method == "masked" and bool(plan.wanted) and not plan.causal
    if masked:
        J = run_request(request, progress=progress)
    else:
        # Without a row there is nothing to mask: one position is computed only because a Jacobian has at
        # least one; the last one, behind which a model that reads from left to right has nothing to run.
        J = run_request(dataclasses.replace(request, positions=(plan.runnable[-1] + 1,)), progress=progress)
    baseline = J["wild_type_logits"].transpose("pos_out", "aa_out").values.astype(np.float64)
    asked = np.array(request.positions) - 1
    logits = baseline[asked]
    if masked:
        logits += _effects_of_masking(J, asked)
    letters = labels.letters(J, "aa_out")
    wild_type = np.array([letters.index(str(letter)) for letter in J["wild_type_out"].values[asked]])
    log_p = log_softmax(logits)
    known = labels.alphabets(J)
    allowed = np.ones(log_p.shape, dtype=bool) if known is None else known.allowed_out[asked]
    if method == "approximate":
        shown = ~plan.mask.array[asked]
        _without_bias(log_p, wild_type, shown, allowed)
    every = np.arange(len(wild_type))
    coords = labels.map_coordinates(J, [""], index=asked)
    coords["aa"] = ("aa", np.array(letters, dtype=str))
    H = entropy(log_p)
    log_p = np.where(allowed, log_p, np.nan)
    how = LEFT_TO_RIGHT if plan.causal else method
    return xr.Dataset(
        {
            "log_probability": (("pos", "aa"), log_p),
            "score": (("pos", "aa"), log_p - log_p[every, wild_type][:, None]),
            "entropy": ("pos", H, {"units": "nats"}),
            "effective_letters": ("pos", np.exp(H)),
            "conservation": ("pos", np.log(allowed.sum(axis=1)) - H, {"units": "nats"}),
        },
        coords=coords,
        attrs={**labels.provenance(J), "kind": f"marginals, {how.replace('_', ' ')}", "method": how},
    )


def _without_bias(log_p: np.ndarray, wild_type: np.ndarray, shown: np.ndarray, allowed: np.ndarray) -> None:
    """Correct the rows that are shown, those of each alphabet over its own letters; in place."""
    for letters in np.unique(allowed, axis=0):
        rows = shown & (allowed == letters).all(axis=1)
        if rows.any():
            part = np.ix_(rows, letters)
            log_p[part] = without_kept_bias(log_p[part], (np.cumsum(letters) - 1)[wild_type[rows]])


def _check_applies(request: JacobianRequest, method: Method) -> None:
    """Refuse a method that this model cannot be asked by."""
    known = request.identity
    if known.causal and method == "approximate":
        raise UsageError(
            f"method='approximate' is derived for models of masked residues, and {known.name} reads from "
            "left to right; leave method= out."
        )
    if method == "masked" and not known.causal and not known.has_mask_token:
        raise UsageError(
            f"{known.name} has no mask token, so that no residue can be hidden from it; use "
            "method='wild_type'."
        )


def substitution_scores(
    sequence: Sequence | str | Path,
    model: Any = "mini",
    method: Method = "masked",
    *,
    positions: Iterable[int] | int | None = None,
    mask: Mask | np.ndarray | Iterable[bool] | None = None,
    progress: bool = True,
    **options: Any,
) -> xr.DataArray:
    """Score every substitution of one residue, as a deep mutational scan would: log p(a) − log p(wild type).

    Parameters
    ----------
    sequence, model, method, positions, mask, progress, options
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
    check_options("substitution_scores", options, ("method", "positions", "mask", "progress", *PASSED_ON))
    table = marginals(sequence, model, method, positions=positions, mask=mask, progress=progress, **options)
    scores = table["score"].rename("substitution_score")
    kind = f"substitution scores, {method.replace('_', ' ')} marginals"
    return scores.assign_attrs({**table.attrs, "kind": kind, "units": "nats"})


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


def _effects_of_masking(J: xr.DataArray, asked: np.ndarray) -> np.ndarray:
    """Find what masking a residue does to its own logits, J_f[i, 0, i]; 0 if it is hidden already."""
    effects = np.zeros((len(asked), J.sizes["aa_out"]))
    for k in np.flatnonzero(labels.rows_present(J)):
        effects[k] = J.isel(pos_in=k, aa_in=0, pos_out=asked[k]).values
    return effects
