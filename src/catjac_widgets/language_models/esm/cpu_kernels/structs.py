"""The structures of `model.h`, `products.h` and `straight.c` as ctypes has them, member by member."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_double, c_float, c_int64, c_void_p
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


class Straight(Structure):
    """What `straight` reads, and the array to which it adds."""

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
