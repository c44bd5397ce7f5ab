from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from catjac_widgets.widgets.base.arrays import DTYPES, decode, encode


@given(
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5))
    )
)
def test_what_is_encoded_comes_back(array: np.ndarray) -> None:
    payload = encode(array)
    assert payload is not None
    assert payload["data"].nbytes == array.nbytes
    back = decode(payload)
    assert back is not None
    assert back.dtype == array.dtype
    assert back.flags.writeable
    np.testing.assert_array_equal(back, array)


def test_bytes_are_little_endian_and_row_major() -> None:
    array = np.arange(6, dtype=">f4").reshape(2, 3).T
    payload = encode(array)
    assert payload is not None
    assert bytes(payload["data"]) == np.array([0, 3, 1, 4, 2, 5], dtype="<f4").tobytes()
    assert payload["shape"] == [3, 2]


def test_none_stays_none() -> None:
    assert encode(None) is None
    assert decode(None) is None


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="float64"):
        encode(np.zeros(3))
    with pytest.raises(ValueError, match="float64"):
        decode({"dtype": "float64", "shape": [1], "data": b"\0" * 8})
    with pytest.raises(ValueError, match="reshape"):
        decode({"dtype": "float32", "shape": [3], "data": b"\0" * 8})
