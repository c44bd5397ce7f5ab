"""The one way in which an array goes to the front end: ``{dtype, shape}`` beside a binary buffer.

The same few lines stand in ``js/src/shared/arrays.ts`` and nowhere else.
"""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
import traitlets

from catjac_widgets.errors import UsageError

#: What the front end reads; anything else is a mistake of ours.
DTYPES = ("float32", "uint8", "int32")


class ArrayPayload(TypedDict):
    """An array on its way: little-endian, row-major."""

    dtype: str
    shape: list[int]
    data: memoryview


def encode(array: np.ndarray | None) -> ArrayPayload | None:
    """Pack an array of one of `DTYPES`; None stays None.

    Raises
    ------
    TypeError
        For another dtype: conversions are the sender's to decide.
    """
    if array is None:
        return None
    if array.dtype.name not in DTYPES:
        raise TypeError(f"arrays of {array.dtype} are not sent; convert to one of {', '.join(DTYPES)} first")
    packed = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    # A cast to bytes fails on an array without elements.
    data = packed.data.cast("B") if packed.size else memoryview(b"")
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}


def decode(payload: Any) -> np.ndarray | None:
    """Unpack what `encode` made; the result is a copy that may be written to.

    Raises
    ------
    ValueError
        If the buffer does not hold that shape.
    """
    if payload is None:
        return None
    if payload["dtype"] not in DTYPES:
        raise ValueError(f"arrays of type {payload['dtype']!r} are not understood")
    dtype = np.dtype(payload["dtype"]).newbyteorder("<")
    flat = np.frombuffer(payload["data"], dtype=dtype)
    return flat.reshape(payload["shape"]).astype(payload["dtype"])


def array_trait(**metadata: Any) -> traitlets.Instance:
    """Make a trait that holds an array (or None) and travels by this module's codec."""

    def to_json(array: np.ndarray | None, widget: Any) -> ArrayPayload | None:
        return encode(array)

    def from_json(payload: Any, widget: Any) -> np.ndarray | None:
        return decode(payload)

    trait = traitlets.Instance(np.ndarray, allow_none=True)
    return trait.tag(sync=True, to_json=to_json, from_json=from_json, **metadata)


def square(contacts: Any) -> np.ndarray:
    """Copy a map, labelled or not, as float32; refuse what is not square.

    Raises
    ------
    UsageError
        If it is not an (L, L) array of numbers with L at least 2.
    """
    try:
        values = np.array(contacts, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"A contact map is a square array of numbers, not {type(contacts).__name__}; "
            "pass catjac.contacts(J)."
        ) from error
    if values.ndim != 2 or values.shape[0] != values.shape[1] or len(values) < 2:
        shape = " × ".join(map(str, values.shape)) or "a single number"
        raise UsageError(f"A contact map is square, (L, L), but this is {shape}; pass catjac.contacts(J).")
    return values
