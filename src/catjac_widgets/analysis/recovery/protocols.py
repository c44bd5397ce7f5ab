"""Which segments, and which pairs of secondary-structure elements, a recovery experiment looks at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, groupby
from numbers import Integral, Real

import numpy as np

from catjac_widgets.analysis.options import check_options
from catjac_widgets.analysis.recovery.targets import Target
from catjac_widgets.errors import UsageError
from catjac_widgets.proteins.sequences import Sequence

PROTOCOLS = ("segment", "pair", "nearby")

#: The constants that each protocol goes by.
CONSTANTS = {
    "segment": ("size", "minimum_contacts", "margin", "picks", "masked_ends"),
    "pair": ("size", "minimum_contacts", "margin", "distance", "strand", "helix", "picks", "masked_ends"),
    "nearby": ("size", "minimum_contacts", "gap", "picks", "masked_ends"),
}


@dataclass(frozen=True)
class Protocol:
    """How targets are chosen; the defaults of the three class methods are the published ones.

    Attributes
    ----------
    name
        "segment" (contacts within one segment), "pair" (between two secondary-structure elements) or
        "nearby" (between two windows with a short gap).
    size
        Residues of a segment, or of each window.
    minimum_contacts
        The sum of the unmasked map over the block must exceed this.
    margin
        More than this many residues must lie before a target and after it (after a pair one more, as in the
        authors' script).
    distance
        (d, e): centres of a pair lie more than d and at most e residues apart; e None: no limit.
    strand, helix
        Shortest runs of E and H that count as an element.
    gap
        Residues between nearby windows.
    picks
        Most targets a protein, drawn at random ("nearby": by farthest-point sampling); None for all.
    masked_ends
        Whether the model's start and end tokens are replaced by masks ("nearby", in the revision of the
        paper); see `language_models.masked_ends`.
    """

    name: str
    size: int
    minimum_contacts: float
    margin: int = 10
    distance: tuple[int, int | None] = (50, 100)
    strand: int = 4
    helix: int = 8
    gap: int = 5
    picks: int | None = 3
    masked_ends: bool = False

    def __post_init__(self) -> None:
        if self.name not in PROTOCOLS:
            raise UsageError(f"protocol={self.name!r} is none of {', '.join(map(repr, PROTOCOLS))}.")
        self._check_kinds()
        if self.size < 2 or self.margin < 0 or self.gap < 0 or (self.picks is not None and self.picks < 1):
            raise UsageError("size must be 2 or more, margin and gap 0 or more, picks 1 or more (or None).")
        nearest, farthest = self.distance
        if farthest is not None and farthest <= nearest:
            raise UsageError(
                f"distance={self.distance!r} holds no pair; give for instance (50, 100) or (100, None)."
            )

    def _check_kinds(self) -> None:
        counts = {name: getattr(self, name) for name in ("size", "margin", "strand", "helix", "gap")}
        if self.picks is not None:
            counts["picks"] = self.picks
        for name, value in counts.items():
            if isinstance(value, bool) or not isinstance(value, Integral):
                raise UsageError(f"{name}={value!r} is no whole number; give for instance {name}=5.")
        least = self.minimum_contacts
        if isinstance(least, bool) or not isinstance(least, Real) or math.isnan(least):
            raise UsageError(f"minimum_contacts={least!r} is no number; give for instance 15.")
        ends = self.distance if isinstance(self.distance, tuple | list) else ()
        if len(ends) != 2 or not all(
            isinstance(end, Integral) or (end is None and k == 1) for k, end in enumerate(ends)
        ):
            raise UsageError(f"distance={self.distance!r} is no range; give for instance (50, 100).")


def protocol(name: str | Protocol = "segment", /, **changes: object) -> Protocol:
    """Give a published protocol with some of its constants changed; a `Protocol` as it is.

    Raises
    ------
    UsageError
        For a protocol that does not exist, a constant that it does not go by, or one that makes no sense.
    """
    if isinstance(name, Protocol):
        if changes:
            raise UsageError("Give the constants in the Protocol, or its name and the constants, not both.")
        return name
    published: dict[str, tuple[int, float, bool]] = {
        "segment": (22, 15.0, False),
        "pair": (11, 10.0, False),
        "nearby": (11, 10.0, True),
    }
    if not isinstance(name, str) or name not in published:
        raise UsageError(f"protocol={name!r} is none of {', '.join(map(repr, PROTOCOLS))}.")
    check_options(f"The protocol {name!r}", changes, CONSTANTS[name])
    size, minimum, masked_ends = published[name]
    constants = {"name": name, "size": size, "minimum_contacts": minimum, "masked_ends": masked_ends}
    return Protocol(**(constants | changes))  # type: ignore[arg-type]


def choose_targets(
    rules: Protocol,
    sequence: Sequence,
    contacts: np.ndarray,
    *,
    secondary_structure: str | None = None,
    seed: int = 0,
) -> list[Target]:
    """Choose the targets of one protein.

    Parameters
    ----------
    contacts
        (L, L), the unmasked map (probabilities) or native contacts (NaN counts as 0) that eligibility is
        judged by.
    secondary_structure
        L letters, H helix, E strand, anything else neither; needed for pairs.
    seed
        Of the random picks.

    Returns
    -------
    list of Target
        Ascending; empty where nothing is eligible.

    Raises
    ------
    UsageError
        If the map or the secondary structure does not fit the sequence, or the latter is missing.

    References
    ----------
    Zhang Z. et al. (2024), PNAS 121:e2406285121; the authors' scripts, contact_recovery/01, 07 and 13.
    """
    length = len(sequence)
    values = np.nan_to_num(np.asarray(contacts, dtype=np.float64))
    if values.shape != (length, length):
        raise UsageError(f"The contacts have the shape {values.shape}, the sequence {length} residues.")
    if rules.name == "pair":
        if secondary_structure is None:
            raise UsageError(
                "Pairs of elements need a secondary structure; pass a structure or a string of H, E, -."
            )
        if len(secondary_structure) != length:
            raise UsageError(
                f"The secondary structure has {len(secondary_structure)} letters for {length} residues."
            )
        found = list(_pairs(rules, sequence, values, secondary_structure))
    else:
        found = list(
            _segments(rules, sequence, values)
            if rules.name == "segment"
            else _nearby(rules, sequence, values)
        )
    if rules.picks is None or len(found) <= rules.picks:
        return found
    generator = np.random.default_rng(seed)
    if rules.name == "nearby":
        starts = np.array([target.fragments[0][0] for target in found])
        return [
            found[k]
            for k in sorted(farthest_points(starts, rules.picks, int(generator.integers(len(found)))))
        ]
    return [found[k] for k in sorted(generator.choice(len(found), rules.picks, replace=False))]


def runs(secondary_structure: str, *, strand: int = 4, helix: int = 8) -> list[tuple[int, int, str]]:
    """List the elements of a 3-state string as (start, end, letter), 0-based, end excluded."""
    shortest = {"E": strand, "H": helix}
    listed, start = [], 0
    for letter, group in groupby(secondary_structure):
        end = start + len(list(group))
        if letter in shortest and end - start >= shortest[letter]:
            listed.append((start, end, letter))
        start = end
    return listed


def farthest_points(values: np.ndarray, count: int, first: int) -> list[int]:
    """Pick `count` indices, each the farthest from those before; ties go to the lower index."""
    picked = [first]
    distance = np.abs(values - values[first])
    while len(picked) < min(count, len(values)):
        picked.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.abs(values - values[picked[-1]]))
    return picked


def _chains(sequence: Sequence) -> Iterator[tuple[int, int]]:
    """First and one beyond the last 0-based index of each chain."""
    first = 0
    for chain in sequence.chains:
        yield first, first + len(chain)
        first += len(chain)


def _windows(*starts: int, size: int) -> Target:
    return Target(tuple((start + 1, start + size) for start in starts))


def _enough(rules: Protocol, contacts: np.ndarray) -> Callable[[Target], bool]:
    return lambda target: bool(contacts[target.rows, target.columns].sum() > rules.minimum_contacts)


def _segments(rules: Protocol, sequence: Sequence, contacts: np.ndarray) -> Iterator[Target]:
    # As published, with s counted from the chain's start: margin < s < L − size − margin.
    for first, end in _chains(sequence):
        starts = range(first + rules.margin + 1, end - rules.size - rules.margin)
        yield from filter(_enough(rules, contacts), (_windows(start, size=rules.size) for start in starts))


def _nearby(rules: Protocol, sequence: Sequence, contacts: np.ndarray) -> Iterator[Target]:
    step = rules.size + rules.gap
    for first, end in _chains(sequence):
        starts = range(first, end - step - rules.size + 1)
        made = (_windows(start, start + step, size=rules.size) for start in starts)
        yield from filter(_enough(rules, contacts), made)


def _pairs(rules: Protocol, sequence: Sequence, contacts: np.ndarray, states: str) -> Iterator[Target]:
    enough = _enough(rules, contacts)
    nearest, farthest = rules.distance
    half = rules.size // 2
    for first, end in _chains(sequence):
        elements = runs(states[first:end], strand=rules.strand, helix=rules.helix)
        centres = [first + (start + stop) // 2 for start, stop, _ in elements]
        for one, other in combinations(centres, 2):
            if not nearest < other - one <= (farthest if farthest is not None else end):
                continue
            if one - half < first or other - half + rules.size > end:
                continue
            target = _windows(one - half, other - half, size=rules.size)
            if one - half - first + rules.size <= other - half - first and enough(target):
                before, after = one - half - first, end - (other - half + rules.size)
                # One less after than before: the authors count from the window's excluded end.
                if min(before, after - 1) > rules.margin:
                    yield target
