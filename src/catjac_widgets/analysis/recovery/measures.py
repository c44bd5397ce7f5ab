"""How much of a block of contacts came back, where a curve jumps, and how much had to be shown for that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from catjac_widgets.errors import UsageError

#: A block is recovered if R is larger than this (set for probabilities of a contact head).
RECOVERED = 0.5

#: A jump is a rise of at least this in one step.
JUMP = 0.5

#: A jump is stable if, of so many values from it on, at most so many lie more than this below its height.
STABLE_WINDOW, STABLE_EXCEPTIONS, STABLE_DROP = 10, 2, 0.2


def recovered_fraction(original: np.ndarray, masked: np.ndarray) -> float:
    """Compute R = Σ(O ⊙ M) / Σ(O ⊙ O) of a block.

    Parameters
    ----------
    original, masked
        The same block of the unmasked and of the masked map, any equal shape. Entries that are NaN in either
        are left out.

    Returns
    -------
    float
        1 where nothing was lost, 0 where nothing is left; may exceed 1, and is not symmetric in its
        arguments. NaN where the unmasked block is 0 throughout, or nothing is left to compare.

    Source: Zhang et al. (2024), "norm_sum_mult" of the authors' code.
    """
    before, after = _together(original, masked)
    scale = float((before * before).sum())
    return float((before * after).sum()) / scale if scale > 0 else float("nan")


def block_cosine(original: np.ndarray, masked: np.ndarray) -> float:
    """Compute the cosine of two blocks, Σ(O ⊙ M) / sqrt(Σ O² Σ M²); NaN where one is 0 throughout."""
    before, after = _together(original, masked)
    scale = float(np.sqrt((before * before).sum() * (after * after).sum()))
    return float((before * after).sum()) / scale if scale > 0 else float("nan")


def _together(original: np.ndarray, masked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    before, after = np.asarray(original, dtype=np.float64), np.asarray(masked, dtype=np.float64)
    if before.shape != after.shape:
        raise UsageError(
            f"The blocks have the shapes {before.shape} and {after.shape}; take the same residues of both."
        )
    known = np.isfinite(before) & np.isfinite(after)
    return before[known], after[known]


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

    Source: the authors' notebook 14 of Zhang et al. (2024).
    """
    y = np.asarray(list(curve) if not isinstance(curve, np.ndarray) else curve, dtype=np.float64)
    gaps = np.flatnonzero(np.isnan(y))
    y = y[: gaps[0]] if len(gaps) else y
    if not len(y):
        return Jump(low=True, started_high=False, first=None, stable=None)
    # Decimal values such as 0.1 + 0.5 must not miss a jump by a rounding error.
    rises = np.flatnonzero(np.diff(y) >= rise - 1e-12) + 1
    stable = None
    for t in rises:
        if int((y[t : t + window] < y[t] - drop - 1e-12).sum()) <= exceptions:
            stable = int(t)
            break
    return Jump(
        low=bool(y.max() <= threshold),
        started_high=bool(y[0] > threshold),
        first=int(rises[0]) if len(rises) else None,
        stable=stable,
    )


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

    Source: the authors' notebook 15 of Zhang et al. (2024).
    """
    t = find_jump(both, **jump).stable  # type: ignore[arg-type]
    if t is None:
        return MinimumSegment(None, None, None, None, "")
    sides = {"first": find_jump(first, **jump).stable, "last": find_jump(last, **jump).stable}  # type: ignore[arg-type]
    found = {name: index for name, index in sides.items() if index is not None}
    side = min(found, key=lambda name: found[name]) if found else ""
    s = found[side] if side else t
    return MinimumSegment(size + 2 * t, size + s + t, size + 2 * (t + 1), size + (s + 1) + (t + 1), side)
