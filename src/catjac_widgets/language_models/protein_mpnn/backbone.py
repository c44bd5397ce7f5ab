"""Backbones: what ProteinMPNN is given of a structure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from catjac_widgets.errors import StructureError

#: The atoms that it reads, in this order.
ATOMS = ("N", "CA", "C", "O")


@dataclass(frozen=True, eq=False)
class Backbone:
    """Coordinates, numbering and chains of L residues.

    Attributes
    ----------
    coordinates
        float64 (L, 4, 3), in Å, of N, Cα, C and O; NaN where an atom is missing.
    index
        int64 (L,): counts residues along each chain, those that are missing from the coordinates included.
    chain
        int64 (L,): the chain that each residue belongs to.
    """

    coordinates: np.ndarray
    index: np.ndarray
    chain: np.ndarray

    def __post_init__(self) -> None:
        L = len(self.coordinates)
        if L < 2:
            raise StructureError(
                f"The structure has {L} residue{'s' * (L != 1)}; ProteinMPNN needs two or more."
            )
        if not np.isfinite(self.coordinates[:, 1]).all():
            raise StructureError("Every residue needs a Cα for ProteinMPNN; leave out those without.")

    def __len__(self) -> int:
        return len(self.coordinates)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that it says."""
        digest = hashlib.sha256()
        for values, kind in ((self.coordinates, "<f4"), (self.index, "<i8"), (self.chain, "<i8")):
            # One bit pattern for all that is not a number.
            plain = np.where(np.isnan(values), np.nan, values) if kind == "<f4" else values
            digest.update(np.ascontiguousarray(plain, dtype=kind).tobytes())
        return digest.hexdigest()


def backbone_of(structure: Any) -> Backbone:
    """Take the backbone of a structure.

    Parameters
    ----------
    structure
        With `chains`, as a `catjac_widgets.structures.experimental.Structure` has them. Where a chain is
        broken, its residues are counted by the structure's own numbers, as ProteinMPNN does.

    Raises
    ------
    StructureError
        If it has fewer than two residues.
    """
    chains = structure.chains
    return Backbone(
        np.concatenate([np.stack([chain.coordinates(atom) for atom in ATOMS], axis=1) for chain in chains]),
        np.concatenate([np.arange(len(chain)) + np.cumsum(chain.missing_before) for chain in chains]),
        np.repeat(np.arange(len(chains)), [len(chain) for chain in chains]),
    )
