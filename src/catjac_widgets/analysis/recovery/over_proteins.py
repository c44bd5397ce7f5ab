"""Recovery curves over many proteins: per cent recovered against flank length, with its uncertainty."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from catjac_widgets.analysis.recovery.bands import BANDS, bootstrap, wilson
from catjac_widgets.analysis.recovery.measures import RECOVERED
from catjac_widgets.analysis.recovery.one_protein import check_constants, check_source, recovery_scan
from catjac_widgets.analysis.recovery.patterns import AVOIDED, PUBLISHED_PATTERNS, check_patterns
from catjac_widgets.analysis.recovery.protocols import protocol as make_protocol
from catjac_widgets.analysis.statistics import DRAWS
from catjac_widgets.errors import CatjacError, UsageError
from catjac_widgets.progress import with_progress
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Sequence

if TYPE_CHECKING:
    from pandas import DataFrame


def recovery_curves(
    proteins: Iterable[Any] | Mapping[str, Any],
    model: Any = "mini",
    *,
    protocol: Any = "segment",
    pattern: str | Iterable[str] = PUBLISHED_PATTERNS,
    source: str = "contact_head",
    threshold: float | None = None,
    confidence: float = 0.95,
    band: str = "bootstrap",
    seed: int = 0,
    fragments: Mapping[str, Iterable[Any]] | None = None,
    contacts: Mapping[str, Any] | None = None,
    secondary_structure: Mapping[str, Any] | None = None,
    steps: int | Iterable[int] | None = None,
    avoided: int = AVOIDED,
    variant: str = "full",
    control: bool = True,
    unknown: Mapping[str, str] | None = None,
    cache: bool = True,
    progress: bool = True,
    stop: threading.Event | None = None,
    **constants: Any,
) -> xr.Dataset:
    """Run `recovery_scan` over many proteins and count, at each flank length, how many segments recovered.

    Parameters
    ----------
    proteins
        Sequences, or a mapping of names to sequences; entries of `catjac.examples()` too, whose structures
        then give the secondary structure that pairs need.
    threshold
        Recovered means R > `threshold`; 0.5 as published for source="contact_head". It was set for
        probabilities: with source="jacobian" nothing is counted unless a threshold is given.
    confidence
        Of the bands.
    band
        "bootstrap" over proteins (segments of one protein are no independent draws), or "wilson": the score
        interval of a share, as if all segments were independent. The mean of R has the former in any case.
    seed
        Of the random patterns, the picks (each protein adds its place in the list) and the bootstrap.
    fragments, contacts, secondary_structure
        As in `recovery_scan`, by the protein's name.
    progress
        Show a bar over proteins, with an estimate of what is left.
    stop
        An event that cancels when it is set; maps that are done are kept in the cache, and calling again
        continues.
    model, protocol, pattern, source, steps, avoided, variant, control, unknown, cache, constants
        See `recovery_scan`.

    Returns
    -------
    xr.Dataset
        By (pattern, step): mean, mean_low, mean_high, the mean of R with its band; with a threshold percent,
        low, high, recovered segments among those for which that step exists, in per cent; segments and
        proteins, the numbers behind each point (where they are 0 the others are NaN, and bands with fewer
        than two proteins). By (pattern, segment, step): R, cosine, visible, and R_control for the Jacobian;
        by segment: protein and fragment; by name: sequence. `attrs` hold what runs it again
        (`rerun_recovery`).

    Raises
    ------
    UsageError
        Without proteins, for a confidence that is not between 0 and 1, or a name that is no protein's.
    CatjacError
        As `recovery_scan`; the protein is named. All sequences are read before anything runs.

    References
    ----------
    Zhang Z. et al. (2024), Protein language models learn evolutionary statistics of interacting sequence
    motifs, PNAS 121:e2406285121, figures 2 and 3.
    """
    if not 0 < confidence < 1:
        raise UsageError(f"confidence={confidence!r} is not between 0 and 1; give for instance 0.95.")
    if band not in BANDS:
        raise UsageError(f"band={band!r} is neither 'bootstrap' nor 'wilson'.")
    patterns = check_patterns(pattern)
    check_constants(recovery_curves, protocol, fragments, constants)
    rules = make_protocol(protocol, **constants)
    listed = steps if steps is None or isinstance(steps, int) else list(steps)
    named = _named(proteins)
    own: dict[str, Mapping[str, Any] | None] = {
        "fragments": fragments,
        "contacts": contacts,
        "secondary_structure": secondary_structure,
    }
    for option, each in own.items():
        stray = sorted(set(each or ()) - set(named))
        if stray:
            raise UsageError(f"{option}= names {stray[0]!r}, which is none of the proteins.")
    if threshold is None and source == "contact_head":
        threshold = RECOVERED
    letters = check_source(source, model).letters
    parsed = {name: _read(name, protein, letters, unknown) for name, protein in named.items()}
    found: list[xr.Dataset] = []
    owners: list[str] = []
    for place, (name, sequence) in enumerate(
        with_progress(parsed.items(), "Recovery", unit="protein", shown=progress)
    ):
        given: dict[str, Any] = {
            option: value[name] for option, value in own.items() if value and name in value
        }
        if fragments is not None:
            given.setdefault("fragments", [])
        elif rules.name == "pair" and hasattr(named[name], "structure"):
            given.setdefault("secondary_structure", named[name].structure)
        try:
            scan = recovery_scan(
                sequence,
                model,
                protocol=rules,
                pattern=patterns,
                source=source,
                threshold=RECOVERED if threshold is None else threshold,
                steps=listed,
                seed=seed + place,
                avoided=avoided,
                variant=variant,
                control=control,
                cache=cache,
                progress=False,
                stop=stop,
                **given,
            )
        except CatjacError as error:
            raise type(error)(f"{name}: {error}") from error
        found.append(scan.drop_dims("pos"))
        owners += [name] * scan.sizes["fragment"]
    return _summed(found, owners, parsed, threshold, confidence, band, seed)


def recovery_table(curves: xr.Dataset) -> DataFrame:
    """Give recovery curves as a table: a row a pattern and flank length.

    Returns
    -------
    pandas.DataFrame
        pattern; flank, residues a side; percent, low, high, if something was counted; mean, mean_low and
        mean_high of R; segments and proteins behind the row. ``.to_csv(path, index=False)`` keeps it.

    Raises
    ------
    UsageError
        For anything but a result of `recovery_curves`.
    """
    check_curves(curves)
    columns = [
        name
        for name in ("percent", "low", "high", "mean", "mean_low", "mean_high", "segments", "proteins")
        if name in curves
    ]
    table = curves[columns].to_dataframe(dim_order=["pattern", "step"]).reset_index()
    return table.rename(columns={"step": "flank"})[["pattern", "flank", *columns]]


def recovery_advantage(
    curves: xr.Dataset, pattern: str = "flanking", over: str = "random", *, seed: int = 0
) -> xr.Dataset:
    """Compare two patterns on the same segments at the same flank lengths.

    Only segments and steps that both patterns have count, without flank 0, where both show the same. Bands
    are by a bootstrap over proteins, at the confidence of the curves.

    Returns
    -------
    xr.Dataset
        By step: mean, mean_low, mean_high, the mean of R(`pattern`) − R(`over`); with a threshold percent,
        low, high, the difference of the shares recovered in percentage points; segments and proteins. The
        same as overall_…, without dimension: each segment's mean over its steps, averaged over segments.

    Raises
    ------
    UsageError
        For anything but a result of `recovery_curves`, or a pattern that it does not hold.
    """
    check_curves(curves)
    for name in (pattern, over):
        if name not in curves["pattern"].values:
            held = ", ".join(map(str, curves["pattern"].values))
            raise UsageError(f"The curves hold no pattern {name!r}; they hold {held}.")
    curves = curves.sel(step=curves["step"] > 0)
    one, other = curves["R"].sel(pattern=pattern).values, curves["R"].sel(pattern=over).values
    both = np.isfinite(one) & np.isfinite(other)
    differences = {"mean": np.where(both, one - other, np.nan)}
    if "threshold" in curves.attrs:
        limit = curves.attrs["threshold"]
        points = 100.0 * ((one > limit).astype(float) - (other > limit))
        differences["percent"] = np.where(both, points, np.nan)
    owner = _codes([str(name) for name in curves["protein"].values])
    confidence = float(curves.attrs["confidence"])
    variables: dict[Hashable, Any] = {}
    for name, values in differences.items():
        with_steps = bootstrap(values, owner, confidence, seed)
        counts = both.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            each = np.nansum(values, axis=1, keepdims=True) / counts
        alone = bootstrap(each, owner, confidence, seed)
        low, high = ("low", "high") if name == "percent" else ("mean_low", "mean_high")
        for label, part in ((name, "value"), (low, "low"), (high, "high")):
            variables[label] = ("step", with_steps[part])
            variables[f"overall_{label}"] = ((), alone[part][0])
        for label in ("segments", "proteins"):
            variables[label] = ("step", with_steps[label])
            variables[f"overall_{label}"] = ((), alone[label][0])
    return xr.Dataset(
        variables,
        coords={"step": curves["step"].values},
        attrs={"pattern": pattern, "over": over, "confidence": confidence, "band": "bootstrap over proteins"},
    )


def check_curves(curves: Any) -> None:
    """Refuse what is no result of `recovery_curves`."""
    if not isinstance(curves, xr.Dataset) or not {"mean", "segments", "proteins"} <= set(curves):
        raise UsageError("That is no result of catjac.masking.curves; pass the Dataset that it returned.")


def _summed(
    found: list[xr.Dataset],
    owners: list[str],
    parsed: dict[str, Sequence],
    threshold: float | None,
    confidence: float,
    band: str,
    seed: int,
) -> xr.Dataset:
    together = _concatenated(found)
    R = together["R"].values
    owner = _codes(owners)
    means = [bootstrap(values, owner, confidence, seed) for values in R]
    axes = ("pattern", "step")

    def stacked(parts: list[dict[str, np.ndarray]], name: str) -> np.ndarray:
        return np.stack([part[name] for part in parts])

    variables: dict[Hashable, Any] = {}
    if threshold is not None:
        shares = np.where(np.isfinite(R), 100.0 * (np.nan_to_num(R, nan=-np.inf) > threshold), np.nan)
        percents = [
            wilson(values, owner, confidence)
            if band == "wilson"
            else bootstrap(values, owner, confidence, seed)
            for values in shares
        ]
        variables["percent"] = (
            axes, stacked(percents, "value"), {"units": "%", "long_name": "segments recovered"},
        )  # fmt: skip
        variables["low"] = (axes, stacked(percents, "low"), {"units": "%"})
        variables["high"] = (axes, stacked(percents, "high"), {"units": "%"})
    variables["mean"] = (axes, stacked(means, "value"), {"units": "1", "long_name": "mean of R"})
    variables["mean_low"] = (axes, stacked(means, "low"), {"units": "1"})
    variables["mean_high"] = (axes, stacked(means, "high"), {"units": "1"})
    variables["segments"] = (axes, stacked(means, "segments"))
    variables["proteins"] = (axes, stacked(means, "proteins"))
    for name in ("R", "R_control", "cosine"):
        if name in together:
            variables[name] = (("pattern", "segment", "step"), together[name].values)
    shown = np.nan_to_num(together["visible"].values).astype(int)
    variables["visible"] = (("pattern", "segment", "step"), shown)
    variables["sequence"] = ("name", np.array([str(sequence) for sequence in parsed.values()], dtype=str))
    alike = [
        key
        for key in found[0].attrs
        if not str(key).startswith(("sequence", "secondary_structure")) and key != "threshold"
    ]
    attrs = {key: found[0].attrs[key] for key in alike}
    if threshold is not None:
        attrs["threshold"] = float(threshold)
    return xr.Dataset(
        variables,
        coords={
            "pattern": together["pattern"].values,
            "step": together["step"].values,
            "protein": ("segment", np.array(owners, dtype=str)),
            "fragment": ("segment", np.array([str(each) for each in together["fragment"].values], dtype=str)),
            "name": np.array(list(parsed), dtype=str),
        },
        attrs={
            **attrs,
            "confidence": float(confidence),
            "band": band,
            "seed": int(seed),
            "proteins_given": len(parsed),
            "draws": DRAWS,
        },
    )


def _named(proteins: Any) -> dict[str, Any]:
    if isinstance(proteins, str | Sequence):
        raise UsageError("recovery_curves is over many proteins; give a list of sequences.")
    if isinstance(proteins, Mapping):
        made = {str(name): protein for name, protein in proteins.items()}
    else:
        made = {}
        for place, protein in enumerate(proteins, start=1):
            name = str(getattr(protein, "name", "") or f"protein {place}")
            made[name if name not in made else f"{name} ({place})"] = protein
    if not made:
        raise UsageError("There is no protein; give at least one sequence.")
    return made


def _read(name: str, protein: Any, letters: str, unknown: Mapping[str, str] | None) -> Sequence:
    try:
        return as_sequence(protein, letters=letters, unknown=unknown)
    except CatjacError as error:
        raise type(error)(f"{name}: {error}") from error


def _concatenated(found: list[xr.Dataset]) -> xr.Dataset:
    """Lay all proteins' curves over the same steps; NaN where a curve has ended."""
    steps = np.unique(np.concatenate([each["step"].values for each in found])).astype(int)
    parts = [each.reindex(step=steps) for each in found]
    return xr.concat(
        parts, dim="fragment", combine_attrs="drop", data_vars="all", coords="minimal", compat="override"
    )


def _codes(owners: list[str]) -> np.ndarray:
    codes = {name: code for code, name in enumerate(dict.fromkeys(owners))}
    return np.array([codes[owner] for owner in owners], dtype=int)
