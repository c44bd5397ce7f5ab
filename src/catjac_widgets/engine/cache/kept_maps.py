"""Single maps in the store: what took long to fit is not fitted twice."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from catjac_widgets.engine.cache.entries import CorruptRowError
from catjac_widgets.engine.cache.info import CacheWarning
from catjac_widgets.engine.cache.store import cache as the_cache

#: Changes whenever the map, or how it lies on disk, would differ for the same request.
FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class KeptMap:
    """One square map under a key of its own; see `Kept`.

    Attributes
    ----------
    kind
        What the map is.
    fingerprint
        Of all that decides it.
    size
        K, rows and columns.
    """

    kind: str
    fingerprint: str
    size: int

    rows_name: ClassVar[str] = "maps"
    rows_dims: ClassVar[tuple[str, ...]] = ("pos_i", "pos_j")
    rows_bits: ClassVar[int | None] = None
    dtype: ClassVar[np.dtype] = np.dtype(np.float64)
    beside_shapes: ClassVar[dict[str, tuple[tuple[int, ...], tuple[str, ...]]]] = {}

    @property
    def rows_shape(self) -> tuple[int, ...]:
        """Shape (K, K)."""
        return self.size, self.size

    @property
    def chunk_length(self) -> int:
        """The whole map is one chunk."""
        return self.size

    @property
    def row_bytes(self) -> int:
        """Bytes of the map."""
        return self.size**2 * self.dtype.itemsize

    @property
    def store_bytes(self) -> int:
        """Bytes of the map."""
        return self.row_bytes

    def selection(self, index: int) -> slice:
        """Where it lies: everywhere."""
        return slice(0, self.size)

    @cached_property
    def key_content(self) -> dict[str, Any]:
        """What `key.json` says."""
        return {
            "format": FORMAT_VERSION,
            "kind": f"{self.kind}_map",
            "fingerprint": self.fingerprint,
            "size": self.size,
            "dtype": self.dtype.name,
        }

    @cached_property
    def key_json(self) -> str:
        """`key_content` as canonical JSON text."""
        return json.dumps(self.key_content, sort_keys=True, indent=1, ensure_ascii=False) + "\n"

    @cached_property
    def key(self) -> str:
        """SHA-256 of `key_json`, in hexadecimal."""
        return hashlib.sha256(self.key_json.encode()).hexdigest()


def kept_map(
    kind: str, fingerprint: str, size: int, make: Callable[[], np.ndarray], *, cache: bool = True
) -> np.ndarray:
    """Read a map from the store, or make it and keep it there.

    Parameters
    ----------
    kind, fingerprint, size
        See `KeptMap`.
    make
        Makes it: float64 (K, K), finite.
    cache
        Whether the store is asked at all.

    Returns
    -------
    np.ndarray
        float64 (K, K).
    """
    if not cache:
        return make()
    plan = KeptMap(kind, fingerprint, size)
    notes: list[str] = []
    entry = the_cache.find(plan)
    if entry is not None and entry.has(0):
        try:
            found = np.array(entry.read(0))
            the_cache.count(rows_read=1)
            return found
        except CorruptRowError as error:
            notes.append(f"{error}; it was computed anew.")
    made = np.asarray(make(), dtype=np.float64)
    the_cache.count(rows_computed=1)
    entry = the_cache.open(plan, notes.append)
    if entry is not None and np.isfinite(made).all():
        the_cache.hold(entry)
        try:
            if not the_cache.make_room(entry, 1):
                entry.write(0, made)
        except OSError as error:
            notes.append(f"The map could not be kept ({error.strerror or error}).")
        finally:
            the_cache.give_up(entry)
    for note in notes:
        warnings.warn(note, CacheWarning, stacklevel=2)
    return made
