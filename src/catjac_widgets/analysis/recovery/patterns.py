"""Which residues are shown at each step of a masked-recovery experiment."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from catjac_widgets.analysis.recovery.targets import Target
from catjac_widgets.errors import UsageError
from catjac_widgets.proteins.sequences import Sequence

#: What each pattern shows beside the fragments, as a person reads it.
PATTERNS: dict[str, str] = {
    "flanking": "flanks: both sides of one fragment, the outer sides of a pair",
    "flanking_inward": "flanks grow into the gap between the two fragments",
    "flanking_both": "flanks grow at all ends",
    "flanking_first": "flanks grow before the first fragment only",
    "flanking_last": "flanks grow after the last fragment only",
    "random": "as many residues anywhere else, drawn anew at each step",
    "random_nested": "as many residues anywhere else, each step adding to the one before",
    "random_distant": "as many residues away from the fragments, drawn anew at each step",
    "random_distant_nested": "as many residues away from the fragments, each step adding to the one before",
}

#: The three curves of Zhang et al. (2024).
PUBLISHED_PATTERNS = ("flanking", "random", "random_distant")

#: Residues nearer than this to a fragment stay hidden in the distant patterns.
AVOIDED = 30


def check_patterns(patterns: str | Iterable[str], target: Target | None = None) -> tuple[str, ...]:
    """Return the names of patterns as a tuple.

    Raises
    ------
    UsageError
        For a pattern that does not exist, comes twice, or (inward) needs two fragments.
    """
    listed = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    for pattern in listed:
        if pattern not in PATTERNS:
            raise UsageError(f"pattern={pattern!r} is none of {', '.join(map(repr, PATTERNS))}.")
    if not listed or len(set(listed)) < len(listed):
        raise UsageError("Give at least one pattern, and each one once.")
    if target is not None and "flanking_inward" in listed and len(target.fragments) == 1:
        raise UsageError(
            "'flanking_inward' grows into the gap between two fragments; give two, or 'flanking'."
        )
    return listed


def published_steps(target: Target, length: int) -> int:
    """Count the flank lengths 0, 1, … of the published protocol for a target in a chain of `length`.

    One segment with l residues before and r after it: min(l, r + 1); a pair: min(l, r − 1), as the authors'
    scripts have it, so that neither shows everything on both sides. At least 1.
    """
    before, after = target.fragments[0][0] - 1, length - target.fragments[-1][1]
    return max(1, min(before, after + 1 if len(target.fragments) == 1 else after - 1))


def check_steps(steps: int | Iterable[int] | None, target: Target, length: int) -> tuple[int, ...]:
    """Return flank lengths: None is as published, a number n is 0 … n − 1, anything else is taken as given.

    Raises
    ------
    UsageError
        If they are not ascending whole numbers from 0.
    """
    if steps is None:
        return tuple(range(published_steps(target, length)))
    try:
        if isinstance(steps, int | np.integer) and not isinstance(steps, bool):
            listed = list(range(int(steps)))
        else:
            listed = [operator.index(step) for step in steps]  # type: ignore[union-attr]
    except TypeError as error:
        raise UsageError(f"steps={steps!r} are no flank lengths; give 20, or range(0, 40, 2).") from error
    if not listed or listed[0] < 0 or any(b <= a for a, b in pairwise(listed)):
        raise UsageError(f"steps={steps!r}: give ascending flank lengths from 0 on, at least one.")
    return tuple(listed)


def patterned_masks(
    sequence: Sequence,
    target: Target,
    pattern: str,
    steps: Iterable[int],
    *,
    seed: int = 0,
    avoided: int = AVOIDED,
) -> tuple[np.ndarray, np.ndarray]:
    """Make the masks of one pattern, one a step.

    Flanks end where their chain ends, or where they meet. A random pattern shows as many residues beside the
    fragments as the first matching flanking pattern does at that step ("flanking": 2 f where nothing ends),
    drawn uniformly without replacement; a step's draw depends on the seed, the target and the flank length
    only, never on which other steps were asked for.

    Parameters
    ----------
    sequence
        L residues; residues of other chains count as distant.
    steps
        Flank lengths.
    seed
        Of the random patterns.
    avoided
        For the distant patterns: no residue nearer than that to a fragment (Zhang et al.: 30).

    Returns
    -------
    masked : numpy.ndarray
        Bool (steps, L), True = hidden.
    exists : numpy.ndarray
        Bool (steps,): False where too few residues were left to draw from; everything but the fragments is
        hidden there.
    """
    steps = list(steps)
    length = len(sequence)
    core = target.shown(length)
    if not pattern.startswith("random"):
        shown = np.stack([core | _flanks(sequence, target, pattern, step) for step in steps])
        return ~shown, np.ones(len(steps), dtype=bool)
    candidates = np.flatnonzero(~core & ~(_near(sequence, target, avoided) if "distant" in pattern else core))
    nested = pattern.endswith("_nested")
    place = [int(end) for fragment in target.fragments for end in fragment]
    order = np.random.default_rng([seed, *place]).permutation(candidates)
    masked = np.repeat(~core[None], len(steps), axis=0)
    exists = np.ones(len(steps), dtype=bool)
    for k, step in enumerate(steps):
        count = int((_flanks(sequence, target, "flanking", step) & ~core).sum())
        if count > len(candidates):
            exists[k] = False
            continue
        drawn = order[:count]
        if not nested:
            drawn = np.random.default_rng([seed, *place, step]).choice(candidates, count, replace=False)
        masked[k, drawn] = False
    return masked, exists


def _flanks(sequence: Sequence, target: Target, pattern: str, flank: int) -> np.ndarray:
    """Bool (L,), True in the flanks (and perhaps in fragments that they run into)."""
    pair = len(target.fragments) == 2
    shown: np.ndarray = np.zeros(len(sequence), dtype=bool)
    chains = sequence.chain_index
    for k, (first, last) in enumerate(target.fragments):
        outer_left, outer_right = k == 0, k == len(target.fragments) - 1
        before = {
            "flanking": outer_left,
            "flanking_inward": pair and not outer_left,
            "flanking_both": True,
            "flanking_first": outer_left,
            "flanking_last": False,
        }[pattern]
        after = {
            "flanking": outer_right,
            "flanking_inward": pair and not outer_right,
            "flanking_both": True,
            "flanking_first": False,
            "flanking_last": outer_right,
        }[pattern]
        if before:
            start = int(np.searchsorted(chains, chains[first - 1]))
            shown[max(start, first - 1 - flank) : first - 1] = True
        if after:
            end = int(np.searchsorted(chains, chains[last - 1], side="right"))
            shown[last : min(end, last + flank)] = True
    return shown


def _near(sequence: Sequence, target: Target, avoided: int) -> np.ndarray:
    """Bool (L,), True within `avoided` residues of a fragment along its chain."""
    near: np.ndarray = np.zeros(len(sequence), dtype=bool)
    chains = sequence.chain_index
    for first, last in target.fragments:
        close: np.ndarray = np.zeros(len(sequence), dtype=bool)
        close[max(0, first - 1 - avoided) : last + avoided] = True
        near |= close & np.isin(chains, chains[first - 1 : last])
    return near
