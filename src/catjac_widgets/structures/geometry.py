"""Distances and contacts between resolved residues."""

from __future__ import annotations

from typing import Literal

import numpy as np

from catjac_widgets.structures.residues import ResolvedChain

#: Å; two residues whose Cβ are nearer than this are in contact.
CUTOFF = 8.0

#: Cβ placed from N, Cα and C, as esm's tutorial does: bond in Å, angle N–Cα–Cβ and dihedral C–N–Cα–Cβ in rad.
BETA_BOND, BETA_ANGLE, BETA_DIHEDRAL = 1.522, 1.927, -2.143

Atoms = Literal["observed", "imputed"]


def representatives(chain: ResolvedChain, atoms: Atoms = "observed") -> np.ndarray:
    """Coordinates (n, 3), in Å, of the atom that stands for each residue, NaN where it is missing.

    Parameters
    ----------
    atoms
        "observed": Cβ as in the file, Cα for glycine and where Cβ is missing. "imputed": Cβ placed by its
        ideal geometry from N, Cα and C, for every residue.
    """
    if atoms == "observed":
        found = chain.coordinates("CB", "CA")
        glycine = np.array([letter == "G" for letter in chain.residues], dtype=bool)
        found[glycine] = chain.coordinates("CA")[glycine]
        return found
    return impute_beta(*(chain.coordinates(name) for name in ("N", "CA", "C")))


def impute_beta(N: np.ndarray, CA: np.ndarray, C: np.ndarray) -> np.ndarray:
    """Place Cβ, shape (n, 3), from the backbone atoms, each (n, 3), in Å."""
    along = _unit(CA - N)
    normal = _unit(np.cross(N - C, along))
    across = np.cross(normal, along)
    return CA + BETA_BOND * (
        -np.cos(BETA_ANGLE) * along
        + np.sin(BETA_ANGLE) * (np.cos(BETA_DIHEDRAL) * across + np.sin(BETA_DIHEDRAL) * normal)
    )


def distance_matrix(coordinates: np.ndarray) -> np.ndarray:
    """Distances (n, n), in Å, float64; NaN where a coordinate is."""
    coordinates = np.asarray(coordinates, dtype=np.float64)
    return np.linalg.norm(coordinates[:, None] - coordinates[None], axis=-1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
