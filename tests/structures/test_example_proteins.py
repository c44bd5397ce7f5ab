from __future__ import annotations

import json

import numpy as np
import pytest

from catjac_widgets.errors import UsageError
from catjac_widgets.proteins.alphabets import ESM_LETTERS
from catjac_widgets.structures.example_proteins import examples
from catjac_widgets.structures.experimental import structure


@pytest.mark.parametrize("name", list(examples()))
def test_every_example_holds_together(name):
    example = examples()[name]
    assert set(example.sequence.residues) <= set(ESM_LETTERS)
    assert example.structure.sequence == example.sequence
    assert example.structure.map_to().tolist() == list(range(len(example)))
    native = example.contacts
    assert native.shape == (len(example),) * 2
    assert np.isfinite(native.values).all()
    assert native.values[np.triu_indices(len(example), 6)].sum() > len(example) / 2
    assert example.licence == "CC0 1.0"
    assert example.pdb_id in example.source
    # A peptide bond between every two residues: nothing is missing.
    (chain,) = example.structure.chains
    bonds = np.linalg.norm(chain.coordinates("C")[:-1] - chain.coordinates("N")[1:], axis=1)
    assert bonds.max() < 1.6


def test_numbers_are_those_of_the_entry():
    bpti = examples()["bpti"]
    assert bpti.sequence.labels[0] == "F4"
    assert bpti.sequence.labels[-1] == "G56"
    assert bpti.sequence.name == "bpti"
    # The disulphide 30–51 is a contact.
    places = [bpti.sequence.position_of(number) for number in (30, 51)]
    assert bpti.contacts.sel(pos_i=places[0], pos_j=places[1]) == 1


def test_names():
    assert set(examples()) >= {
        "bpti",
        "ww",
        "sh3",
        "rrm",
        "fibronectin",
        "lipoyl",
        "cold_shock",
        "ribosomal_l30",
    }
    assert examples()["BPTI"] is examples()["bpti"]
    with pytest.raises(UsageError, match="no example 'ubiquitin'; there are bpti, ww") as caught:
        examples()["ubiquitin"]
    assert not str(caught.value).startswith("'")
    assert "ubiquitin" not in examples()
    assert examples().get("ubiquitin") is None


def test_tables():
    text, page = repr(examples()), examples()._repr_html_()
    for name, example in examples().items():
        assert name in text
        assert example.title in text
        assert example.pdb_id in page
    assert len(text.splitlines()) == len(examples()) + 1
    assert page.count("<tr>") == len(examples()) + 1


def test_pdb_text_for_a_viewer():
    example = examples()["ww"]
    lines = [line for line in example.structure.to_pdb().splitlines() if line.startswith("ATOM")]
    assert len(lines) == example.structure.atoms.array_length()
    assert {line[21] for line in lines} == {"A"}
    assert int(lines[0][22:26]) == 7


def test_examples_are_those_of_the_families(data_folder):
    families = json.loads((data_folder / "families" / "families.json").read_text())
    by_entry = {(family["pdb_id"], family.get("pfam")): family for family in families}
    for example in examples().values():
        family = by_entry[example.pdb_id, example.pfam]
        assert example.sequence.residues == family["query"]
        path = data_folder / "families" / f"{family['id']}.pdb.gz"
        whole = structure(path, chain=family["chain"], sequence=family["query"])
        np.testing.assert_array_equal(example.contacts.values, whole.contacts().values)
