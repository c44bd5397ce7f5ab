"""Frames: maps that are shown for as long as something is dragged, and how they travel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np


@dataclass(frozen=True, eq=False)
class Frame:
    """One map of probabilities, and its words.

    Attributes
    ----------
    serial
        Of the question that it answers; serial numbers grow.
    values
        (L, L), symmetric, in 0 … 1.
    label, caption
        What it says it shows.
    """

    serial: int
    values: np.ndarray
    label: str
    caption: str = ""

    def message(self) -> FrameMessage:
        """Return what goes to the front end beside the values."""
        return {
            "kind": "frame",
            "serial": self.serial,
            "label": self.label,
            "caption": self.caption,
            "quantity": "probability",
        }


class FrameMessage(TypedDict):
    """What the front end is sent, on the contact map's comm, with the map as a buffer: see `packed`."""

    kind: Literal["frame"]
    serial: int
    label: str
    caption: str
    quantity: str


def packed(probabilities: np.ndarray) -> np.ndarray:
    """Make a symmetric map small for its way to the browser: a quarter of float32, and as exact as is read.

    Parameters
    ----------
    probabilities
        (L, L), symmetric, in 0 … 1.

    Returns
    -------
    np.ndarray
        little-endian uint16, (L (L + 1) / 2,): the upper triangle with the diagonal, row by row, in steps of
        1/65535.
    """
    upper = probabilities[np.triu(np.ones(probabilities.shape, dtype=bool))]
    return np.rint(65535 * np.clip(upper, 0.0, 1.0)).astype("<u2")
