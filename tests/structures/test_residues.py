from __future__ import annotations

import numpy as np
import pytest
from made_up_structures import chain, ligand

from catjac_widgets.structures.residues import one_letter, resolved_chains


def only(atoms):
    (found,) = resolved_chains(atoms)
    return found


def test_letters_and_numbers():
    found = only(chain("ACDE", numbers=[7, 8, (8, "A"), 9]))
    assert found.residues == "ACDE"
    assert found.numbers == ("7", "8", "8A", "9")
    assert found.missing_before.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("three", "letter"),
    [
        ("MSE", "M"),
        ("SEP", "S"),
        ("PTR", "Y"),
        ("CSO", "C"),
        ("HYP", "P"),
        ("LLP", "K"),
        ("GLH", "E"),
        ("ASH", "D"),
        ("LRT", "K"),
        ("YPL", "C"),
        ("HIE", "H"),
        ("SEC", "C"),
        ("UNK", "X"),
        ("CRO", "X"),
        ("???", "X"),
    ],
)
def test_modified_residues_stand_for_a_letter(three, letter):
    assert one_letter(three) == letter


def test_modified_residues_are_part_of_the_chain_where_they_are_bonded():
    found = only(chain(["ALA", "MSE", "GLY", "SEP", "UNK"], hetero={1, 3}))
    assert found.residues == "AMGSX"


def test_ligands_caps_ions_and_water_are_not():
    free = chain(["GLU"], hetero={0}, shift=60.0, numbers=[901])
    atoms = chain("ACD", numbers=[1, 2, 3])
    atoms = atoms + ligand("HOH", [("O", "O")], 501) + ligand("CA", [("CA", "CA")], 502) + free
    atoms = ligand("ACE", [("CH3", "C"), ("C", "C"), ("O", "O")], 0) + atoms
    assert only(atoms).residues == "ACD"


def test_hydrogens_are_dropped_and_atoms_counted_by_residue():
    atoms = chain("AG")
    hydrogen = ligand("GLY", [("H", "H")], 2)
    found = only(atoms + hydrogen)
    assert np.diff(found.starts).tolist() == [5, 4]
    assert "H" not in found.atoms.element


def test_residues_that_the_numbering_skips():
    found = only(chain("ACDEF", numbers=[1, 2, 6, 7, 20], breaks={2}))
    # 8–19 are skipped by the numbering alone: the chain is bonded there.
    assert found.missing_before.tolist() == [0, 0, 3, 0, 0]


def test_two_residues_in_one_place_count_once():
    first, second = chain(["SER"], numbers=[5]), chain(["THR"], numbers=[5])
    assert only(first + second).residues == "S"


def test_chains_keep_their_order_and_names():
    atoms = chain("ACD", name="B") + chain("EF", name="A", shift=80.0) + ligand("HEM", [("FE", "FE")], 9, "B")
    assert [(found.name, found.residues) for found in resolved_chains(atoms)] == [("B", "ACD"), ("A", "EF")]
    assert resolved_chains(ligand("HEM", [("FE", "FE")], 9)) == []


def test_models_of_alpha_carbons_alone():
    atoms = chain(["ALA", "MSE", "CYS"], hetero={1})
    # A modified residue needs its backbone; a standard one does not.
    assert only(atoms[atoms.atom_name == "CA"]).residues == "AMC"


def test_coordinates_of_the_first_atom_that_is_there():
    found = only(chain("AGC"))
    beta, alpha = found.coordinates("CB"), found.coordinates("CA")
    assert np.isnan(beta[1]).all()
    both = found.coordinates("CB", "CA")
    np.testing.assert_array_equal(both[[0, 2]], beta[[0, 2]])
    np.testing.assert_array_equal(both[1], alpha[1])
