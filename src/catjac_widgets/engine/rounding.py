"""Rows kept with fewer bits: rounded when they are computed, so that all who see them see the same."""

from __future__ import annotations

import os

import numpy as np

from catjac_widgets.errors import UsageError
from catjac_widgets.input_files import shown

BITS_VARIABLE = "CATJAC_CACHE_BITS"

#: One less than float32 has.
MOST_BITS = 22


def bits_to_keep() -> int | None:
    """Read how many bits of the mantissa rows in the cache keep, None for all of them.

    Raises
    ------
    UsageError
        If the environment variable is no such number.
    """
    setting = os.environ.get(BITS_VARIABLE, "").strip()
    if not setting:
        return None
    if not (setting.isascii() and setting.isdecimal() and 1 <= int(setting[:9]) <= MOST_BITS):
        raise UsageError(
            f"{BITS_VARIABLE}={shown(setting)!r} is no number of bits; give 1 to {MOST_BITS} (float16 has "
            "10), or unset it to keep rows as they are."
        )
    return int(setting)


def round_to_bits(values: np.ndarray, bits: int) -> None:
    """Round floats in place to the nearest with so many bits of the mantissa, ties to even.

    Parameters
    ----------
    values
        float32 or float64, of any shape. What would be rounded to infinity stays as it is.
    bits
        1 to `MOST_BITS`; see `largest_error`.

    References
    ----------
    Klöwer et al. (2021), Nature Computational Science 1, 713 (rounding bits before packing).
    """
    from numcodecs.bitround import BitRound

    rounded = BitRound(keepbits=bits).encode(values).view(values.dtype).reshape(values.shape)
    np.copyto(values, rounded, where=np.isfinite(rounded))


def largest_error(bits: int) -> float:
    """Relative error of a rounded number, at most; of float32 below 1.2e-38 it is 1e-38, absolute."""
    return 2.0 ** -(bits + 1)
