"""Jumps and minimum segments of whole results, as the authors' notebooks 14 and 15 count them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import xarray as xr

from catjac_widgets.analysis.options import check_options, options_of
from catjac_widgets.analysis.recovery.measures import RECOVERED
from catjac_widgets.analysis.recovery.targets import target_of
from catjac_widgets.errors import UsageError

#: A jump is a rise of at least this in one step.
JUMP = 0.5

#: A jump is stable if, of so many values from it on, at most so many lie more than this below its height.
STABLE_WINDOW, STABLE_EXCEPTIONS, STABLE_DROP = 10, 2, 0.2

_SIDES = ("flanking", "flanking_first", "flanking_last")


@dataclass(frozen=True)
class Jump:
    """Where a recovery curve y_0, y_1, … jumps; see `find_jump`.

    Attributes
    ----------
    low
        Whether the curve never exceeds the threshold.
    started_high
        Whether its first value exceeds it already.
    first
        Index t of the first jump, stable or not; None without one.
    stable
        Index of the first stable jump; None without one.
    """

    low: bool
    started_high: bool
    first: int | None
    stable: int | None


def find_jump(
    curve: Iterable[float] | np.ndarray,
    *,
    threshold: float = RECOVERED,
    rise: float = JUMP,
    window: int = STABLE_WINDOW,
    exceptions: int = STABLE_EXCEPTIONS,
    drop: float = STABLE_DROP,
) -> Jump:
    """Find where a curve jumps: y_t ≥ y_{t−1} + `rise`.

    A jump is stable if among y_t … y_{t+window−1} (fewer where the curve ends) at most `exceptions` values
    lie below y_t − `drop`.

    Parameters
    ----------
    curve
        R against flank length; the curve ends at its first NaN.
    threshold, rise, window, exceptions, drop
        As published by default.

    Raises
    ------
    UsageError
        For a constant that makes no sense.

    References
    ----------
    Zhang Z. et al. (2024), Protein language models learn evolutionary statistics of interacting sequence
    motifs, PNAS 121:e2406285121; ``find_stable_jumps`` of the
    authors' notebook contact_recovery/14_catch_jumps.
    """
    _check_constants(threshold, rise, window, exceptions, drop)
    y = np.asarray(list(curve) if not isinstance(curve, np.ndarray) else curve, dtype=np.float64)
    gaps = np.flatnonzero(np.isnan(y))
    y = y[: gaps[0]] if len(gaps) else y
    if not len(y):
        return Jump(low=True, started_high=False, first=None, stable=None)
    # As the authors' code compares, without a tolerance.
    rises = np.flatnonzero(y[1:] >= y[:-1] + rise) + 1
    stable = None
    for t in rises:
        if int((y[t : t + window] < y[t] - drop).sum()) <= exceptions:
            stable = int(t)
            break
    return Jump(
        low=bool(y.max() <= threshold),
        started_high=bool(y[0] > threshold),
        first=int(rises[0]) if len(rises) else None,
        stable=stable,
    )


def _check_constants(threshold: Any, rise: Any, window: Any, exceptions: Any, drop: Any) -> None:
    for name, value in (("threshold", threshold), ("rise", rise), ("drop", drop)):
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise UsageError(f"{name}={value!r} is no number; give one on the scale of R, for instance 0.5.")
    for name, value, least in (("window", window, 1), ("exceptions", exceptions, 0)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise UsageError(f"{name}={value!r} is no number of flank lengths; give {least} or more.")


@dataclass(frozen=True)
class MinimumSegment:
    """How many residues had to be shown for a stable jump; see `minimum_segment`.

    Attributes
    ----------
    symmetric, asymmetric
        Exact numbers of visible residues; None without a stable jump on both sides.
    symmetric_as_published, asymmetric_as_published
        The authors' figures, which count two residues more.
    side
        "first" or "last", whichever side alone made the earlier jump; "" where neither did.
    """

    symmetric: int | None
    asymmetric: int | None
    symmetric_as_published: int | None
    asymmetric_as_published: int | None
    side: str


def minimum_segment(
    both: Iterable[float] | np.ndarray,
    first: Iterable[float] | np.ndarray,
    last: Iterable[float] | np.ndarray,
    *,
    size: int = 22,
    **jump: float,
) -> MinimumSegment:
    """Count the residues that must be shown for the contacts between two fragments to come back.

    With t the flank length of the stable jump when both outer flanks grow, and s the smaller of the jumps
    when only the first or only the last grows (t where neither jumps), the symmetric total is `size` + 2 t
    and the asymmetric one `size` + s + t. The authors add 1 to every t and s.

    Parameters
    ----------
    both, first, last
        R against flank length 0, 1, 2, … (patterns "flanking", "flanking_first" and "flanking_last").
    size
        Residues in the fragments.
    jump
        Options of `find_jump`.

    References
    ----------
    Zhang Z. et al. (2024), Protein language models learn evolutionary statistics of interacting sequence
    motifs, PNAS 121:e2406285121; the authors' notebook
    contact_recovery/15_minimum_seg.
    """
    check_options("minimum_segment", jump, ("size", *options_of(find_jump, "curve")))
    t = find_jump(both, **jump).stable  # type: ignore[arg-type]
    if t is None:
        return MinimumSegment(None, None, None, None, "")
    sides = {"first": find_jump(first, **jump).stable, "last": find_jump(last, **jump).stable}  # type: ignore[arg-type]
    found = {name: index for name, index in sides.items() if index is not None}
    side = min(found, key=lambda name: found[name]) if found else ""
    s = found[side] if side else t
    return MinimumSegment(size + 2 * t, size + s + t, size + 2 * (t + 1), size + (s + 1) + (t + 1), side)


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
        rise, window, exceptions, drop; see `find_jump`.

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
        If the flank lengths are not 0, 1, 2, … (a jump is a rise in one step), there is no threshold, or a
        constant does not exist or makes no sense.
    """
    check_options("recovery_jumps", constants, options_of(find_jump, "curve"))
    limit = _threshold(found, threshold)
    find_jump([], threshold=limit, **constants)  # There may be no curve that would refuse them.
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
        figures, two more; side, text. See `minimum_segment`.

    Raises
    ------
    UsageError
        As `recovery_jumps`, and if a pattern is missing.
    """
    check_options("minimum_segments", constants, options_of(find_jump, "curve"))
    limit = _threshold(found, threshold)
    find_jump([], threshold=limit, **constants)  # There may be no curve that would refuse them.
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
    return attrs.get("threshold", RECOVERED) if threshold is None else threshold
