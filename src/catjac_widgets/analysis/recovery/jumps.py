"""Jumps and minimum segments of whole results, as the authors' notebooks 14 and 15 count them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr

from catjac_widgets.analysis.recovery.measures import RECOVERED, find_jump, minimum_segment
from catjac_widgets.analysis.recovery.patterns import target_of
from catjac_widgets.errors import UsageError

_SIDES = ("flanking", "flanking_first", "flanking_last")


def recovery_jumps(found: xr.Dataset, *, threshold: float | None = None, **constants: Any) -> xr.Dataset:
    """Find where each curve jumps, and whether it stays up.

    Parameters
    ----------
    found
        What `recovery`, `recovery_scan` or `recovery_curves` returned, at the flank lengths 0, 1, 2, ….
    threshold
        A curve that never exceeds it is low; by default the result's own (0.5 as published). A result of the
        Jacobian has none, so one must be given.
    constants
        rise, window, exceptions, drop; see `analysis.recovery_measures.find_jump`.

    Returns
    -------
    xr.Dataset
        By (pattern, fragment), or (pattern, segment): low, started_high, bool; first and stable, the flank
        length of the first jump and of the first stable one, float64, NaN without one; visible, the residues
        shown at the stable jump. By pattern, the counts of the authors' notebook 14: cases (curves with a
        value), low_cases, reached (the others), jumped (of these), stable_cases, not_stable, and
        started_high_cases.

    Raises
    ------
    UsageError
        If the flank lengths are not 0, 1, 2, … (a jump is a rise in one step), or there is no threshold.
    """
    limit = _threshold(found, threshold)
    axis = _checked(found)
    R = found["R"].transpose("pattern", axis, "step").values
    jumps = [[find_jump(curve, threshold=limit, **constants) for curve in curves] for curves in R]
    shape = R.shape[:2]

    def filled(name: str, kind: Any) -> np.ndarray:
        values = [getattr(jump, name) for row in jumps for jump in row]
        return np.array([np.nan if value is None else value for value in values], dtype=kind).reshape(shape)

    low, started = filled("low", bool), filled("started_high", bool)
    first, stable = filled("first", float), filled("stable", float)
    cases = np.isfinite(R[..., 0]) if R.shape[2] else np.zeros(shape, dtype=bool)
    reached = cases & ~low
    shown = found["visible"].transpose("pattern", axis, "step").values
    at = np.nan_to_num(stable).astype(int)[..., None]
    visible = np.where(np.isnan(stable), np.nan, np.take_along_axis(shown, at, axis=2)[..., 0])
    axes, counted = ("pattern", axis), ("pattern",)
    variables: dict[Hashable, Any] = {
        "low": (axes, low),
        "started_high": (axes, started),
        "first": (axes, first, {"units": "residues", "long_name": "flank at the first jump"}),
        "stable": (axes, stable, {"units": "residues", "long_name": "flank at the first stable jump"}),
        "visible": (axes, visible, {"units": "residues", "long_name": "visible at the stable jump"}),
        "cases": (counted, cases.sum(axis=1)),
        "low_cases": (counted, (cases & low).sum(axis=1)),
        "reached": (counted, reached.sum(axis=1)),
        "jumped": (counted, (reached & ~np.isnan(first)).sum(axis=1)),
        "stable_cases": (counted, (reached & ~np.isnan(stable)).sum(axis=1)),
        "not_stable": (counted, (reached & np.isnan(stable)).sum(axis=1)),
        "started_high_cases": (counted, (reached & started).sum(axis=1)),
    }
    return xr.Dataset(
        variables,
        coords={name: found[name] for name in ("pattern", "fragment", "protein") if name in found.coords},
        attrs={"threshold": float(limit), **constants},
    )


def minimum_segments(found: xr.Dataset, *, threshold: float | None = None, **constants: Any) -> xr.Dataset:
    """Count, for each target, the residues that must be shown for its contacts to come back for good.

    Parameters
    ----------
    found
        As for `recovery_jumps`, with the patterns "flanking", "flanking_first" and "flanking_last".
    threshold, constants
        See `recovery_jumps`.

    Returns
    -------
    xr.Dataset
        By fragment (or segment), float64, NaN without a stable jump on both sides: symmetric and asymmetric,
        exact numbers of visible residues; symmetric_as_published and asymmetric_as_published, the authors'
        figures, two more; side, text. See `analysis.recovery_measures.minimum_segment`.

    Raises
    ------
    UsageError
        As `recovery_jumps`, and if a pattern is missing.
    """
    limit = _threshold(found, threshold)
    axis = _checked(found)
    missing = [name for name in _SIDES if name not in found["pattern"].values]
    if missing:
        raise UsageError(f"The result holds no pattern {missing[0]!r}; run it with pattern={list(_SIDES)!r}.")
    curves = [found["R"].sel(pattern=name).transpose(axis, "step").values for name in _SIDES]
    sizes = [target_of(text).size for text in found["fragment"].values.astype(str)]
    counted = [
        minimum_segment(*each, size=size, threshold=limit, **constants)
        for *each, size in zip(*curves, sizes, strict=True)
    ]
    names = ("symmetric", "asymmetric", "symmetric_as_published", "asymmetric_as_published")
    variables: dict[Hashable, Any] = {
        name: (
            axis,
            np.array([np.nan if (n := getattr(each, name)) is None else n for each in counted], dtype=float),
            {"units": "residues"},
        )
        for name in names
    }
    variables["side"] = (axis, np.array([each.side for each in counted], dtype=str))
    return xr.Dataset(
        variables,
        coords={name: found[name] for name in ("fragment", "protein") if name in found.coords},
        attrs={"threshold": float(limit), **constants},
    )


def _checked(found: xr.Dataset) -> str:
    """Give the dimension of the targets."""
    if not isinstance(found, xr.Dataset) or not {"R", "visible"} <= set(found):
        raise UsageError("That is no result of a recovery; pass the Dataset that catjac.recovery… returned.")
    steps = found["step"].values
    if not np.array_equal(steps, np.arange(len(steps))):
        raise UsageError(
            "A jump is a rise from one flank length to the next, so they must be 0, 1, 2, …; run it with "
            "steps=None, or steps=n for the first n."
        )
    return "segment" if "segment" in found["R"].dims else "fragment"


def _threshold(found: Any, threshold: float | None) -> float:
    attrs = getattr(found, "attrs", {})
    if threshold is None and attrs.get("source") == "jacobian" and "threshold" not in attrs:
        raise UsageError("R of a Jacobian is on no calibrated scale; give the threshold= that you mean.")
    return float(attrs.get("threshold", RECOVERED) if threshold is None else threshold)
