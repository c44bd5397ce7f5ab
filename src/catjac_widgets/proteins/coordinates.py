"""The names of axes and residues: how labelled arrays say which numbers belong to which residues and letters.

A Jacobian has the axes `AXES`, a map (pos_i, pos_j), a table by residue (pos,). Positions are 1-based; beside
each ride `RESIDUE_LABELS` as coordinates, `chain_in`, `number_in`, …. Arrays are only read here, never made,
so that nothing heavy is imported.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

from catjac_widgets.proteins.sequences import Chain, Sequence

#: The four axes of a Jacobian, in order: substituted position and letter, then position and letter read.
AXES = ("pos_in", "aa_in", "pos_out", "aa_out")

#: What rides along with each position: `chain_in`, `chain_out`, `chain_i`, `chain_j` or plain `chain`, ….
RESIDUE_LABELS = ("chain", "number", "wild_type", "residue")


def residue_coordinates(
    sequence: Sequence, sides: Iterable[str] = ("i", "j"), index: np.ndarray | None = None
) -> dict[Hashable, tuple[str, np.ndarray]]:
    """Make the coordinates of an array over a sequence: `pos_i`, `chain_i`, `number_i`, `residue_i`, ….

    Parameters
    ----------
    sides
        Suffixes of the dimensions, "in" and "out" of a Jacobian; "" gives `pos`, `chain`, ….
    index
        Which residues, 0-based; all by default.

    Returns
    -------
    dict
        Name → (dimension, values): int64 positions from 1, text otherwise.
    """
    chosen = slice(None) if index is None else index
    values = {
        "pos": sequence.positions,
        "chain": np.array(sequence.chain_names, dtype=str),
        "number": np.array(sequence.numbers, dtype=str),
        "wild_type": np.array(list(sequence.residues), dtype=str),
        "residue": np.array(sequence.labels, dtype=str),
    }
    return {
        _on_side(name, side): (_on_side("pos", side), array[chosen])
        for side in sides
        for name, array in values.items()
    }


def sequence_along(array: Any, side: str) -> Sequence:
    """Read the residues off the coordinates of one axis of an array.

    Parameters
    ----------
    array
        A DataArray or Dataset with (some of) the coordinates chain_*, number_*, wild_type_*; or any array.
    side
        "i" for a map's rows, "out" for the positions read of a Jacobian, "" for a table by residue.

    Returns
    -------
    Sequence
        Of the axis' length; residue X, chain A and numbers 1 … L where nothing is said.
    """
    coordinates = getattr(array, "coords", {})
    said = {
        label: [str(text) for text in np.atleast_1d(coordinates[_on_side(label, side)].values)]
        for label in ("chain", "number", "wild_type")
        if _on_side(label, side) in coordinates
    }
    length = len(next(iter(said.values()))) if said else _length(array, side)
    chains = said.get("chain", ["A"] * length)
    numbers = said.get("number", [str(k + 1) for k in range(length)])
    residues = said.get("wild_type", ["X"] * length)
    starts = [k for k in range(length) if k == 0 or chains[k] != chains[k - 1]]
    made = tuple(
        Chain(chains[first], "".join(residues[first:last]), tuple(numbers[first:last]))
        for first, last in zip(starts, [*starts[1:], length], strict=True)
    )
    return Sequence(made, str(getattr(array, "attrs", {}).get("sequence_name", "")))


def says_residues(array: Any, side: str) -> bool:
    """Tell whether an array has chain, number and wild type along `pos_<side>`."""
    coordinates = getattr(array, "coords", {})
    return all(_on_side(label, side) in coordinates for label in ("chain", "number", "wild_type"))


def _length(array: Any, side: str) -> int:
    sizes = getattr(array, "sizes", {})
    axis = _on_side("pos", side)
    return int(sizes[axis]) if axis in sizes else len(array)


def _on_side(label: str, side: str) -> str:
    return f"{label}_{side}" if side else label
