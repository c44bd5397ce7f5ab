"""The files of one entry, wherever they lie: what a folder and an object store have in common."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

#: No text in a store is nearly as large.
LARGEST_TEXT = 64 * 2**20


class EntryFiles(ABC):
    """Reads and writes the files of one entry, by their names in it ("arrays.zarr/jacobian/c.3.0.0.0").

    Attributes
    ----------
    key
        Of the entry.
    """

    key: str

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Read a file.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        OSError
            If it cannot be read now.
        """

    @abstractmethod
    def read_texts(self, names: Iterable[str]) -> dict[str, bytes]:
        """Read small files, those that are there.

        Raises
        ------
        OSError
            If nobody can tell which are.
        """

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write a file, so that a reader sees all of it or nothing.

        Raises
        ------
        OSError
            If it cannot be written.
        """

    @abstractmethod
    def mark(self, name: str) -> None:
        """Leave an empty file.

        Raises
        ------
        OSError
            If it cannot be written.
        """

    @abstractmethod
    def remove(self, name: str) -> None:
        """Delete a file, if it is there.

        Raises
        ------
        OSError
            If it cannot be deleted.
        """

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Bytes of a file, None where it is not there."""

    @abstractmethod
    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of the files in one folder of the entry, by their names there; nothing where there is none.

        Raises
        ------
        OSError
            If it cannot be listed now.
        """

    def names(self, folder: str) -> set[str]:
        """Names of the files in one folder of the entry; see `sizes`."""
        return set(self.sizes(folder))

    @abstractmethod
    def walk(self) -> dict[str, int]:
        """Bytes of all files of the entry, by their names in it."""

    def json(self, name: str) -> Any:
        """Read a JSON file, None where there is none that can be read."""
        try:
            return parse_json(self.read_texts([name]).get(name))
        except OSError:
            return None


def parse_json(content: bytes | None) -> Any:
    """Parse JSON, None where it is none."""
    try:
        return None if content is None else json.loads(content)
    except (ValueError, RecursionError):
        return None
