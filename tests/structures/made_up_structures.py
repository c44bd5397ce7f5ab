"""Small structures made by hand: a chain of residues with plausible peptide bonds, as biotite atoms."""

from __future__ import annotations

import biotite.structure as struc
import numpy as np

THREE = dict(
    zip(
        "ARNDCQEGHILKMFPSTWYV",
        [
            "ALA",
            "ARG",
            "ASN",
            "ASP",
            "CYS",
            "GLN",
            "GLU",
            "GLY",
            "HIS",
            "ILE",
            "LEU",
            "LYS",
            "MET",
            "PHE",
            "PRO",
            "SER",
            "THR",
            "TRP",
            "TYR",
            "VAL",
        ],
        strict=True,
    )
)


def chain(
    names: list[str] | str,
    *,
    name: str = "A",
    numbers: list[int | tuple[int, str]] | None = None,
    hetero: set[int] | frozenset[int] = frozenset(),
    shift: float = 0.0,
    breaks: set[int] | frozenset[int] = frozenset(),
    beta: bool = True,
) -> struc.AtomArray:
    """A stretched chain along x, 3.8 Å a residue; `breaks` lists residues not bonded to the one before."""
    names = [THREE[letter] for letter in names] if isinstance(names, str) else names
    numbers = numbers or list(range(1, len(names) + 1))
    atoms = []
    x = shift
    for k, (three, number) in enumerate(zip(names, numbers, strict=True)):
        x += 12.0 if k in breaks else 0.0
        number, code = number if isinstance(number, tuple) else (number, "")
        side = 1 if k % 2 else -1
        places = {"N": (-1.2, 0.4, 0.0), "CA": (0.0, 0.0, 0.0), "C": (1.3, 0.6, 0.0), "O": (1.3, 1.8, 0.0)}
        if beta and three != "GLY":
            places["CB"] = (0.0, -0.9, 1.2 * side)
        for atom, offset in places.items():
            atoms.append(
                struc.Atom(
                    np.array([x, shift, 0.0]) + offset,
                    chain_id=name,
                    res_id=number,
                    ins_code=code,
                    res_name=three,
                    hetero=k in hetero,
                    atom_name=atom,
                    element=atom[0],
                )
            )
        x += 3.8
    return struc.array(atoms)


def ligand(name: str, atoms: list[tuple[str, str]], number: int, chain_name: str = "A") -> struc.AtomArray:
    """A hetero group far from everything: (atom name, element) pairs."""
    return struc.array(
        [
            struc.Atom(
                [200.0 + k, 200.0, 0.0],
                chain_id=chain_name,
                res_id=number,
                res_name=name,
                hetero=True,
                atom_name=atom,
                element=element,
            )
            for k, (atom, element) in enumerate(atoms)
        ]
    )
