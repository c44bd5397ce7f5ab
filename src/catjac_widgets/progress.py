"""The progress bar of everything that may take a while."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

#: Work that takes no longer shows no bar.
SHOW_AFTER_SECONDS = 0.5

#: A description is cut to so many characters, so that there is room for the bar.
_LONGEST_DESCRIPTION = 70

#: For work that is counted in nothing a person knows: the share of it that is done.
_SHARE_FORMAT = "{l_bar}{bar}| [{elapsed}<{remaining}{postfix}]"

T = TypeVar("T")


class ProgressBar:
    """A bar on stderr, made (and tqdm imported) when it appears; see `progress_bar`.

    All methods are for the thread that shows it.
    """

    def __init__(self, description: str, total: float | None, unit: str, shown: bool, after: float) -> None:
        self._description, self._total, self._unit = description, total, unit
        self._shown, self._after = shown, after
        self._done: float = 0
        self._began = time.monotonic()
        #: What was done when the work began, which says nothing about how fast it goes.
        self._before: float | None = None
        self._note = ""
        self._said: tuple[str, str] | None = None
        self._bar: Any = None

    def show(self, done: float, *, note: str | None = None, description: str | None = None) -> None:
        """Say how much is done, of `total`.

        Parameters
        ----------
        done
            All that is done by now.
        note
            What is going on, behind the bar; "" for nothing.
        description
            Takes the place of the former one.
        """
        if self._before is None:
            self._before = done
        self._done = max(self._done, done)
        if note is not None:
            self._note = note
        if description is not None:
            self._description = description
        self._draw()

    def advance(self, amount: float = 1) -> None:
        """Say that so much more is done."""
        self._before = self._before or 0
        self.show(self._done + amount)

    def close(self) -> None:
        """Leave the bar, if there is one, as it is now."""
        if self._bar is not None:
            self._draw()
            self._bar.close()
            self._bar, self._shown = None, False

    def _draw(self) -> None:
        if not self._shown:
            return
        if self._bar is None:
            if time.monotonic() - self._began < self._after:
                return
            self._bar = self._made()
        text = _one_line(self._description), _one_line(self._note)
        changed, self._said = text != self._said, text
        self._bar.set_description(text[0], refresh=False)
        self._bar.set_postfix_str(text[1], refresh=False)
        if not self._bar.update(self._done - self._bar.n) and changed:
            self._bar.refresh()

    def _made(self) -> Any:
        from tqdm.auto import tqdm

        options: dict[str, Any] = {"unit": self._unit} if self._unit else {"bar_format": _SHARE_FORMAT}
        # Without its description: in a notebook tqdm takes what it is made with for markup, and a name is
        # whatever a FASTA file says.
        bar = tqdm(
            total=self._total,
            initial=self._before or 0,
            unit_scale=self._unit == "B",
            file=sys.stderr,
            dynamic_ncols=True,
            delay=1e-9,  # what it shows when it is made has no description yet
            **options,
        )
        # The estimate of what is left counts from the beginning, not from when the bar appeared.
        bar.start_t -= time.monotonic() - self._began
        bar.last_print_t = bar.start_t
        return bar


@contextmanager
def progress_bar(
    description: str,
    total: float | None,
    *,
    unit: str = "",
    shown: bool = True,
    after: float = SHOW_AFTER_SECONDS,
) -> Iterator[ProgressBar]:
    """Show how far some work is, with an estimate of the time left, until the block ends, in whatever way.

    Parameters
    ----------
    description
        What is going on; may hold anything, also names that a person gave.
    total
        How much there is to do; None where nobody knows.
    unit
        What is counted ("row", "mask"; "B" for bytes); "" shows percent only.
    shown
        Whether there is a bar at all.
    after
        Seconds that the work has to take before the bar appears, with the next thing that it is told.
    """
    bar = ProgressBar(description, total, unit, shown, after)
    try:
        yield bar
    finally:
        bar.close()


def with_progress(
    items: Collection[T],
    describe: str | Callable[[T], str],
    *,
    unit: str = "",
    cost: Callable[[T], float] | None = None,
    shown: bool = True,
) -> Iterator[T]:
    """Go through items, each of which may take long, with a bar that appears at once.

    Parameters
    ----------
    items
        One alone shows no bar: what is done with it has its own.
    describe
        What is going on, or a function that says it of an item.
    unit, shown
        See `progress_bar`.
    cost
        How long an item takes, relative to the others; all alike by default.
    """
    costs = [1.0 if cost is None else cost(item) for item in items]
    total = sum(costs) if cost is not None else len(costs)
    first = describe if isinstance(describe, str) else ""
    with progress_bar(first, total, unit=unit, shown=shown and len(costs) > 1, after=0.0) as bar:
        done = 0.0
        for item, each in zip(items, costs, strict=True):
            bar.show(done, description=None if isinstance(describe, str) else describe(item))
            yield item
            done += each
        bar.show(done)


def _one_line(text: str) -> str:
    """Text without line breaks and control characters, which would break the bar, cut where it is long."""
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return text if len(text) <= _LONGEST_DESCRIPTION else f"{text[: _LONGEST_DESCRIPTION - 1]}…"
