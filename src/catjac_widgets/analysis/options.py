"""Options that one function passes on to another, refused where the function has no use for them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable

from catjac_widgets.errors import OptionError


def check_options(function: str, given: Iterable[str], possible: Iterable[str], why: str = "") -> None:
    """Refuse options that make no sense, before any work.

    Parameters
    ----------
    function
        What has these options, as a person calls it.
    given
        Names of the options that were given.
    possible
        Names of those that make sense.
    why
        Under which condition it has only these, for instance "with fragments=".

    Raises
    ------
    OptionError
        Names the first option that makes no sense, and all that do.
    """
    allowed = tuple(possible)
    wrong = next((name for name in given if name not in allowed), None)
    if wrong is not None:
        listed = ", ".join(f"{name}=" for name in allowed)
        when = f" {why}" if why else ""
        raise OptionError(f"{function} has no option {wrong}={when}; possible are {listed or 'none'}.")


def options_of(function: Callable[..., object], *without: str) -> tuple[str, ...]:
    """Name the options of a function, in their order.

    Parameters
    ----------
    without
        Names to leave out: its data, and what the caller decides itself.
    """
    return tuple(
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and name not in without
    )
