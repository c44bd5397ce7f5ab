"""Chunks as bytes: little-endian numbers and a checksum, as zarr's codecs ``bytes`` and ``crc32c`` do it.

Rows that were rounded (see `rounding`) are packed in between, as zarr's codec ``blosc`` does it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np

#: crc32c appends four bytes to each chunk.
CHECKSUM_BYTES = 4

#: Settings of the codec ``blosc`` as zarr's metadata name them: bits of equal weight are put side by side, so
#: that those which were rounded off take no room.
PACKING = {"cname": "zstd", "clevel": 5, "shuffle": "bitshuffle", "blocksize": 0}

#: Begins a packed chunk: version, …, bytes unpacked (at 4), bytes packed (at 12), little-endian.
_HEADER_BYTES = 16


@dataclass(frozen=True)
class ChunkForm:
    """How the chunks of one array are written.

    Attributes
    ----------
    shape, dtype
        Of a chunk.
    packed
        Whether its bytes are packed, so that its size says nothing.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    packed: bool = False

    @property
    def codecs(self) -> list[dict[str, Any]]:
        """The codecs, as zarr's metadata name them."""
        packing = {"name": "blosc", "configuration": {"typesize": self.dtype.itemsize, **PACKING}}
        return [
            {"name": "bytes", "configuration": {"endian": "little"}},
            *([packing] if self.packed else []),
            {"name": "crc32c"},
        ]

    @property
    def array_bytes(self) -> int:
        """Bytes of the numbers, unpacked."""
        return math.prod(self.shape) * self.dtype.itemsize

    def may_have(self, size: int) -> bool:
        """Whether a whole chunk may have so many bytes."""
        return size > CHECKSUM_BYTES if self.packed else size == self.array_bytes + CHECKSUM_BYTES

    def content(self, values: np.ndarray) -> bytes:
        """Make a chunk; where the values are shorter along the first dimension than it, NaN follow."""
        little = self.dtype.newbyteorder("<")
        if values.shape != self.shape:
            whole = np.full(self.shape, np.nan, little)
            whole[: len(values)] = values
            values = whole
        numbers = np.ascontiguousarray(values, little)
        content = bytes(_blosc().encode(numbers)) if self.packed else numbers.tobytes()
        return content + google_crc32c.value(content).to_bytes(CHECKSUM_BYTES, "little")

    def array(self, content: bytes) -> np.ndarray:
        """Make the array of a chunk that is sound (`is_sound`), not to be written to.

        Raises
        ------
        ValueError
            If it is no packed chunk of that size.
        """
        numbers = content[:-CHECKSUM_BYTES]
        if self.packed:
            numbers = self._unpacked(numbers)
        if len(numbers) != self.array_bytes:
            raise ValueError("it has another size")
        values = np.frombuffer(numbers, self.dtype.newbyteorder("<"))
        return values.reshape(self.shape).astype(self.dtype, copy=False)

    def _unpacked(self, packed: bytes) -> bytes:
        # Nothing is unpacked that would be larger than a row.
        sizes = int.from_bytes(packed[4:8], "little"), int.from_bytes(packed[12:16], "little")
        if len(packed) < _HEADER_BYTES or sizes != (self.array_bytes, len(packed)):
            raise ValueError("it has another size")
        try:
            return bytes(_blosc().decode(packed))
        except RuntimeError as error:
            raise ValueError("it cannot be unpacked") from error


def _blosc() -> Any:
    from numcodecs import Blosc

    return Blosc(PACKING["cname"], PACKING["clevel"], Blosc.BITSHUFFLE)


def is_sound(content: bytes) -> bool:
    """Whether a chunk's checksum is that of its bytes."""
    return len(content) > CHECKSUM_BYTES and google_crc32c.value(content[:-CHECKSUM_BYTES]) == int.from_bytes(
        content[-CHECKSUM_BYTES:], "little"
    )
