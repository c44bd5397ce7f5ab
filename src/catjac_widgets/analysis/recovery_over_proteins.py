"""Recovery curves over many proteins: per cent recovered against flank length, with its uncertainty."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from catjac_widgets.analysis.recovery import recovery_scan
from catjac_widgets.analysis.recovery_measures import RECOVERED
from catjac_widgets.analysis.recovery_patterns import PUBLISHED_PATTERNS
from catjac_widgets.errors import UsageError

#: Draws of the bootstrap over proteins.
DRAWS = 1000


def recovery_curves(
    proteins: Iterable[Any] | Mapping[str, Any],
    model: Any = "mini",
    *,
    protocol: Any = "segment",
    pattern: str | Iterable[str] = PUBLISHED_PATTERNS,
    threshold: float = RECOVERED,
    confidence: float = 0.95,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> xr.Dataset:
    """Run `recovery_scan` over many proteins and count, at each flank length, how many segments recovered.

    Parameters
    ----------
    proteins
        Sequences, or a mapping of names to sequences; entries of `catjac.examples()` too, whose structures
        then give the secondary structure that pairs need.
    threshold
        Recovered means R > `threshold`. It was set for contact-head probabilities: with source="jacobian"
        give one that was calibrated.
    confidence
        Of the band, by a bootstrap over proteins (segments of one protein are no independent draws).
    seed
        Of the random patterns, the picks (each protein adds its place in the list) and the bootstrap.
    progress
        Show a bar over proteins.
    model, protocol, pattern, options
        See `recovery_scan`.

    Returns
    -------
    xr.Dataset
        By (pattern, step): percent, recovered segments among those for which that step exists; low and high,
        the band in per cent (NaN with fewer than two proteins); segments and proteins, the numbers behind
        each point (percent is NaN where they are 0). By (pattern, segment, step): R; by segment: protein and
        fragment. ``curves[["percent", "low", "high", "segments", "proteins"]].to_dataframe()`` is the table.

    Raises
    ------
    UsageError
        Without proteins, or for a confidence that is not between 0 and 1.
    CatjacError
        As `recovery_scan`; the protein is named.
    """
    named = _named(proteins)
    if not named:
        raise UsageError("There is no protein; give at least one sequence.")
    if not 0 < confidence < 1:
        raise UsageError(f"confidence={confidence!r} is not between 0 and 1; give for instance 0.95.")
    found: list[xr.Dataset] = []
    owners: list[str] = []
    for place, (name, protein) in enumerate(_with_bar(list(named.items()), progress)):
        own = dict(options)
        if hasattr(protein, "structure") and hasattr(protein, "sequence"):
            if (protocol if isinstance(protocol, str) else protocol.name) == "pair":
                own.setdefault("secondary_structure", protein.structure)
            protein = protein.sequence
        scan = recovery_scan(
            protein,
            model,
            protocol=protocol,
            pattern=pattern,
            threshold=threshold,
            seed=seed + place,
            progress=False,
            **own,
        )
        found.append(scan.drop_dims("pos"))
        owners += [name] * scan.sizes["fragment"]
    together = _concatenated(found)
    R = together["R"]
    codes = {name: code for code, name in enumerate(dict.fromkeys(owners))}
    band = _band(
        R.values, np.array([codes[owner] for owner in owners], dtype=int), threshold, confidence, seed
    )
    axes = ("pattern", "step")
    variables: dict[Hashable, Any] = {
        "percent": (axes, band["percent"], {"units": "%", "long_name": "segments recovered"}),
        "low": (axes, band["low"], {"units": "%"}),
        "high": (axes, band["high"], {"units": "%"}),
        "segments": (axes, band["segments"]),
        "proteins": (axes, band["proteins"]),
        "R": (("pattern", "segment", "step"), R.values),
    }
    for name in ("R_control", "cosine"):
        if name in together:
            variables[name] = (("pattern", "segment", "step"), together[name].values)
    shared = {key: found[0].attrs[key] for key in found[0].attrs if not str(key).startswith("sequence")}
    return xr.Dataset(
        variables,
        coords={
            "pattern": R["pattern"].values,
            "step": R["step"].values,
            "protein": ("segment", np.array(owners, dtype=str)),
            "fragment": ("segment", np.array([str(each) for each in R["fragment"].values], dtype=str)),
        },
        attrs={
            **shared,
            "threshold": float(threshold),
            "confidence": float(confidence),
            "seed": int(seed),
            "proteins_given": len(named),
            "draws": DRAWS,
        },
    )


def _named(proteins: Any) -> dict[str, Any]:
    if isinstance(proteins, Mapping):
        return {str(name): protein for name, protein in proteins.items()}
    if isinstance(proteins, str):
        raise UsageError("recovery_curves is over many proteins; give a list of sequences.")
    made: dict[str, Any] = {}
    for place, protein in enumerate(proteins, start=1):
        name = str(getattr(protein, "name", "") or f"protein {place}")
        made[name if name not in made else f"{name} ({place})"] = protein
    return made


def _with_bar(items: list[tuple[str, Any]], progress: bool) -> Iterable[tuple[str, Any]]:
    if not progress or len(items) < 2:
        return items
    from tqdm.auto import tqdm

    return tqdm(items, desc="Recovery", unit="protein", file=sys.stderr, dynamic_ncols=True)


def _concatenated(found: list[xr.Dataset]) -> xr.Dataset:
    """Lay all proteins' curves over the same steps; NaN where a curve has ended."""
    steps = np.unique(np.concatenate([each["step"].values for each in found])).astype(int)
    parts = [each.reindex(step=steps) for each in found]
    return xr.concat(
        parts, dim="fragment", combine_attrs="drop", data_vars="all", coords="minimal", compat="override"
    )


def _band(
    R: np.ndarray, owner: np.ndarray, threshold: float, confidence: float, seed: int
) -> dict[str, np.ndarray]:
    """Percentages (patterns, steps) with a percentile bootstrap over proteins."""
    exists = np.isfinite(R)
    recovered = exists & (np.nan_to_num(R, nan=-np.inf) > threshold)
    count = int(owner.max()) + 1 if len(owner) else 0
    # Sums a protein: (patterns, proteins, steps).
    per = np.zeros((2, R.shape[0], count, R.shape[2]))
    for k, code in enumerate(owner):
        per[0, :, code] += recovered[:, k]
        per[1, :, code] += exists[:, k]
    proteins = (per[1] > 0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        percent = 100 * per[0].sum(axis=1) / per[1].sum(axis=1)
    low, high = np.full_like(percent, np.nan), np.full_like(percent, np.nan)
    if count > 1:
        weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=DRAWS)
        hits, total = np.tensordot(weights, per[0], (1, 1)), np.tensordot(weights, per[1], (1, 1))
        with np.errstate(invalid="ignore"):
            drawn = 100 * hits / total
        enough = proteins > 1
        tail = (1 - confidence) / 2
        # A draw may miss all proteins behind a point; it says nothing of that point.
        low[enough] = np.nanquantile(drawn[:, enough], tail, axis=0)
        high[enough] = np.nanquantile(drawn[:, enough], 1 - tail, axis=0)
    return {
        "percent": percent,
        "low": low,
        "high": high,
        "segments": per[1].sum(axis=1).astype(int),
        "proteins": proteins,
    }
