"""Experimental structures: from a file or the Protein Data Bank to contacts of a sequence."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from catjac_widgets.errors import StructureError, UsageError
from catjac_widgets.input_files import user_path
from catjac_widgets.proteins.coordinates import residue_coordinates
from catjac_widgets.proteins.sequences import Chain, Sequence
from catjac_widgets.structures.geometry import CUTOFF, Atoms, distance_matrix, representatives
from catjac_widgets.structures.mapping import MINIMUM_IDENTITY, as_query, assign_chains, listed
from catjac_widgets.structures.reading import download, read_atoms
from catjac_widgets.structures.residues import ResolvedChain, resolved_chains

if TYPE_CHECKING:
    from biotite.structure import AtomArray


@dataclass(frozen=True, eq=False)
class Structure:
    """Resolved residues of one or several chains, and what can be measured between them.

    Made by `structure`. Wherever a method takes a `sequence`, that is the sequence (L residues) over which
    the result runs; by default the one given to `structure`, or the resolved residues themselves.

    Attributes
    ----------
    name
        PDB id, or the file's name.
    chains
        The chosen chains, in the order asked for.
    query
        The sequence given to `structure`, or None.
    """

    name: str
    chains: tuple[ResolvedChain, ...]
    query: Sequence | None = None

    def __repr__(self) -> str:
        return f"<Structure {self.name}, chain {listed(self.chains)}>"

    def __len__(self) -> int:
        return sum(len(chain) for chain in self.chains)

    @cached_property
    def sequence(self) -> Sequence:
        """The resolved residues with the structure's own chain names and numbers; "X" where unknown."""
        chains = (Chain(chain.name, chain.residues, chain.numbers) for chain in self.chains)
        return Sequence(tuple(chains), self.name)

    @cached_property
    def atoms(self) -> AtomArray:
        """Heavy atoms of the resolved residues, chain after chain."""
        joined = self.chains[0].atoms.copy()
        for chain in self.chains[1:]:
            joined += chain.atoms
        return joined

    @cached_property
    def coordinates(self) -> xr.DataArray:
        """The atom that stands for each resolved residue (Cβ, or Cα): dims (pos, axis), in Å."""
        return self._labelled(
            np.concatenate([representatives(chain) for chain in self.chains]), self.sequence
        )

    def map_to(
        self, sequence: Sequence | str | None = None, *, minimum_identity: float = MINIMUM_IDENTITY
    ) -> np.ndarray:
        """Find the resolved residue of each residue of a sequence.

        Parameters
        ----------
        minimum_identity
            Share of identical residues among those aligned, below which a chain is refused.

        Returns
        -------
        np.ndarray
            int (L,): 0-based index into `self.sequence`, −1 where the residue is not resolved.

        Raises
        ------
        StructureError
            If a chain of the sequence matches no chain of the structure well enough.
        """
        if sequence is None and self.query is None:
            return np.arange(len(self))
        wanted = self.query if sequence is None else as_query(sequence)
        assert wanted is not None
        if wanted is self.sequence:
            return np.arange(len(self))
        offsets = np.concatenate([[0], np.cumsum([len(chain) for chain in self.chains])])
        parts = []
        for place, match in assign_chains(wanted, self.chains, self.name, minimum_identity):
            parts.append(np.where(match.index >= 0, match.index + offsets[place], -1))
        return np.concatenate(parts)

    def distances(
        self,
        sequence: Sequence | str | None = None,
        *,
        atoms: Atoms = "observed",
        minimum_identity: float = MINIMUM_IDENTITY,
    ) -> xr.DataArray:
        """Measure the distances between residues.

        Parameters
        ----------
        atoms
            "observed": between Cβ (Cα for glycine or where Cβ is missing). "imputed": between Cβ placed from
            N, Cα and C by ideal geometry, glycine included, as esm's tutorial does.
        minimum_identity
            See `map_to`.

        Returns
        -------
        xr.DataArray
            float64, dims (pos_i, pos_j) over the sequence, in Å; NaN where a residue or its atom is not
            resolved.

        Raises
        ------
        StructureError
            See `map_to`.
        UsageError
            If `atoms` is neither of the two.
        """
        over = self._over(sequence)
        return xr.DataArray(
            self._distances(over, atoms, minimum_identity),
            dims=("pos_i", "pos_j"),
            coords=residue_coordinates(over),
            name="distances",
            attrs={"kind": "experimental distances", "structure": self.name, "atoms": atoms, "units": "Å"},
        )

    def contacts(
        self,
        sequence: Sequence | str | None = None,
        cutoff: float = CUTOFF,
        *,
        atoms: Atoms = "observed",
        minimum_identity: float = MINIMUM_IDENTITY,
    ) -> xr.DataArray:
        """Find the residues in contact: nearer than `cutoff` Å.

        Parameters
        ----------
        sequence, atoms, minimum_identity
            See `distances`.

        Returns
        -------
        xr.DataArray
            float64, dims (pos_i, pos_j): 1 contact, 0 none, NaN unresolved. `attrs["kind"]` is "native
            contacts".

        Raises
        ------
        StructureError, UsageError
            See `distances`.
        """
        over = self._over(sequence)
        values = self.contact_values(over, cutoff, atoms=atoms, minimum_identity=minimum_identity)
        attrs = {"kind": "native contacts", "structure": self.name, "atoms": atoms, "cutoff": float(cutoff)}
        return xr.DataArray(
            values,
            dims=("pos_i", "pos_j"),
            coords=residue_coordinates(over),
            name="native_contacts",
            attrs=attrs | {"units": "1"},
        )

    def contact_values(
        self,
        sequence: Sequence | str | None = None,
        cutoff: float = CUTOFF,
        *,
        atoms: Atoms = "observed",
        minimum_identity: float = MINIMUM_IDENTITY,
    ) -> np.ndarray:
        """Find what `contacts` does, as a bare array.

        For who has to show something at once: xarray imports every array library that is installed when it
        labels its first array, dask among them, which takes most of a second.

        Returns
        -------
        np.ndarray
            float64 (L, L): 1 contact, 0 none, NaN unresolved.
        """
        distances = self._distances(self._over(sequence), atoms, minimum_identity)
        return np.where(np.isnan(distances), np.nan, distances < cutoff)

    def secondary_structure(
        self, sequence: Sequence | str | None = None, *, minimum_identity: float = MINIMUM_IDENTITY
    ) -> xr.DataArray:
        """Assign helix (H), strand (E) or neither (-) from the Cα trace (P-SEA; Labesse et al. 1997).

        Returns
        -------
        xr.DataArray
            Text, dim pos over the sequence; "" where the residue is not resolved.

        Raises
        ------
        StructureError
            See `map_to`.
        """
        from biotite.structure import annotate_sse

        names = {"a": "H", "b": "E", "c": "-", "": ""}
        found = np.concatenate(
            [[names[str(letter)] for letter in annotate_sse(chain.atoms)] for chain in self.chains]
        )
        over = self._over(sequence)
        index = self.map_to(over, minimum_identity=minimum_identity)
        values = np.where(index >= 0, found[index], "")
        return xr.DataArray(
            values, dims="pos", coords=residue_coordinates(over, [""]), name="secondary_structure"
        )

    def to_pdb(self) -> str:
        """Write the resolved residues (heavy atoms, own chain names and numbers) as PDB text, for viewers.

        Raises
        ------
        StructureError
            If a chain's name has more than the one character that the format allows.
        """
        from biotite.structure.io.pdb import PDBFile

        long_names = [chain.name for chain in self.chains if len(chain.name) > 1]
        if long_names:
            raise StructureError(
                f"The name of chain {long_names[0]} is longer than PDB text can hold; rename the chain."
            )
        file = PDBFile()
        file.set_structure(self.atoms)
        text = io.StringIO()
        file.write(text)
        return text.getvalue()

    def _distances(self, over: Sequence, atoms: Atoms, minimum_identity: float) -> np.ndarray:
        if atoms not in ("observed", "imputed"):
            raise UsageError(f"atoms={atoms!r} is neither 'observed' nor 'imputed'.")
        index = self.map_to(over, minimum_identity=minimum_identity)
        found = np.concatenate([representatives(chain, atoms) for chain in self.chains])
        mapped = np.full((len(over), 3), np.nan)
        mapped[index >= 0] = found[index[index >= 0]]
        return distance_matrix(mapped)

    def _over(self, sequence: Sequence | str | None) -> Sequence:
        if sequence is not None:
            return as_query(sequence)
        return self.query if self.query is not None else self.sequence

    def _labelled(self, coordinates: np.ndarray, sequence: Sequence) -> xr.DataArray:
        coords = residue_coordinates(sequence, [""])
        return xr.DataArray(
            coordinates,
            dims=("pos", "axis"),
            coords={**coords, "axis": list("xyz")},
            name="coordinates",
            attrs={"units": "Å"},
        )


def structure(
    what: Any,
    *,
    chain: str | Iterable[str] | None = None,
    sequence: Sequence | str | None = None,
    minimum_identity: float = MINIMUM_IDENTITY,
) -> Structure:
    """Read an experimental structure.

    The first model and the first alternate locations are taken. Modified residues count as what they stand
    for (selenomethionine is M); ligands, caps and water are left out.

    Parameters
    ----------
    what
        "pdb:1A3A" (downloaded once, then kept in the cache folder), the path of a .pdb, .cif or .bcif file
        (.gz as well), an example of the package, a `Structure` or a biotite AtomArray.
    chain
        The author's chain name, several as "A:B" or a list; needed where there are several protein chains and
        no `sequence` tells which.
    sequence
        The sequence that distances and contacts shall run over by default; without `chain`, the chains that
        match it best are taken.
    minimum_identity
        See `Structure.map_to`.

    Returns
    -------
    Structure

    Raises
    ------
    StructureError
        If it cannot be found, downloaded or read, holds no protein, a chain is not named or does not exist,
        or the sequence does not match.
    """
    own = what if isinstance(what, Structure) else getattr(what, "structure", None)
    if isinstance(own, Structure):
        name, chains = own.name, list(own.chains)
    else:
        name, atoms = _atoms(what)
        chains = resolved_chains(atoms)
    if not chains:
        raise StructureError(f"{name} holds no protein residue with coordinates; give another structure.")
    query = None if sequence is None else as_query(sequence)
    chosen = _chosen(name, chains, chain, query, minimum_identity)
    made = Structure(name, tuple(chosen), query)
    if query is not None:
        made.map_to(minimum_identity=minimum_identity)
    return made


def _atoms(what: AtomArray | str | Path) -> tuple[str, AtomArray]:
    if not isinstance(what, str | Path):
        from biotite.structure import AtomArray

        if isinstance(what, AtomArray):
            return "structure", what
        raise StructureError(
            f'A structure is "pdb:" and an id, a file or a biotite AtomArray, not {type(what).__name__}.'
        )
    if isinstance(what, str) and what.lower().startswith("pdb:"):
        pdb_id = what[4:].strip()
        return pdb_id.upper(), download(pdb_id)
    path = user_path(what)
    if re.fullmatch(r"[1-9]\w{3}", str(what)) and not path.is_file():
        raise StructureError(f'There is no structure file {what}; did you mean "pdb:{what}"?')
    return re.sub(r"\.(pdb|ent|cif|mmcif|bcif)(\.gz)?$", "", path.name, flags=re.IGNORECASE), read_atoms(path)


def _chosen(
    name: str,
    chains: list[ResolvedChain],
    asked: str | Iterable[str] | None,
    query: Sequence | None,
    minimum_identity: float,
) -> list[ResolvedChain]:
    by_name = {chain.name: chain for chain in chains}
    there = listed(chains)
    if asked is not None:
        names = asked.split(":") if isinstance(asked, str) else list(asked)
        for wanted in names:
            if wanted not in by_name:
                raise StructureError(f"{name} has no protein chain {wanted!r}; it has {there}.")
        if len(set(names)) < len(names):
            raise StructureError("A chain was asked for twice; name each once.")
        return [by_name[wanted] for wanted in names]
    if len(chains) == 1:
        return chains
    if query is None:
        raise StructureError(
            f"{name} has several protein chains: {there}; choose with chain=… (several as "
            f'"{chains[0].name}:{chains[1].name}").'
        )
    return [chains[place] for place, _ in assign_chains(query, tuple(chains), name, minimum_identity)]
