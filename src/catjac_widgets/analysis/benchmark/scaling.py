"""`scaling`: whether a model that finds a protein more probable also finds its contacts."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from catjac_widgets.analysis.benchmark.entries import find_entries
from catjac_widgets.analysis.benchmark.methods import METHODS
from catjac_widgets.analysis.benchmark.precision import precision_at_l
from catjac_widgets.analysis.likelihood.pseudo_perplexity import pseudo_perplexity
from catjac_widgets.analysis.sources import SOURCES, as_source
from catjac_widgets.analysis.statistics import CONFIDENCE, DRAWS, spearman, spearman_interval
from catjac_widgets.errors import Cancelled, CatjacError, UsageError
from catjac_widgets.progress import with_progress

#: What precision is compared with.
AGAINST = ("pseudo_perplexity", "neff")


def scaling(
    proteins: Any,
    models: Any = ("mini",),
    *,
    source: str = "jacobian",
    letters: int | None = None,
    separation: int = 6,
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = 0,
    progress: bool = True,
    stop: threading.Event | None = None,
) -> xr.Dataset:
    """Compare pseudo-perplexity, and the depth of the alignment, with precision at L, protein by protein.

    Parameters
    ----------
    proteins
        Proteins with structures, and perhaps alignments, as `evaluate` takes them.
    models
        Names, paths or models; or a mapping of what to call them to those.
    source
        "jacobian" or "contact_head": which map is scored.
    letters
        See `pseudo_perplexity`.
    separation
        Least |i − j| of the pairs that are scored.
    confidence, draws, seed
        Of the bootstrap over proteins.
    progress
        Show a bar.
    stop
        Set it from another thread to cancel.

    Returns
    -------
    xr.Dataset
        By (model, protein), models in the order of their size: pseudo_perplexity, precision_at_l and error
        (the sentence; "" without one). By protein: length and neff (effective number of sequences at 80 %
        identity, NaN without an alignment). By model: parameters. By (model, against): spearman, low and
        high, the rank correlation of precision with pseudo-perplexity and with Neff over proteins (NaN with
        fewer than three). Scalars: pooled_spearman, pooled_low, pooled_high over all points, all points of a
        protein being drawn together; and change_spearman, change_low, change_high, of the changes from each
        model to the next larger one.

    Raises
    ------
    UsageError
        Without a protein or a model, or for another source.
    ModelError
        If a model cannot be found or loaded.
    Cancelled
        If `stop` was set; Jacobians done are in the cache, and calling again continues.

    References
    ----------
    Lin Z. et al. (2023), Evolutionary-scale prediction of atomic-level protein structure with a language
    model, Science 379:1123, figures 1 and S1.
    """
    source = as_source(source)
    if source not in SOURCES:
        raise UsageError(f"source={source!r} is neither 'jacobian' nor 'contact_head'.")
    entries, _ = find_entries(proteins)
    named = _models(models)
    shape = (len(named), len(entries))
    perplexity, precision = np.full(shape, np.nan), np.full(shape, np.nan)
    errors = np.full(shape, "", dtype=object)
    neff = np.full(len(entries), np.nan)
    lengths = np.full(len(entries), np.nan)
    for k, entry in enumerate(entries):
        try:
            lengths[k] = len(entry.query)
            if entry.aligned is not None:
                neff[k] = entry.aligned.effective_number()
        except CatjacError as error:
            errors[:, k] = str(error)
    todo = [(m, k) for k in range(len(entries)) for m in range(len(named)) if not errors[m, k]]

    def title(pair: tuple[int, int]) -> str:
        return f"{entries[pair[1]].name}, {named[pair[0]][0]}"

    for m, k in with_progress(todo, title, unit="map", shown=progress):
        if stop is not None and stop.is_set():
            raise Cancelled("Stopped; Jacobians done are kept in the cache, and calling again continues.")
        entry, model = entries[k], named[m][1]
        try:
            precision[m, k] = precision_at_l(
                METHODS[source].make(entry, model), entry.truth, separation=separation
            )
            perplexity[m, k] = pseudo_perplexity(entry.query, model, letters=letters, progress=False)
        except CatjacError as error:
            errors[m, k] = " ".join(str(error).split())
            precision[m, k] = perplexity[m, k] = np.nan
    options: dict[str, Any] = {"confidence": confidence, "draws": draws, "seed": seed}
    by_model = _correlations(precision, perplexity, neff, options)
    groups = np.tile(np.arange(len(entries)), (len(named), 1))
    pooled = _with_interval(perplexity.ravel(), precision.ravel(), groups.ravel(), options)
    change = _with_interval(
        np.diff(np.log(perplexity), axis=0).ravel(),
        np.diff(precision, axis=0).ravel(),
        groups[1:].ravel(),
        options,
    )
    axes = ("model", "against")
    return xr.Dataset(
        {
            "pseudo_perplexity": (("model", "protein"), perplexity),
            "precision_at_l": (("model", "protein"), precision),
            "error": (("model", "protein"), errors.astype(str)),
            "length": ("protein", lengths),
            "neff": ("protein", neff),
            "parameters": ("model", [model.parameters for _, model in named]),
            **{name: (axes, by_model[..., k]) for k, name in enumerate(("spearman", "low", "high"))},
            **dict(zip(("pooled_spearman", "pooled_low", "pooled_high"), pooled, strict=True)),
            **dict(zip(("change_spearman", "change_low", "change_high"), change, strict=True)),
        },
        coords={
            "model": np.array([name for name, _ in named], dtype=str),
            "protein": np.array([entry.name for entry in entries], dtype=str),
            "against": list(AGAINST),
        },
        attrs={
            "source": METHODS[source].title,
            "separation": int(separation),
            "letters": int(letters or len(named[0][1].letters)),
            "bootstrap_over": "proteins",
            "confidence": float(confidence),
            "draws": int(draws),
            "seed": int(seed),
        },
    )


def _models(models: Any) -> list[tuple[str, Any]]:
    """Load the models, smallest first, each under a name of its own."""
    from catjac_widgets.language_models.registry import resolve_model

    if isinstance(models, Mapping):
        named = [(str(name), resolve_model(model)) for name, model in models.items()]
    else:
        single = isinstance(models, str | Path) or not isinstance(models, Iterable)
        loaded = [(each, resolve_model(each)) for each in ([models] if single else models)]
        named = [(Path(made.name).stem, made) for _, made in loaded]
    if not named:
        raise UsageError("There is no model; give at least one.")
    if len({name for name, _ in named}) < len(named):
        raise UsageError("Two models have the same name; give a mapping of names to models.")
    return sorted(named, key=lambda pair: pair[1].parameters)


def _correlations(
    precision: np.ndarray, perplexity: np.ndarray, neff: np.ndarray, options: dict[str, Any]
) -> np.ndarray:
    """Correlation and interval (models, 2, 3) of precision with perplexity and with Neff."""
    found = np.full((len(precision), len(AGAINST), 3), np.nan)
    for m in range(len(precision)):
        for a, values in enumerate((perplexity[m], neff)):
            found[m, a] = _with_interval(values, precision[m], None, options)
    return found


def _with_interval(
    x: np.ndarray, y: np.ndarray, groups: np.ndarray | None, options: dict[str, Any]
) -> tuple[float, float, float]:
    return spearman(x, y), *spearman_interval(x, y, groups, **options)
