"""The one table of the numerics that fair-esm's models offer: what each is, and how its runner is made.

A new one is a module of this folder and a line of `MODES`. What the engine has to know of it (its key, type
and batches, whether its error is measured) is told by its `Numerics`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from catjac_widgets.language_models.base import EXACT, FLOAT64, Numerics

if TYPE_CHECKING:
    from catjac_widgets.language_models.esm.prepared import PreparedInput
    from catjac_widgets.language_models.esm.runner import FairEsmRunner

    #: Makes a runner; imports what it needs when it is called.
    Make = Callable[[PreparedInput], FairEsmRunner]


def _exact(prepared: PreparedInput) -> FairEsmRunner:
    from catjac_widgets.language_models.esm.numerics.exact import ExactRunner

    return ExactRunner(prepared)


def _float64(prepared: PreparedInput) -> FairEsmRunner:
    from catjac_widgets.language_models.esm.numerics.float64 import Float64Runner

    return Float64Runner(prepared)


def _delta_int8(prepared: PreparedInput) -> FairEsmRunner:
    from catjac_widgets.language_models.esm.numerics.delta_int8 import DeltaInt8Runner

    return DeltaInt8Runner(prepared)


def _delta_16_bit(products: str, attention: str) -> Make:
    def make(prepared: PreparedInput) -> FairEsmRunner:
        import torch

        from catjac_widgets.language_models.esm.numerics.delta_16_bit import Delta16BitRunner

        return Delta16BitRunner(prepared, getattr(torch, products), getattr(torch, attention))

    return make


#: By preference: of several that answer to one name, the first that suits the device is taken.
#:
#: A GPU computes attention in float16 too. That is another algorithm, with other numbers, than the one for
#: CPUs, which came first and keeps the plain name: it has a name, and with it cache keys, of its own.
MODES: tuple[tuple[Numerics, Make], ...] = (
    (EXACT, _exact),
    (
        Numerics(
            "delta-int8",
            "8-bit products of differences from the wild type; the rest in float32",
            approximate=True,
            devices=("cpu",),
            batch_factor=2,
            asked_as=("delta",),
        ),
        _delta_int8,
    ),
    (
        Numerics(
            "delta-bfloat16",
            "bfloat16 products of differences from the wild type; attention in float32",
            approximate=True,
            devices=("cpu", "mps"),
            asked_as=("delta",),
        ),
        _delta_16_bit("bfloat16", "float32"),
    ),
    (
        Numerics(
            "delta-bfloat16-attention-float16",
            "bfloat16 products of differences from the wild type; attention in float16",
            approximate=True,
            devices=("cuda",),
            batch_factor=4,
            asked_as=("delta", "delta-bfloat16"),
        ),
        _delta_16_bit("bfloat16", "float16"),
    ),
    (
        Numerics(
            "delta-float16",
            "float16 products of differences from the wild type; attention in float32",
            approximate=True,
            devices=("cpu", "mps"),
        ),
        _delta_16_bit("float16", "float32"),
    ),
    (
        Numerics(
            "delta-float16-attention-float16",
            "float16 products of differences from the wild type; attention in float16",
            approximate=True,
            devices=("cuda",),
            batch_factor=4,
            asked_as=("delta-float16",),
        ),
        _delta_16_bit("float16", "float16"),
    ),
    (FLOAT64, _float64),
)

NUMERICS = tuple(numerics for numerics, _ in MODES)


def make_runner(numerics: Numerics, prepared: PreparedInput) -> FairEsmRunner:
    """Make the runner of one input in some numerics of this table."""
    return dict(MODES)[numerics](prepared)
