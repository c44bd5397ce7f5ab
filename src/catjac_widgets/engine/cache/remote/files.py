"""The files of one entry, as objects."""

from __future__ import annotations

import time
from collections.abc import Iterable

from catjac_widgets.engine.cache.chunked.files import LARGEST_TEXT, EntryFiles
from catjac_widgets.engine.cache.remote.objects import Objects

#: A listing is believed for so long where it only says what need not be computed.
LISTING_SECONDS = 1.0


class ObjectFiles(EntryFiles):
    """The files of an entry as objects; see `EntryFiles`.

    That an object is written as a whole or not at all is the promise of the place; where it is broken, the
    digests find out.

    Parameters
    ----------
    objects
        Of the store.
    key
        Of the entry.
    """

    def __init__(self, objects: Objects, key: str) -> None:
        self.key = key
        self._objects = objects
        self._folder = f"{key[:2]}/{key}"
        self._listed: dict[str, tuple[float, dict[str, int]]] = {}

    def read(self, name: str) -> bytes:
        """See `EntryFiles`."""
        return self._objects.read(f"{self._folder}/{name}")

    def read_texts(self, names: Iterable[str]) -> dict[str, bytes]:
        """See `EntryFiles`."""
        found = self._objects.read_many([f"{self._folder}/{name}" for name in names], LARGEST_TEXT)
        return {name.removeprefix(f"{self._folder}/"): content for name, content in found.items()}

    def write(self, name: str, content: bytes) -> None:
        """See `EntryFiles`."""
        self._objects.write(f"{self._folder}/{name}", content)
        folder, _, last = name.rpartition("/")
        if folder in self._listed:
            self._listed[folder][1][last] = len(content)

    def mark(self, name: str) -> None:
        """See `EntryFiles`."""
        self.write(name, b"")

    def remove(self, name: str) -> None:
        """See `EntryFiles`."""
        folder, _, last = name.rpartition("/")
        if folder in self._listed:
            self._listed[folder][1].pop(last, None)
        self._objects.remove(f"{self._folder}/{name}")

    def size(self, name: str) -> int | None:
        """See `EntryFiles`; what others did in the last second may not be known."""
        folder, _, last = name.rpartition("/")
        when, listed = self._listed.get(folder, (0.0, {}))
        if folder not in self._listed or time.monotonic() - when > LISTING_SECONDS:
            listed = self.sizes(folder)
        return listed.get(last)

    def sizes(self, folder: str) -> dict[str, int]:
        """See `EntryFiles`."""
        found = self._objects.list(f"{self._folder}/{folder}")
        sizes = {name: stat.size for name, stat in found.items()}
        self._listed[folder] = time.monotonic(), sizes
        return dict(sizes)

    def walk(self) -> dict[str, int]:
        """See `EntryFiles`."""
        return {name: stat.size for name, stat in self._objects.walk(self._folder).items()}
