"""Which residues a structure holds: letters, numbers, atoms and gaps, chain by chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from catjac_widgets.errors import StructureError
from catjac_widgets.proteins.alphabets import ESM_LETTERS, THREE_TO_ONE

if TYPE_CHECKING:
    from biotite.structure import AtomArray

#: A peptide bond is 1.33 Å long; anything up to this counts as bonded.
BOND = 2.0

#: The letter of a residue that is part of the chain but stands for none of the 20.
UNKNOWN = "X"

#: Chains of a structure at most; the largest of the PDB have some thousand.
MOST_CHAINS = 10_000

#: Longest stretch of missing residues that a jump in the numbering is believed to mean.
LONGEST_GAP = 1000


@dataclass(frozen=True, eq=False)
class ResolvedChain:
    """The residues of one chain that have coordinates.

    Attributes
    ----------
    name
        The structure's own chain name (the author's), "" where the file leaves it blank.
    residues
        One letter each; modified residues by the letter they stand for, "X" where they stand for none.
    numbers
        The structure's own numbers, insertion codes included ("52A").
    missing_before
        How many residues the numbering skips before each one, where the chain is broken there; int array.
    atoms
        Their heavy atoms.
    starts
        Index of each residue's first atom, and the number of atoms at the end; int array of length n + 1.
    """

    name: str
    residues: str
    numbers: tuple[str, ...]
    missing_before: np.ndarray
    atoms: AtomArray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.residues)

    def coordinates(self, *names: str) -> np.ndarray:
        """Coordinates (n, 3), in Å, of the first of these atoms that each residue has; NaN if none."""
        found = np.full((len(self), 3), np.nan)
        residue_of = np.repeat(np.arange(len(self)), np.diff(self.starts))
        for name in reversed(names):
            chosen = self.atoms.atom_name == name
            found[residue_of[chosen]] = self.atoms.coord[chosen]
        return found


def one_letter(name: str) -> str:
    """Find the letter that a residue's three-letter name stands for, "X" if none."""
    from biotite.structure.info import one_letter_code

    letter = THREE_TO_ONE.get(name) or one_letter_code(name)
    return letter if letter is not None and len(letter) == 1 and letter in ESM_LETTERS else UNKNOWN


def resolved_chains(atoms: AtomArray) -> list[ResolvedChain]:
    """Find the protein chains of a structure, without ligands, caps and water.

    A residue belongs to a chain if it is an amino acid with a Cα; where the file marks it as a hetero group,
    it must also be bonded to a neighbour, so that a free amino acid is a ligand and selenomethionine is not.

    Raises
    ------
    StructureError
        If there are more than `MOST_CHAINS`.
    """
    from biotite.structure import filter_heavy, get_residue_starts

    atoms = atoms[filter_heavy(atoms)]
    chains = []
    for name, places in _by_chain(atoms):
        part = atoms[places]
        edges = get_residue_starts(part, add_exclusive_stop=True) if len(part) else np.zeros(1, int)
        kept = _polymer(part, edges)
        if not kept:
            continue
        pieces = [np.arange(edges[k], edges[k + 1]) for k in kept]
        starts = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])])
        chosen = part[np.concatenate(pieces)]
        first = starts[:-1]
        chains.append(
            ResolvedChain(
                name=name,
                residues="".join(one_letter(str(three)) for three in chosen.res_name[first]),
                numbers=tuple(
                    f"{number}{code}".strip()
                    for number, code in zip(chosen.res_id[first], chosen.ins_code[first], strict=True)
                ),
                missing_before=_missing_before(chosen, starts),
                atoms=chosen,
                starts=starts,
            )
        )
    return chains


def _by_chain(atoms: AtomArray) -> list[tuple[str, np.ndarray]]:
    """Give each chain's name and the indices of its atoms, chains in the order in which they begin.

    A chain's ligands and water follow after all chains, so it may come in several pieces.
    """
    names, first, chain_of = np.unique(atoms.chain_id, return_index=True, return_inverse=True)
    if len(names) > MOST_CHAINS:
        raise StructureError(f"The structure has {len(names)} chains; give one with at most {MOST_CHAINS}.")
    places = np.split(np.argsort(chain_of, kind="stable"), np.cumsum(np.bincount(chain_of))[:-1])
    return [(str(names[k]), places[k]) for k in np.argsort(first)]


def _polymer(atoms: AtomArray, edges: np.ndarray) -> list[int]:
    """Find the indices of the residues that make up the chain."""
    backbone = [_backbone(atoms, edges[k], edges[k + 1]) for k in range(len(edges) - 1)]
    kept: list[int] = []
    seen: set[tuple[int, str]] = set()
    for k, bone in enumerate(backbone):
        first = edges[k]
        standard = str(atoms.res_name[first]) in THREE_TO_ONE
        if "CA" not in bone or not (standard or {"N", "C"} <= bone.keys()):
            continue
        if atoms.hetero[first]:
            before = k > 0 and _bonded(backbone[k - 1], bone)
            after = k + 1 < len(backbone) and _bonded(bone, backbone[k + 1])
            if not (before or after):
                continue
        # Two kinds of residue in one place (microheterogeneity): the first is taken.
        place = (int(atoms.res_id[first]), str(atoms.ins_code[first]))
        if place not in seen:
            seen.add(place)
            kept.append(k)
    return kept


def _backbone(atoms: AtomArray, first: int, last: int) -> dict[str, np.ndarray]:
    return {
        str(atoms.atom_name[k]): atoms.coord[k]
        for k in range(first, last)
        # CA is also what calcium is called.
        if atoms.atom_name[k] in ("N", "CA", "C") and atoms.element[k] != "CA"
    }


def _bonded(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> bool:
    if "C" in before and "N" in after:
        return bool(np.linalg.norm(before["C"] - after["N"]) <= BOND)
    # Models of Cα alone: neighbours are 3.8 Å apart.
    return "CA" in before and "CA" in after and bool(np.linalg.norm(before["CA"] - after["CA"]) <= 4.3)


def _missing_before(atoms: AtomArray, starts: np.ndarray) -> np.ndarray:
    missing = np.zeros(len(starts) - 1, dtype=int)
    for k in range(1, len(missing)):
        jump = int(atoms.res_id[starts[k]]) - int(atoms.res_id[starts[k - 1]]) - 1
        before = _backbone(atoms, starts[k - 1], starts[k])
        if 0 < jump <= LONGEST_GAP and not _bonded(before, _backbone(atoms, starts[k], starts[k + 1])):
            missing[k] = jump
    return missing
