"""Residues named and numbered as a structure does."""

from __future__ import annotations

from typing import Any

from catjac_widgets.proteins.sequences import Chain, Sequence


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
