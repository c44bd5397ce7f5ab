"""A structure as a viewer takes it: text, the atoms of each residue, tracks to colour by, pairs for lines."""

from __future__ import annotations

import string
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.errors import StructureError
from catjac_widgets.proteins.sequences import Sequence
from catjac_widgets.structures.experimental import Structure
from catjac_widgets.structures.experimental import structure as read_structure

if TYPE_CHECKING:
    import xarray as xr

#: Minimum separations along the chain for which the browser finds its pairs without asking.
SEPARATIONS = 100

_CHAIN_NAMES = string.ascii_uppercase + string.ascii_lowercase + string.digits


class Scene:
    """One structure over one sequence; atoms are counted as the viewer counts them, from 0.

    Chains are named anew in the text and residues are found by their atoms, so that blank or long chain
    names, insertion codes, caps and modified residues make no difference.

    Parameters
    ----------
    structure
        A `Structure`, a path, or "pdb:" and an id.
    sequence
        Whose residues are meant; the structure's own by default.

    Raises
    ------
    StructureError
        If it cannot be read, or does not fit the sequence.
    """

    def __init__(self, structure: Any, sequence: Sequence | None = None) -> None:
        if not isinstance(structure, Structure):
            structure = read_structure(structure, sequence=sequence)
        self.structure: Structure = structure
        self.sequence = sequence or structure.query or structure.sequence
        #: Int (L,): the resolved residue of each position, −1 where there is none.
        self.residue_of = structure.map_to(self.sequence)
        if len(structure.chains) > len(_CHAIN_NAMES):
            raise StructureError(
                f"{structure.name} has {len(structure.chains)} chains, more than the viewer can show; "
                "choose some with chain=…."
            )

    @cached_property
    def starts(self) -> np.ndarray:
        """First atom of each resolved residue, and the number of atoms at the end."""
        counts = np.concatenate([np.diff(chain.starts) for chain in self.structure.chains])
        return np.concatenate([[0], np.cumsum(counts)])

    @cached_property
    def points(self) -> np.ndarray:
        """Where each position's residue stands (Cβ, or Cα), (L, 3) in Å; NaN where it is not resolved."""
        points = np.full((len(self.sequence), 3), np.nan)
        known = self.residue_of >= 0
        points[known] = self.structure.coordinates.values[self.residue_of[known]]
        return points

    @property
    def unresolved(self) -> int:
        """How many positions of the sequence the structure does not show."""
        return int((self.residue_of < 0).sum())

    @cached_property
    def atoms(self) -> np.ndarray:
        """First atom of each position and one beyond its last, int32 (L, 2); −1 where there is none."""
        known = self.residue_of >= 0
        atoms = np.full((len(self.sequence), 2), -1, dtype=np.int32)
        atoms[known, 0] = self.starts[self.residue_of[known]]
        atoms[known, 1] = self.starts[self.residue_of[known] + 1]
        return atoms

    def pdb_text(self) -> str:
        """Write the resolved residues as PDB text with chain names of one letter."""
        import io

        from biotite.structure.io.pdb import PDBFile

        atoms = self.structure.atoms.copy()
        lengths = [len(chain.atoms) for chain in self.structure.chains]
        atoms.chain_id = np.repeat(list(_CHAIN_NAMES[: len(lengths)]), lengths)
        atoms.hetero[:] = False
        file = PDBFile()
        file.set_structure(atoms)
        text = io.StringIO()
        file.write(text)
        return text.getvalue()

    def pairs(self, contacts: xr.DataArray | np.ndarray, separation: int = 1) -> np.ndarray:
        """Find the pairs of a map that lines may be drawn for, best first.

        Parameters
        ----------
        contacts
            Scores, (L, L).
        separation
            A minimum separation that will be asked for, beside all up to `SEPARATIONS`.

        Returns
        -------
        numpy.ndarray
            int32 (n, 3): 1-based positions i < j, and 1 in contact, 0 not, −1 not known. For each of those
            separations it holds the R best pairs that are at least so far apart along one chain, or of two
            chains, with R the number of resolved residues.
        """
        scores = np.array(contacts, dtype=float)
        chain = self.sequence.chain_index
        there = np.isfinite(self.points).all(axis=1)
        first, second = np.nonzero(np.triu(there[:, None] & there[None, :] & np.isfinite(scores), 1))
        order = np.argsort(-scores[first, second], kind="stable")
        first, second = first[order], second[order]
        apart = np.where(chain[first] == chain[second], second - first, len(chain))
        kept = np.zeros(len(first), dtype=bool)
        for least in {*range(1, min(SEPARATIONS, len(chain)) + 1), separation}:
            kept[np.flatnonzero(apart >= least)[: int(there.sum())]] = True
        first, second = first[kept], second[kept]
        truth = self.structure.contacts(self.sequence).values[first, second]
        return np.stack([first + 1, second + 1, np.nan_to_num(truth, nan=-1)], axis=1).astype(np.int32)


def shade(track: np.ndarray) -> np.ndarray:
    """Scale a track to 0 … 1 between its 2nd and 98th percentile, float32; NaN stays."""
    if not np.isfinite(track).any():
        return np.full(len(track), np.nan, dtype=np.float32)
    low, high = np.nanpercentile(track, [2, 98])
    scaled = (track - low) / (high - low) if high > low else track * 0 + 0.5
    return np.clip(scaled, 0, 1).astype(np.float32)
