"""Chunks as bytes: little-endian numbers and a checksum, as zarr's codecs ``bytes`` and ``crc32c`` do it."""

from __future__ import annotations

import google_crc32c
import numpy as np

#: crc32c appends four bytes to each chunk.
CHECKSUM_BYTES = 4


def chunk_of(values: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """Make a chunk of an array; where it is shorter along its first dimension than the chunk, NaN follow."""
    little = dtype.newbyteorder("<")
    if values.shape != shape:
        whole = np.full(shape, np.nan, little)
        whole[: len(values)] = values
        values = whole
    content = np.ascontiguousarray(values, little).tobytes()
    return content + google_crc32c.value(content).to_bytes(CHECKSUM_BYTES, "little")


def is_sound(content: bytes) -> bool:
    """Whether a chunk's checksum is that of its bytes."""
    return len(content) > CHECKSUM_BYTES and google_crc32c.value(content[:-CHECKSUM_BYTES]) == int.from_bytes(
        content[-CHECKSUM_BYTES:], "little"
    )


def array_of(content: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Array of a chunk that is sound, not to be written to."""
    values = np.frombuffer(content, dtype.newbyteorder("<"), offset=0, count=int(np.prod(shape)))
    return values.reshape(shape).astype(dtype, copy=False)
