"""Residues read off the coordinates of a labelled array, for views that are given nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from catjac_widgets.proteins.sequences import Chain, Sequence


def sequence_of(array: Any, suffix: str) -> Sequence:
    """Chains, numbers and residues of one axis of an array.

    Parameters
    ----------
    array
        A DataArray with (some of) the coordinates chain_*, number_*, wild_type_*; or any array.
    suffix
        "i" for a map's rows, "out" for the read side of a Jacobian.

    Returns
    -------
    Sequence
        Of the axis' length; residue X, chain A and numbers 1 … L where nothing is said.
    """
    coordinates = getattr(array, "coords", {})
    length = array.sizes[f"pos_{suffix}"] if f"pos_{suffix}" in getattr(array, "sizes", {}) else len(array)

    def texts(name: str, default: list[str]) -> list[str]:
        key = f"{name}_{suffix}"
        return (
            [str(text) for text in np.atleast_1d(coordinates[key].values)] if key in coordinates else default
        )

    numbers = texts("number", [str(k + 1) for k in range(length)])
    residues = texts("wild_type", ["X"] * length)
    names = texts("chain", ["A"] * length)
    starts = [k for k in range(length) if k == 0 or names[k] != names[k - 1]]
    chains = tuple(
        Chain(names[first], "".join(residues[first:last]), tuple(numbers[first:last]))
        for first, last in zip(starts, [*starts[1:], length], strict=True)
    )
    return Sequence(chains, str(getattr(array, "attrs", {}).get("sequence_name", "")))


def structure_names(structure: Any, sequence: Sequence) -> Sequence | None:
    """Name and number a sequence's residues as a structure does.

    Returns
    -------
    Sequence
        The sequence's residues with the chain names and the numbers of the residues that they map to; a
        residue that is not resolved bears its position in brackets. None where `structure` has no residues
        of its own (an array of contacts), or none that are numbered otherwise.

    Raises
    ------
    StructureError
        If it does not fit the sequence.
    """
    if not hasattr(structure, "map_to"):
        return None
    own, index = structure.sequence, structure.map_to(sequence)
    chains, start = [], 0
    for chain in sequence.chains:
        mapped = index[start : start + len(chain)]
        numbers = tuple(
            own.numbers[k] if k >= 0 else f"[{position}]" for position, k in enumerate(mapped, start + 1)
        )
        names = [own.chain_names[k] for k in mapped if k >= 0]
        chains.append(Chain(names[0] if names else chain.name, chain.residues, numbers))
        start += len(chain)
    named = Sequence(tuple(chains), sequence.name)
    same = (named.chain_names, named.numbers) == (sequence.chain_names, sequence.numbers)
    return None if same else named
