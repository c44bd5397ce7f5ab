"""Every way to name a protein, and what is said when a word means nothing or two things."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

import catjac
from catjac_widgets.errors import CatjacError, SequenceError, UsageError
from catjac_widgets.notebook.variables import protein_of
from catjac_widgets.proteins.alphabets import ESM_LETTERS
from catjac_widgets.proteins.reading import as_sequence, read_protein, read_records
from catjac_widgets.structures.protein_readers import example_names

UBIQUITIN = "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_example_by_its_name() -> None:
    for name in example_names():
        found = read_protein(name)
        assert found.sequence == catjac.examples()[name].sequence
        assert found.structure is not None


@given(st.text(alphabet=ESM_LETTERS, min_size=10, max_size=60))
def test_upper_case_words_are_sequences(residues: str) -> None:
    assert read_protein(residues).sequence.residues == residues


@pytest.mark.parametrize("word", ["sequence:WW", "MKTAY:IAKQR", "mktayiakqr", "MKT AYI AKQ", "FILE:ACDEF"])
def test_sequences_as_people_write_them(word: str) -> None:
    expected = word.removeprefix("sequence:").upper().replace(" ", "")
    assert str(read_protein(word).sequence) == expected


def test_fasta_files_with_one_or_several_records(elsewhere: Path) -> None:
    (elsewhere / "one.fasta").write_text(f">ubi human\n{UBIQUITIN[:40].lower()}\n{UBIQUITIN[40:]}*\n")
    (elsewhere / "two.fasta").write_text(">first\nACDEFG\n>second\nMKTAYI\n")
    assert read_protein("one.fasta").sequence.residues == UBIQUITIN
    assert read_protein("file:one.fasta").sequence.name == "ubi"
    assert read_protein("two.fasta", record="second").sequence.residues == "MKTAYI"
    assert read_protein("two.fasta", record="1").sequence.residues == "ACDEFG"
    with pytest.raises(SequenceError, match=r"2 records \(first, second\).*--record"):
        read_protein("two.fasta")
    with pytest.raises(SequenceError, match="did you mean second"):
        read_protein("two.fasta", record="secand")


def test_structure_files_bring_their_structure(elsewhere: Path) -> None:
    example = catjac.examples()["bpti"]
    path = elsewhere / "own.pdb.gz"
    path.write_bytes(gzip.compress(example.structure.to_pdb().encode()))
    found = read_protein("own.pdb.gz")
    assert found.sequence.residues == example.sequence.residues
    assert found.structure is not None


def test_variables_hold_anything_that_has_a_sequence() -> None:
    example = catjac.examples()["bpti"]
    values = {
        "text": UBIQUITIN,
        "fasta": f">ubi\n{UBIQUITIN}",
        "own": catjac.as_sequence(UBIQUITIN),
        "example": example,
        "structure": example.structure,
        "name": "bpti",
        "number": 3,
    }
    for name in ("text", "fasta", "own"):
        assert protein_of(f"${name}", values).sequence.residues == UBIQUITIN
    assert protein_of("$text", values).sequence.name == "text"
    assert protein_of("$fasta", values).sequence.name == "ubi"
    for name in ("example", "structure", "name"):
        found = protein_of(f"${name}", values)
        assert found.sequence.residues == example.sequence.residues
        assert found.structure is not None
    with pytest.raises(UsageError, match=r"'number' cannot be used: .* not int"):
        protein_of("$number", values)
    with pytest.raises(UsageError, match=r"no variable 'txt'; did you mean text"):
        protein_of("$txt", values)
    with pytest.raises(SequenceError, match=r"no variable \$text here"):
        read_protein("$text")
    with pytest.raises(UsageError, match=r"is a variable; write \$text"):
        protein_of("text", values)


def test_words_with_two_meanings_are_asked_about(elsewhere: Path) -> None:
    (elsewhere / "bpti").write_text(">x\nACDEF")
    with pytest.raises(
        SequenceError, match="could be an example or a file here; write example:bpti or file:bpti"
    ):
        read_protein("bpti")
    assert read_protein("example:bpti").structure is not None
    assert read_protein("file:bpti").sequence.residues == "ACDEF"
    (elsewhere / "ACDE").write_text(">x\nWWWWW")
    with pytest.raises(SequenceError, match="a file here or a sequence; write file:ACDE or sequence:ACDE"):
        read_protein("ACDE")
    for name in example_names():
        if set(name.upper()) <= set(ESM_LETTERS):
            with pytest.raises(SequenceError, match="an example or a sequence"):
                read_protein(name.upper())


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("", "nothing in the sequence"),
        ("btpi", "did you mean bpti"),
        ("gfpx", "is no example, file or sequence .examples: bpti"),
        ("1ubq", "looks like a PDB id; write pdb:1UBQ"),
        ("P00974", "looks like a UniProt accession; write uniprot:P00974"),
        ("missing.fasta", "There is no FASTA file missing.fasta"),
        ("folder/missing", "There is no file"),
        ("file:missing", "There is no FASTA file missing"),
        ("pdb:", "nothing after 'pdb:'; write pdb:1UBQ"),
        ("pdb:ubiquitin", "no PDB id"),
        ("uniprot:bpti", "no UniProt accession"),
        ("example:nothing", "There is no example 'nothing'"),
        ("MKTAYIBKQR", "residue 7 is 'B'"),
        ("last", "is no example, file or sequence"),
        (">empty\n", "no residues"),
    ],
)
def test_what_means_nothing_is_said_in_one_sentence(word: str, said: str) -> None:
    with pytest.raises(CatjacError, match=said) as caught:
        read_protein(word)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_in_one_sentence(word: str) -> None:
    # Nothing here may ask the network.
    if ":" in word:
        word = word.replace(":", "")
    try:
        found = read_protein(word)
    except CatjacError:
        return
    assert len(found.sequence) >= 1


def test_pasted_text_is_fasta() -> None:
    assert as_sequence("> a\nACD EFG\n12 HIK").residues == "ACDEFGHIK"


def everything_that_is_bpti(folder: Path) -> dict[str, object]:
    """Every form in which people have the example."""
    example = catjac.examples()["bpti"]
    residues = example.sequence.residues
    (folder / "bpti.fasta").write_text(f">bpti\n{residues}\n")
    (folder / "bpti.fa.gz").write_bytes(gzip.compress(f">bpti\n{residues}\n".encode()))
    (folder / "bpti.pdb").write_text(example.structure.to_pdb())
    return {
        "residues": residues,
        "fasta": f">bpti\n{residues}",
        "path": folder / "bpti.fasta",
        "text of a path": "bpti.fasta",
        "packed": "bpti.fa.gz",
        "structure file": "bpti.pdb",
        "path of a structure": folder / "bpti.pdb",
        "sequence": catjac.as_sequence(residues),
        "example": example,
        "name": "bpti",
        "structure": example.structure,
        "array": catjac.jacobian(example, positions=[1], progress=False),
    }


def test_everything_that_takes_a_protein_takes_the_same(elsewhere: Path) -> None:
    example = catjac.examples()["bpti"]
    for form, what in everything_that_is_bpti(elsewhere).items():
        assert catjac.as_sequence(what).residues == example.sequence.residues, form
        J = catjac.jacobian(what, positions=[3], progress=False)
        assert J.attrs["sequence"] == example.sequence.residues, form
        explorer = catjac.explore(what, panels="map")
        assert explorer.sequence.residues == example.sequence.residues, form
        explorer.close()


@pytest.mark.parametrize("form", ["example", "structure", "name", "structure file", "path of a structure"])
def test_the_explorer_keeps_the_structure_that_comes_with_a_protein(form: str, elsewhere: Path) -> None:
    expected = catjac.examples()["bpti"].contacts.values
    explorer = catjac.explore(everything_that_is_bpti(elsewhere)[form], panels="map")
    native = np.asarray(explorer.contact_map.native)
    explorer.close()
    # The map leaves out the diagonal.
    assert (native == 1).sum() == (expected == 1).sum() - len(expected) > 0


def test_a_path_as_text_is_a_path_for_many_proteins_too(elsewhere: Path) -> None:
    (elsewhere / "two.fasta").write_text(">first\nACDEFG\n>second\nMKTAYI\n")
    assert [record.name for record in read_records("two.fasta")] == ["first", "second"]
    found = catjac.jacobians("two.fasta", progress=False)
    assert [J.attrs["sequence_name"] for J in found] == ["first", "second"]
    with pytest.raises(SequenceError, match=r"no FASTA file missing\.fasta"):
        catjac.as_sequence("missing.fasta")


def test_uniprot_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from biotite.database import RequestError, uniprot

    def offline(*arguments: object, **options: object) -> None:
        raise requests.ConnectionError("no route")

    monkeypatch.setattr(uniprot, "fetch", offline)
    with pytest.raises(SequenceError, match="UniProt could not be reached"):
        read_protein("uniprot:P00974")

    def unknown(*arguments: object, **options: object) -> None:
        raise RequestError("not found")

    monkeypatch.setattr(uniprot, "fetch", unknown)
    with pytest.raises(SequenceError, match="no entry P00974"):
        read_protein("uniprot:P00974")


def test_uniprot_with_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from biotite.database import uniprot

    asked: list[object] = []

    def answer(accession: str, format_name: str) -> io.StringIO:
        asked.append((accession, format_name))
        return io.StringIO(f">sp|P0CG48|UBC\n{UBIQUITIN}\n")

    monkeypatch.setattr(uniprot, "fetch", answer)
    found = read_protein("uniprot:p0cg48")
    assert found.sequence.residues == UBIQUITIN
    assert found.sequence.name == "P0CG48"
    assert asked == [("P0CG48", "fasta")]
