"""WHAT: every way to name a protein, and what is said when a word means nothing or two things."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

import catjac
from catjac_widgets.errors import CatjacError, SequenceError, UsageError
from catjac_widgets.proteins.alphabets import ESM_LETTERS
from catjac_widgets.structures.specification import example_names, find_protein, read_pasted

UBIQUITIN = "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_example_by_its_name() -> None:
    for name in example_names():
        found = find_protein(name)
        assert found.sequence == catjac.examples()[name].sequence
        assert found.structure is not None
        assert name in found.origin


@given(st.text(alphabet=ESM_LETTERS, min_size=10, max_size=60))
def test_upper_case_words_are_sequences(residues: str) -> None:
    assert find_protein(residues).sequence.residues == residues


@pytest.mark.parametrize("word", ["sequence:WW", "MKTAY:IAKQR", "mktayiakqr", "MKT AYI AKQ", "FILE:ACDEF"])
def test_sequences_as_people_write_them(word: str) -> None:
    expected = word.removeprefix("sequence:").upper().replace(" ", "")
    assert str(find_protein(word).sequence) == expected


def test_fasta_files_with_one_or_several_records(elsewhere: Path) -> None:
    (elsewhere / "one.fasta").write_text(f">ubi human\n{UBIQUITIN[:40].lower()}\n{UBIQUITIN[40:]}*\n")
    (elsewhere / "two.fasta").write_text(">first\nACDEFG\n>second\nMKTAYI\n")
    assert find_protein("one.fasta").sequence.residues == UBIQUITIN
    assert find_protein("file:one.fasta").sequence.name == "ubi"
    assert find_protein("two.fasta", record="second").sequence.residues == "MKTAYI"
    assert find_protein("two.fasta", record="1").sequence.residues == "ACDEFG"
    with pytest.raises(UsageError, match=r"2 records \(first, second\).*--record"):
        find_protein("two.fasta")
    with pytest.raises(UsageError, match="did you mean second"):
        find_protein("two.fasta", record="secand")


def test_structure_files_bring_their_structure(elsewhere: Path) -> None:
    example = catjac.examples()["bpti"]
    path = elsewhere / "own.pdb.gz"
    path.write_bytes(gzip.compress(example.structure.to_pdb().encode()))
    found = find_protein("own.pdb.gz")
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
        assert find_protein(f"${name}", variables=values).sequence.residues == UBIQUITIN
    assert find_protein("$text", variables=values).sequence.name == "text"
    assert find_protein("$fasta", variables=values).sequence.name == "ubi"
    for name in ("example", "structure", "name"):
        found = find_protein(f"${name}", variables=values)
        assert found.sequence.residues == example.sequence.residues
        assert found.structure is not None
    with pytest.raises(UsageError, match="'number' is a int"):
        find_protein("$number", variables=values)
    with pytest.raises(UsageError, match=r"no variable 'txt'; did you mean text"):
        find_protein("$txt", variables=values)
    with pytest.raises(UsageError, match=r"no \$variables here"):
        find_protein("$text")
    with pytest.raises(UsageError, match=r"is a variable; write \$text"):
        find_protein("text", variables=values)


def test_words_with_two_meanings_are_asked_about(elsewhere: Path) -> None:
    (elsewhere / "bpti").write_text(">x\nACDEF")
    with pytest.raises(
        UsageError, match="could be an example or a file here; write example:bpti or file:bpti"
    ):
        find_protein("bpti")
    assert find_protein("example:bpti").origin == "example bpti"
    assert find_protein("file:bpti").sequence.residues == "ACDEF"
    (elsewhere / "ACDE").write_text(">x\nWWWWW")
    with pytest.raises(UsageError, match="a file here or a sequence; write file:ACDE or sequence:ACDE"):
        find_protein("ACDE")
    for name in example_names():
        if set(name.upper()) <= set(ESM_LETTERS):
            with pytest.raises(UsageError, match="an example or a sequence"):
                find_protein(name.upper())


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("", "Say which protein"),
        ("btpi", "did you mean bpti"),
        ("gfpx", "is no example, file or sequence .examples: bpti"),
        ("1ubq", "looks like a PDB id; write pdb:1UBQ"),
        ("P00974", "looks like a UniProt accession; write uniprot:P00974"),
        ("missing.fasta", "There is no file missing.fasta"),
        ("folder/missing", "There is no file"),
        ("file:missing", "There is no file missing"),
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
        find_protein(word)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_in_one_sentence(word: str) -> None:
    # Nothing here may ask the network.
    if ":" in word:
        word = word.replace(":", "")
    try:
        found = find_protein(word)
    except CatjacError:
        return
    assert len(found.sequence) >= 1


def test_pasted_text_is_never_a_name() -> None:
    assert read_pasted("> a\nACD EFG\n12 HIK").sequence.residues == "ACDEFGHIK"
    with pytest.raises(SequenceError, match="'B'"):
        read_pasted("bpti")


def test_uniprot_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from biotite.database import RequestError, uniprot

    def offline(*arguments: object, **options: object) -> None:
        raise requests.ConnectionError("no route")

    monkeypatch.setattr(uniprot, "fetch", offline)
    with pytest.raises(SequenceError, match="UniProt could not be reached"):
        find_protein("uniprot:P00974")

    def unknown(*arguments: object, **options: object) -> None:
        raise RequestError("not found")

    monkeypatch.setattr(uniprot, "fetch", unknown)
    with pytest.raises(SequenceError, match="no entry P00974"):
        find_protein("uniprot:P00974")


def test_uniprot_with_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from biotite.database import uniprot

    asked: list[object] = []

    def answer(accession: str, format_name: str) -> io.StringIO:
        asked.append((accession, format_name))
        return io.StringIO(f">sp|P0CG48|UBC\n{UBIQUITIN}\n")

    monkeypatch.setattr(uniprot, "fetch", answer)
    found = find_protein("uniprot:p0cg48")
    assert found.sequence.residues == UBIQUITIN
    assert found.sequence.name == "P0CG48"
    assert asked == [("P0CG48", "fasta")]
