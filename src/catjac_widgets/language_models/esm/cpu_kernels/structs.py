"""The structures of the C sources as ctypes has them, member by member, and a check that both agree.

`Norm` is that of ``vectors.h``, `Dense` of ``products.h``, `Layer` and `Model` of ``model.h``, and
`DirectEffects` of ``direct_effects.c``.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import CDLL, POINTER, Structure, c_double, c_float, c_int64, c_void_p, sizeof
from typing import ClassVar


class Dense(Structure):
    """A dense layer: addresses of its weights and of the wild type's input and output or of its bias."""

    _fields_: ClassVar = [
        *((name, c_int64) for name in ("inputs", "outputs", "in_float32")),
        *((name, c_void_p) for name in ("weight", "packed", "offset", "scale", "input", "output")),
        ("output_stride", c_int64),
        ("quiet", c_double),
    ]


class Norm(Structure):
    """A layer norm."""

    _fields_: ClassVar = [("weight", c_void_p), ("bias", c_void_p), ("epsilon", c_double)]


class Layer(Structure):
    """A transformer block."""

    _fields_: ClassVar = [
        *((name, Norm) for name in ("attention_norm", "feed_forward_norm")),
        *((name, Dense) for name in ("projections", "attention_output", "up", "down")),
    ]


class Model(Structure):
    """A model with the wild type of one protein."""

    _fields_: ClassVar = [
        *(
            (name, c_int64)
            for name in (
                "tokens",
                "channels",
                "heads",
                "layers",
                "first",
                "residues",
                "letters",
                "strongest",
                "mask",
            )
        ),
        ("scaling", c_double),
        ("embedding", c_void_p),
        ("positions", c_void_p),
        ("first_norm", Norm),
        ("cosine", c_void_p),
        ("sine", c_void_p),
        ("layer", POINTER(Layer)),
        *((name, Norm) for name in ("last_norm", "head_norm")),
        ("head", Dense),
        ("letter_weight", c_void_p),
        ("letter_bias", c_void_p),
    ]


class DirectEffects(Structure):
    """What the kernel of direct effects reads, and the array to which it adds."""

    _fields_: ClassVar = [
        *((name, c_int64) for name in ("length", "heads", "depth", "letters")),
        ("most_score", c_float),
        ("least_sum", c_float),
        *(
            (name, c_void_p)
            for name in (
                "query",
                "weights",
                "of_mixture",
                "reading",
                "value",
                "key_change",
                "value_change",
                "term",
            )
        ),
    ]


#: Structures that the libraries of passes tell of in their ``layouts``, in that order; and that of direct
#: effects.
PASSES: tuple[type[Structure], ...] = (Norm, Dense, Layer, Model)
DIRECT_EFFECTS: tuple[type[Structure], ...] = (DirectEffects,)


def differing(library: CDLL, mirrors: Sequence[type[Structure]]) -> list[str]:
    """Name the mirrors whose size or last member's place is not what a library was compiled with.

    Parameters
    ----------
    library
        Exports ``layouts``, two int64 a structure.
    mirrors
        Of those structures, in their order.
    """
    told = (c_int64 * (2 * len(mirrors))).in_dll(library, "layouts")
    found = []
    for mirror, size, last in zip(mirrors, told[::2], told[1::2], strict=True):
        name = mirror._fields_[-1][0]
        if (sizeof(mirror), getattr(mirror, name).offset) != (size, last):
            found.append(mirror.__name__)
    return found
