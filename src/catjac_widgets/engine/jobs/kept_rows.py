"""The cache entry of some work, for as long as the work goes on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from catjac_widgets.engine.cache.entries import CorruptRowError, Entry, Kept
from catjac_widgets.engine.cache.store import cache


class KeptRows:
    """Reads rows from the cache and keeps those that are new, as far as that can be.

    Parameters
    ----------
    plan
        Whose rows.
    use_cache
        Whether the cache is asked at all.
    note
        Told what a person should know.
    what
        What the rows are together ("scan"), for the notes.

    Attributes
    ----------
    keeps
        Whether what is done so far will be there for the next call.
    """

    def __init__(self, plan: Kept, use_cache: bool, note: Callable[[str], None], what: str) -> None:
        self.plan, self._note, self._what = plan, note, what
        self.keeps = use_cache and not cache.is_off
        self._use_cache = use_cache
        self._entry: Entry | None = None

    def open(self) -> None:
        """Open the entry, made if need be, and hold it so that it is not evicted."""
        self._entry = cache.open(self.plan, self._note) if self._use_cache else None
        if self._entry is None:
            return
        for found_wrong in self._entry.notes:
            self._note(found_wrong)
        cache.hold(self._entry)

    def read(self, index: int) -> np.ndarray | None:
        """Read a row; None where it is not there, or cannot be trusted and is to be made anew."""
        if self._entry is None or not self._entry.has(index):
            return None
        try:
            return self._entry.read(index)
        except CorruptRowError as error:
            self._note(f"{error}; it was computed anew.")
            return None

    def make_room(self, missing: int) -> None:
        """Evict what was not used for longest until so many more rows fit; if they never will, keep none."""
        if self.keeps and self._entry is not None and (reason := cache.make_room(self._entry, missing)):
            self._note(f"The {self._what} {reason} and is not kept.")
            self.keeps = False

    def write(self, index: int, row: np.ndarray, device: str) -> None:
        """Keep a row that was computed on a device; where that fails, say so once and keep no more."""
        if self._entry is None or not self.keeps:
            return
        try:
            self._entry.write(index, row)
            self._entry.add_device(device)
        except OSError as error:
            self.keeps = False
            self._note(
                f"The rest of the {self._what} cannot be kept ({error.strerror or error}); it is computed on."
            )

    def close(self) -> None:
        """Let the entry go."""
        if self._entry is not None:
            cache.release(self._entry)
            self._entry = None
