from __future__ import annotations

import gzip
import importlib.util
import io
import json
import warnings
from pathlib import Path

import biotite.structure as struc
import numpy as np
import pytest
from biotite.structure.io import pdb, pdbx
from made_up_structures import chain, ligand

from catjac_widgets.analysis.benchmark.precision import precision_at_l
from catjac_widgets.errors import StructureError, UsageError
from catjac_widgets.proteins.sequences import Chain, Sequence
from catjac_widgets.structures import reading
from catjac_widgets.structures.experimental import structure

A, B = "ACDEFGHIKLMNPQRSTVWY", "MKTAYIAKQRQISFVKSHFS"


def complex_of(first=A, second=B):
    return chain(first, name="A") + chain(second, name="B", shift=5.0)


def as_cif(atoms):
    file = pdbx.CIFFile()
    pdbx.set_structure(file, atoms)
    text = io.StringIO()
    file.write(text)
    return text.getvalue().encode()


def as_pdb(atoms):
    file = pdb.PDBFile()
    file.set_structure(atoms)
    text = io.StringIO()
    file.write(text)
    return text.getvalue().encode()


def as_bcif(atoms):
    file = pdbx.BinaryCIFFile()
    pdbx.set_structure(file, atoms)
    data = io.BytesIO()
    file.write(data)
    return data.getvalue()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("ending", "write"), [("pdb", as_pdb), ("ent", as_pdb), ("cif", as_cif), ("bcif", as_bcif)]
)
def test_files_of_every_kind(tmp_path, ending, write, packed):
    atoms = chain(["ALA", "MSE", "GLY", "TRP"], numbers=[3, 4, (4, "A"), 5], hetero={1})
    atoms = atoms + ligand("HOH", [("O", "O")], 90)
    content = write(atoms)
    path = tmp_path / f"made.{ending}{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(content) if packed else content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = structure(path)
    assert found.name == "made"
    assert found.sequence == Sequence((Chain("A", "AMGW", ("3", "4", "4A", "5")),))
    np.testing.assert_allclose(found.coordinates.values, structure(atoms).coordinates.values, atol=2e-3)


def test_the_first_model_and_the_first_alternate_location(tmp_path):
    # Serine 1 has two places of OG and CB; the second model is moved.
    text = """\
MODEL        1
ATOM      1  N   SER A   1       0.000   0.000   0.000  1.00  0.00           N
ATOM      2  CA  SER A   1       1.458   0.000   0.000  1.00  0.00           C
ATOM      3  C   SER A   1       2.009   1.420   0.000  1.00  0.00           C
ATOM      4  CB ASER A   1       1.986  -0.773  -1.199  0.30  0.00           C
ATOM      5  CB BSER A   1       9.000   9.000   9.000  0.70  0.00           C
ENDMDL
MODEL        2
ATOM      1  N   SER A   1      50.000   0.000   0.000  1.00  0.00           N
ATOM      2  CA  SER A   1      51.458   0.000   0.000  1.00  0.00           C
ATOM      3  C   SER A   1      52.009   1.420   0.000  1.00  0.00           C
ATOM      4  CB ASER A   1      51.986  -0.773  -1.199  0.30  0.00           C
ATOM      5  CB BSER A   1      59.000   9.000   9.000  0.70  0.00           C
ENDMDL
END
"""
    path = tmp_path / "models.pdb"
    path.write_text(text)
    found = structure(path)
    assert len(found) == 1
    np.testing.assert_allclose(found.coordinates.values, [[1.986, -0.773, -1.199]], atol=1e-6)


def test_several_chains_need_a_name():
    with pytest.raises(StructureError, match=r"several protein chains: A \(20 residues\), B \(20 residues\)"):
        structure(complex_of())
    with pytest.raises(StructureError, match=r"no protein chain 'C'; it has A \(20"):
        structure(complex_of(), chain="C")
    with pytest.raises(StructureError, match="asked for twice"):
        structure(complex_of(), chain="A:A")
    assert structure(complex_of(), chain="B").sequence.residues == B
    for both in ("B:A", ["B", "A"]):
        assert structure(complex_of(), chain=both).sequence.chain_names[:: len(A)] == ("B", "A")


def test_the_sequence_chooses_the_chain():
    found = structure(complex_of(), sequence=B[2:])
    assert [part.name for part in found.chains] == ["B"]
    assert found.map_to().tolist() == list(range(2, 20))
    assert found.contacts().shape == (18, 18)
    pair = structure(complex_of(), sequence=f"{B}:{A}")
    assert [part.name for part in pair.chains] == ["B", "A"]


def test_copies_of_a_chain_are_used_once_each():
    twins = complex_of(A, A)
    assert [part.name for part in structure(twins, sequence=A).chains] == ["A"]
    assert [part.name for part in structure(twins, sequence=f"{A}:{A}").chains] == ["A", "B"]
    named = Sequence((Chain("B", A),))
    assert [part.name for part in structure(twins, sequence=named).chains] == ["B"]
    with pytest.raises(StructureError, match="3 chains, but structure only 2"):
        structure(twins, sequence=f"{A}:{A}:{A}")


def test_a_complex_is_mapped_chain_by_chain():
    found = structure(complex_of(), chain="A:B")
    assert found.map_to(f"{B[:10]}:{A}").tolist() == [*range(20, 30), *range(20)]
    distances = found.distances(f"{A}:{B}")
    assert list(distances["residue_i"].values[[0, 20]]) == ["A:A1", "B:M1"]
    np.testing.assert_allclose(
        distances.values[:20, 20:],
        np.linalg.norm(found.coordinates.values[:20, None] - found.coordinates.values[None, 20:], axis=-1),
        atol=1e-5,
    )


def test_a_sequence_of_another_protein_is_refused():
    other = "".join(reversed(A)) + "GGGG"
    with pytest.raises(StructureError, match=r"does not fit chain A of structure: \d+ of \d+ aligned"):
        structure(chain(A), sequence=other)
    with pytest.raises(StructureError, match="does not fit"):
        structure(chain(A)).contacts(other)


def test_identity_can_be_lowered():
    mutated = "".join("G" if k % 2 else letter for k, letter in enumerate(A))
    with pytest.raises(StructureError, match="minimum_identity"):
        structure(chain(A)).map_to(mutated)
    assert structure(chain(A)).map_to(mutated, minimum_identity=0.4).tolist() == list(range(20))


def test_unresolved_residues_are_nan():
    atoms = chain("ACDEFG", numbers=[1, 2, 3, 7, 8, 9], breaks={3})
    found = structure(atoms, sequence="ACDWWWEFG")
    native = found.contacts()
    assert np.isnan(native.values[3:6]).all()
    assert np.isnan(native.values[:, 3:6]).all()
    kept = [0, 1, 2, 6, 7, 8]
    assert np.isfinite(native.values[np.ix_(kept, kept)]).all()
    assert found.secondary_structure().values[3] == ""


def test_contacts_are_distances_below_the_cutoff():
    found = structure(chain(A))
    distances = found.distances().values
    assert distances[0, 1] == pytest.approx(np.hypot(3.8, 2.4), abs=1e-5)
    for cutoff in (5.0, 8.0, 12.0):
        np.testing.assert_array_equal(found.contacts(cutoff=cutoff).values, distances < cutoff)
    native = found.contacts()
    assert native.attrs["cutoff"] == 8.0
    assert native.attrs["kind"] == "native contacts"
    assert native.dims == ("pos_i", "pos_j")
    with pytest.raises(UsageError, match="neither 'observed' nor 'imputed'"):
        found.contacts(atoms="CA")


def test_a_structure_is_a_truth():
    found = structure(chain(A))
    truth = found.contacts().values
    J_map = contacts_like(A)
    assert precision_at_l(J_map, found, separation=1) == precision_at_l(J_map, truth, separation=1)
    part = J_map.sel(pos_i=slice(4, 15), pos_j=slice(4, 15))
    assert precision_at_l(part, found, separation=1) == precision_at_l(
        part.values, truth[3:15, 3:15], separation=1
    )


def contacts_like(residues):
    import xarray as xr

    from catjac_widgets.proteins.coordinates import residue_coordinates
    from catjac_widgets.proteins.reading import as_sequence

    values = np.random.default_rng(0).normal(size=(len(residues),) * 2)
    return xr.DataArray(
        values + values.T, dims=("pos_i", "pos_j"), coords=residue_coordinates(as_sequence(residues))
    )


def test_pdb_text_is_read_again():
    atoms = chain("ACDG", numbers=[5, 6, (6, "A"), 7], name="C")
    found = structure(atoms)
    again = pdb.PDBFile.read(io.StringIO(found.to_pdb())).get_structure(model=1)
    assert structure(again).sequence == found.sequence
    np.testing.assert_allclose(again.coord, found.atoms.coord, atol=1e-3)
    long_name = chain("AC", name="AAA")
    with pytest.raises(StructureError, match="longer than PDB text can hold"):
        structure(long_name).to_pdb()


def test_secondary_structure_of_an_ideal_helix():
    turn, rise, radius = np.deg2rad(100), 1.5, 2.3
    k = np.arange(20)
    trace = np.stack([radius * np.cos(k * turn), radius * np.sin(k * turn), rise * k], axis=1)
    atoms = chain("A" * 20)
    atoms = atoms[atoms.atom_name == "CA"]
    atoms.coord = trace.astype(np.float32)
    assert "".join(structure(atoms).secondary_structure().values)[3:-3] == "H" * 14


def test_a_structure_passes_through():
    found = structure(complex_of(), chain="A:B")
    assert structure(found, chain="B").sequence.residues == B
    assert structure(found, chain="A", sequence=A[3:]).contacts().shape == (17, 17)
    assert repr(found) == "<Structure structure, chain A (20 residues), B (20 residues)>"


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("nowhere.pdb", "no structure file nowhere.pdb"),
        ("1A3A", 'did you mean "pdb:1A3A"'),
        ("pdb:12", "'12' is no PDB id"),
        ("pdb:../x", "is no PDB id"),
        (3, "not int"),
    ],
)
def test_what_is_no_structure(what, sentence):
    with pytest.raises(StructureError, match=sentence):
        structure(what)


def test_files_that_cannot_be_read(tmp_path):
    for name, content, sentence in (
        ("notes.txt", b"hello", "no structure file by its name"),
        ("empty.pdb", b"", "empty.pdb"),
        ("broken.cif", b"data_x\nloop_\n_atom_site.id\n", "broken.cif"),
        ("broken.bcif", b"\x00\x01", "not a readable bcif file"),
        ("cut.pdb.gz", gzip.compress(as_pdb(chain(A)))[:-20], "not a whole gzip file"),
        ("water.pdb", as_pdb(ligand("HOH", [("O", "O")], 1)), "no protein residue"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(StructureError, match=sentence):
            structure(path)


def test_a_file_is_unpacked_by_its_content(tmp_path):
    for name, content in (
        ("plain.pdb.gz", as_pdb(chain(A))),
        ("packed.pdb", gzip.compress(as_pdb(chain(A)))),
    ):
        (tmp_path / name).write_bytes(content)
        assert structure(tmp_path / name).sequence.residues == structure(chain(A)).sequence.residues


# --- the Protein Data Bank, without a network
# -----------------------------------------------------------------------


class Bank:
    """Stands in for the download: answers with one entry, and counts."""

    def __init__(self, atoms=None, error=None):
        self.atoms, self.error, self.asked = atoms, error, []

    def fetch(self, pdb_ids, format, **options):
        self.asked.append((pdb_ids, format))
        if self.error:
            raise self.error
        return io.StringIO(as_cif(self.atoms).decode())


@pytest.fixture
def bank(monkeypatch, own_cache):
    from biotite.database import rcsb

    stand_in = Bank(chain(A))
    monkeypatch.setattr(rcsb, "fetch", stand_in.fetch)
    return stand_in


def test_an_entry_is_downloaded_once(bank, own_cache):
    first = structure("pdb:1A3A", chain="A")
    assert first.name == "1A3A"
    assert first.sequence.residues == A
    assert structure("PDB:1a3a").sequence == first.sequence
    assert bank.asked == [("1a3a", "cif")]
    (kept,) = (own_cache / "structures").iterdir()
    kept.write_bytes(kept.read_bytes()[:50])
    assert structure("pdb:1A3A").sequence == first.sequence
    assert len(bank.asked) == 2


def test_without_a_network_one_sentence(bank):
    import requests

    bank.error = requests.ConnectionError("Max retries exceeded with url: …")
    with pytest.raises(StructureError, match=r"1A3A could not be downloaded \(is there a network\?\)"):
        structure("pdb:1A3A")


def test_an_entry_that_does_not_exist(bank):
    from biotite.database import RequestError

    bank.error = RequestError("Not found")
    with pytest.raises(StructureError, match="has no entry 9ZZZ"):
        structure("pdb:9ZZZ")


def test_a_cache_that_is_off_or_cannot_be_written_is_no_obstacle(bank, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    for where in ("off", "memory", str(tmp_path / "file")):
        monkeypatch.setenv("CATJAC_CACHE", where)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert structure("pdb:1A3A").sequence.residues == A
    assert len(bank.asked) == 3


# --- real structures
# ------------------------------------------------------------------------------------------------


def test_rhodopsin_of_nglview_reads_well():
    package = importlib.util.find_spec("nglview")
    assert package is not None
    assert package.origin is not None
    # Looked up, not imported: the widget opens a comm at import.
    found = structure(Path(package.origin).parent / "datafiles" / "md_1u19.pdb")
    residues = found.sequence.residues
    assert len(residues) == 348
    assert found.sequence.numbers == tuple(str(k) for k in range(1, 349))
    assert residues.startswith(
        "MNGTEGPNFYVPFSNKTGVVRSPFEAPQYYLAEPWQFSMLAAYMFLLIMLGFPINFLTLYVTVQHKKLRTPLNYILLNLAVADLFMVFGG"
    )
    # Retinal sits on lysine 296, palmitate on cysteines 322 and 323; D83 and E122 carry a proton.
    assert [residues[k - 1] for k in (296, 322, 323, 83, 122)] == ["K", "C", "C", "D", "E"]
    assert np.isfinite(found.contacts().values).all()
    helices = "".join(found.secondary_structure().values)
    assert helices.count("H") > 150
    assert structure(found, sequence=residues[30:200]).map_to().tolist() == list(range(30, 200))


def test_contacts_of_all_families_have_the_published_density(data_folder):
    families = json.loads((data_folder / "families" / "families.json").read_text())
    assert len(families) == 36
    for family in families:
        path = data_folder / "families" / f"{family['id']}.pdb.gz"
        found = structure(path, chain=family["chain"], sequence=family["query"])
        offset, length = family["pdb_offset"], family["length"]
        assert found.map_to().tolist() == list(range(offset, offset + length)), family["id"]
        assert len(found) == family["chain_residues"]
        numbers = found.sequence.numbers
        assert numbers[offset] == str(family["first_residue"])
        assert numbers[offset + length - 1] == str(family["last_residue"])
        native = found.contacts().values
        density = native[np.triu_indices(length, 6)].mean()
        digits = len(str(family["contact_density"]).partition(".")[2])
        assert round(density, digits) == family["contact_density"], family["id"]


def test_the_interface_of_a_real_complex(data_folder):
    pair = json.loads((data_folder / "pairs" / "pairs.json").read_text())
    record = pair[0] if isinstance(pair, list) else pair
    found = structure(data_folder / "pairs" / "hk_rr_3DGE.pdb.gz", chain="A:C")
    assert [part.name for part in found.chains] == ["A", "C"]
    assert record["id"] == "hk_rr_3DGE"
    between = found.contacts().catjac.sel(chain="A", chain_out="C")
    assert 0 < between.values.mean() < 0.02


def test_annotations_of_a_chain_trace_keep_their_meaning():
    # P-SEA letters are biotite's; this fails if they ever change.
    assert set(struc.annotate_sse(chain(A))) <= {"a", "b", "c", ""}


def test_parsing_is_told_apart_from_reading():
    with pytest.raises(StructureError, match=r"holds no atoms|not a readable"):
        reading.parse_atoms(b"HEADER\nEND\n", "pdb", "nothing")
