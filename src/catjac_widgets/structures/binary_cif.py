"""Reading BinaryCIF so that a small file cannot unfold into more memory than a structure takes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

#: Values of one column at most: atoms of the largest structures, and some more.
MOST_VALUES = 10**7

#: Bytes that the texts of one column may take.
_MOST_TEXT_BYTES = 2**30


def unpack(content: bytes) -> Any:
    """Unpack a BinaryCIF file and check what its columns would unfold into.

    Raises
    ------
    ValueError
        If it is none, or a column would have more than `MOST_VALUES` values.
    """
    import msgpack

    unpacked = msgpack.unpackb(content, use_list=True, raw=False)
    for column in _columns(unpacked):
        for part in filter(None, (column["data"], column.get("mask"))):
            _check(part["data"], part["encoding"])
    return unpacked


def _columns(unpacked: Any) -> Iterator[Any]:
    for block in unpacked["dataBlocks"]:
        for category in block["categories"]:
            yield from category["columns"]


def _check(data: bytes, encodings: Iterable[Any]) -> int:
    """Check one encoded array, and tell how many values it has at most."""
    count = len(data)
    for encoding in reversed(list(encodings)):
        kind = encoding["kind"]
        if kind in ("RunLength", "IntegerPacking"):
            # Neither of them tells its size by the number of its bytes.
            count = encoding["srcSize"]
            if type(count) is not int or not 0 <= count <= MOST_VALUES:
                raise ValueError(f"a column of {count!r} values")
        elif kind == "StringArray":
            count = _check(data, encoding["dataEncoding"])
            _check(encoding["offsets"], encoding["offsetEncoding"])
            if 4 * count * _longest(encoding) > _MOST_TEXT_BYTES:
                raise ValueError("texts too long for so many values")
    if count > MOST_VALUES:
        raise ValueError(f"a column of {count} values")
    return count


def _longest(encoding: Any) -> int:
    """Tell the length of the longest text of an array, which every one of its values takes."""
    from biotite.structure.io.pdbx.encoding import decode_stepwise, deserialize_encoding

    steps = [deserialize_encoding(each) for each in encoding["offsetEncoding"]]
    offsets = decode_stepwise(encoding["offsets"], steps).tolist()
    return max((b - a for a, b in itertools.pairwise(offsets)), default=0)
