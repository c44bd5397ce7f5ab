"""Dense layers laid out for oneDNN: right for any number of rows, of which it sees few."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from checkpoints import random_esm2

from catjac_widgets.language_models.esm.first_order.bfloat16 import (
    LEAST_ROWS,
    MOST_ROWS,
    ROW_STEP,
    multiply,
    pack,
)

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN, and packs no layers"
)


@pytest.mark.parametrize("shape", [(1,), (31,), (32,), (33,), (3, 39), (2, 4, 65), (1024,), (3, 1367)])
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_number_of_rows_is_multiplied_right(
    shape: tuple[int, ...], gelu: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(*shape, 48), torch.randn(80, 48), torch.randn(80)
    with torch.inference_mode():
        try:
            found = multiply(x.to(dtype), *pack(weight, bias, dtype), gelu=gelu)
        except RuntimeError as error:
            if dtype is torch.bfloat16:
                pytest.skip(f"this processor multiplies no bfloat16 ({error})")
            raise
    rounded = [part.to(dtype).double() for part in (x, weight, bias)]
    wanted = F.linear(*rounded)
    wanted = F.gelu(wanted) if gelu else wanted
    assert found.shape == wanted.shape
    assert found.dtype == dtype
    off = (found.double() - wanted).abs()
    assert bool((off <= (1e-4 if dtype is torch.float32 else 2**-7 * (1 + wanted.abs()))).all())


def test_the_numbers_of_rows_that_one_dnn_sees_do_not_grow_with_those_of_proteins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It keeps half a megabyte for each."""
    dense = random_esm2().layers[0].fc1
    packed = pack(dense.weight, dense.bias, torch.float32)
    multiply_whole = torch.ops.mkldnn._linear_pointwise
    seen = set()

    def watched(x: torch.Tensor, *rest: Any) -> torch.Tensor:
        seen.add(len(x))
        return multiply_whole(x, *rest)

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", watched)
    with torch.inference_mode():
        for length in range(30, 130):
            multiply(torch.zeros(19, length, dense.in_features), *packed)
            multiply(torch.zeros(1, length, dense.in_features), *packed)
    assert seen <= {32, 64, 128, *range(ROW_STEP, MOST_ROWS + 1, ROW_STEP)}
    assert (min(seen), len(seen)) == (LEAST_ROWS, 3 + len(range(30 * 19, 129 * 19 + ROW_STEP, ROW_STEP)))
