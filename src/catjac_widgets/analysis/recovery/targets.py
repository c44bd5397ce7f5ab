"""Targets: the one or two fragments whose contacts a recovery experiment looks for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from catjac_widgets.errors import MaskError
from catjac_widgets.proteins.masks import Fragment, Mask


@dataclass(frozen=True)
class Target:
    """The one or two fragments whose contacts are looked for.

    Attributes
    ----------
    fragments
        (first, last), 1-based, both ends included, ascending and apart. Of one, the contacts within it count;
        of two, those between them.
    """

    fragments: tuple[Fragment, ...]

    @property
    def rows(self) -> slice:
        """Rows of the map's block, 0-based."""
        return slice(self.fragments[0][0] - 1, self.fragments[0][1])

    @property
    def columns(self) -> slice:
        """Columns of the map's block, 0-based."""
        return slice(self.fragments[-1][0] - 1, self.fragments[-1][1])

    @property
    def size(self) -> int:
        """Residues in the fragments."""
        return sum(last - first + 1 for first, last in self.fragments)

    def shown(self, length: int) -> np.ndarray:
        """Bool (L,), True in the fragments."""
        shown: np.ndarray = np.zeros(length, dtype=bool)
        for first, last in self.fragments:
            shown[first - 1 : last] = True
        return shown

    def __str__(self) -> str:
        return ",".join(f"{first}-{last}" if first < last else f"{first}" for first, last in self.fragments)


def target_of(text: str) -> Target:
    """Read what ``str(target)`` wrote, as results keep it ("12-22,80-90")."""
    ends = [part.split("-") for part in text.split(",")]
    return Target(tuple((int(run[0]), int(run[-1])) for run in ends))


def as_target(fragments: Fragment | Iterable[Fragment] | Target, length: int) -> Target:
    """Make a target of one fragment (12, 22), or of one or two in a list.

    Raises
    ------
    MaskError
        For no fragment or more than two, fragments that overlap, or one that is not within 1 … `length`.
    """
    if isinstance(fragments, Target):
        fragments = fragments.fragments
    listed = list(fragments)
    if len(listed) == 2 and all(isinstance(end, int | np.integer) for end in listed):
        listed = [tuple(listed)]
    if not 1 <= len(listed) <= 2:
        raise MaskError(
            f"Recovery is of the contacts within one fragment or between two, not {len(listed)}; give "
            "(12, 22) or [(12, 22), (80, 90)]."
        )
    Mask.showing(length, listed)  # type: ignore[arg-type]
    ordered = sorted((int(ends[0]), int(ends[1])) for ends in listed)  # type: ignore[index]
    if len(ordered) == 2 and ordered[1][0] <= ordered[0][1]:
        raise MaskError(
            f"The fragments {ordered[0][0]}–{ordered[0][1]} and {ordered[1][0]}–{ordered[1][1]} overlap; "
            "recovery needs them apart."
        )
    return Target(tuple(ordered))
