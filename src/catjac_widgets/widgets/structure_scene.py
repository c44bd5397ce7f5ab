"""A structure as a viewer takes it: text with a track in it, the atoms of each residue, contact lines."""

from __future__ import annotations

import string
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.errors import StructureError
from catjac_widgets.sequences import Sequence
from catjac_widgets.structures.experimental import Structure
from catjac_widgets.structures.experimental import structure as read_structure

if TYPE_CHECKING:
    import xarray as xr

#: A viewer's shape: kind, from, to, colour (0 … 1), radius in Å, name.
Cylinder = tuple[str, list[float], list[float], list[float], float, str]

#: Colours of contact lines: in contact, not in contact, not known.
TRUE, FALSE, UNKNOWN = [0.11, 0.56, 0.35], [0.82, 0.29, 0.42], [0.45, 0.5, 0.58]

#: Radius of a contact line in Å.
RADIUS = 0.28

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

    def atoms_of(self, positions: Any) -> np.ndarray:
        """Atoms of 1-based positions; none for those that are not resolved."""
        residues = self.residue_of[np.asarray(list(positions), dtype=int) - 1]
        pieces = [np.arange(self.starts[k], self.starts[k + 1]) for k in residues if k >= 0]
        return np.concatenate(pieces) if pieces else np.zeros(0, dtype=int)

    def position_of(self, atom: int) -> int | None:
        """1-based position that an atom belongs to; None for residues that the sequence does not have."""
        if not 0 <= atom < self.starts[-1]:
            return None
        residue = int(np.searchsorted(self.starts, atom, side="right")) - 1
        found = np.flatnonzero(self.residue_of == residue)
        return int(found[0]) + 1 if len(found) else None

    def pdb_text(self, values: np.ndarray | None = None) -> str:
        """Write PDB text whose B-factors are a track scaled to 0 … 100; 0 where it is not known.

        Parameters
        ----------
        values
            (L,); NaN where unknown. Positions along the chain, from 0 to 100, without it.
        """
        import io

        from biotite.structure.io.pdb import PDBFile

        atoms = self.structure.atoms.copy()
        atoms.set_annotation("b_factor", np.repeat(self.scaled(values), np.diff(self.starts)))
        lengths = [len(chain.atoms) for chain in self.structure.chains]
        atoms.chain_id = np.repeat(list(_CHAIN_NAMES[: len(lengths)]), lengths)
        atoms.hetero[:] = False
        file = PDBFile()
        file.set_structure(atoms)
        text = io.StringIO()
        file.write(text)
        return text.getvalue()

    def scaled(self, values: np.ndarray | None) -> np.ndarray:
        """Scale a track to 0 … 100 between its 2nd and 98th percentile, by resolved residue."""
        track = (
            np.arange(len(self.sequence), dtype=float) if values is None else np.asarray(values, dtype=float)
        )
        low, high = np.nanpercentile(track, [2, 98]) if np.isfinite(track).any() else (0.0, 1.0)
        scaled = np.clip((track - low) / (high - low) * 100 if high > low else track * 0 + 50, 0, 100)
        by_residue = np.zeros(len(self.structure))
        known = self.residue_of >= 0
        by_residue[self.residue_of[known]] = np.nan_to_num(scaled[known])
        return by_residue

    def cylinders(self, contacts: xr.DataArray | np.ndarray, separation: int) -> list[Cylinder]:
        """Make lines for the L highest resolved pairs of a map, (L, L), coloured by contact or not.

        L counts the resolved residues; pairs nearer than `separation` along one chain are left out.
        """
        scores = np.array(contacts, dtype=float)
        chain = self.sequence.chain_index
        place = np.arange(len(chain))
        apart = np.abs(np.subtract.outer(place, place)) >= separation
        apart |= chain[:, None] != chain[None, :]
        there = np.isfinite(self.points).all(axis=1)
        allowed = np.triu(apart & there[:, None] & there[None, :] & np.isfinite(scores), 1)
        first, second = np.nonzero(allowed)
        order = np.argsort(-scores[first, second], kind="stable")[: int(there.sum())]
        truth = self.structure.contacts(self.sequence).values
        lines: list[Cylinder] = []
        for i, j in zip(first[order], second[order], strict=True):
            colour = UNKNOWN if np.isnan(truth[i, j]) else TRUE if truth[i, j] else FALSE
            name = f"{self.sequence.labels[i]}–{self.sequence.labels[j]}"
            ends = [[float(x) for x in self.points[k]] for k in (i, j)]
            lines.append(("cylinder", ends[0], ends[1], colour, RADIUS, name))
        return lines
