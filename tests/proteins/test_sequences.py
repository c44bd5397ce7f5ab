from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catjac_widgets.errors import CatjacError, SequenceError
from catjac_widgets.proteins.alphabets import (
    ALIGNMENT_LETTERS,
    DISPLAY_LETTERS,
    ESM_LETTERS,
    ORDERS,
    THREE_TO_ONE,
)
from catjac_widgets.proteins.reading import as_sequence, read_fasta
from catjac_widgets.proteins.sequences import CHAIN_NAMES, Chain, Sequence
from catjac_widgets.proteins.spec import known_words

residues = st.text(ESM_LETTERS, min_size=1, max_size=60).filter(
    lambda text: text.lower() not in known_words()
)
# Lower-case words are residues from ten letters on; shorter ones may be mistyped names.
long_residues = st.text(ESM_LETTERS, min_size=10, max_size=60)
complexes = st.lists(residues, min_size=1, max_size=4)


@st.composite
def untidy(draw: st.DrawFn, plain: str) -> str:
    """The same residues as people paste them: cases, blanks, line ends, numbers, a star."""
    ends = st.sampled_from(["\n", "\r\n", "\r", " \n", "\n    10 ", "\t", " ", "\u00a0", ""])
    text = "".join(draw(ends) + (letter.lower() if draw(st.booleans()) else letter) for letter in plain)
    return text + draw(st.sampled_from(["", "*", "*\n", "\n\n", " * "]))


@given(st.data(), long_residues)
def test_untidy_text_is_forgiven(data: st.DataObject, plain: str) -> None:
    text = data.draw(untidy(plain))
    assert as_sequence(text).residues == plain
    header = data.draw(st.sampled_from([">name", ">name of it | 3 x\ty", "\n\n> name", "\ufeff>name"]))
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    sequence = as_sequence(f"{header}{end}{text}")
    assert (sequence.residues, sequence.name) == (plain, "name")


@given(complexes)
def test_text_of_a_sequence_reads_back(chains: list[str]) -> None:
    sequence = as_sequence(":".join(chains))
    assert as_sequence(str(sequence)) == sequence
    assert hash(as_sequence(str(sequence))) == hash(sequence)
    assert [chain.residues for chain in sequence.chains] == chains
    assert sequence.residues == "".join(chains)
    assert len(sequence) == sum(map(len, chains))
    assert sequence.positions.tolist() == list(range(1, len(sequence) + 1))


@given(complexes)
def test_what_rides_along_has_one_entry_a_residue(chains: list[str]) -> None:
    sequence = as_sequence(":".join(chains))
    k = 0
    for index, chain in enumerate(chains):
        for number, letter in enumerate(chain, start=1):
            name = CHAIN_NAMES[index]
            assert sequence.chain_names[k] == name
            assert sequence.chain_index[k] == index
            assert sequence.numbers[k] == str(number)
            assert sequence.labels[k] == (f"{name}:" if len(chains) > 1 else "") + f"{letter}{number}"
            assert sequence.position_of(number, name) == sequence.position_of(str(number), name) == k + 1
            k += 1
    assert k == len(sequence) == len(sequence.labels)


@given(st.lists(st.tuples(st.text("abcXYZ09_|", min_size=1, max_size=8), residues), min_size=1, max_size=5))
def test_fasta_records_come_in_order_with_their_names(records: list[tuple[str, str]]) -> None:
    text = "".join(f">{name} rest of it\n{body}\n" for name, body in records)
    found = list(read_fasta(text))
    assert [(record.name, record.residues) for record in found] == records


@given(residues, st.data())
def test_a_bad_residue_is_refused_with_its_position(plain: str, data: st.DataObject) -> None:
    bad = data.draw(st.sampled_from("XBZUOJ-.*?&É"))
    index = data.draw(st.integers(0, len(plain) - 1))
    text = plain[:index] + bad + plain[index:]
    with pytest.raises(SequenceError, match=f"residue {index + 1} is") as failure:
        as_sequence(text)
    assert repr(bad.upper()) in str(failure.value)
    assert "\n" not in str(failure.value)
    assert isinstance(failure.value, CatjacError)
    mapped = as_sequence(text, unknown={bad: "a"}).residues
    assert mapped == plain[:index] + "A" + plain[index:]
    with pytest.raises(SequenceError, match=f"residue {index + 1} of chain B is"):
        as_sequence(f"MK:{text}")


def test_letters_that_are_known_are_never_mapped_away() -> None:
    assert as_sequence("MCU", unknown={"U": "C", "C": "S"}).residues == "MCC"


@pytest.mark.parametrize("table", [{"U": ""}, {"U": "CC"}, {"U": "X"}, {"UO": "A"}, {"": "A"}])
def test_a_table_that_would_change_the_length_is_refused(table: dict[str, str]) -> None:
    with pytest.raises(SequenceError, match="one letter for one"):
        as_sequence("MKU", unknown=table)


@pytest.mark.parametrize(
    "text", ["", "  \n", "*", ">name", ">name\n\n", ">a\nMK\n>b\n", "123", ";comment", "\ufeff"]
)
def test_nothing_is_one_sentence(text: str) -> None:
    with pytest.raises(SequenceError) as failure:
        as_sequence(text)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (">a\nMK\n>b\nMK", "2 records"),
        ("MK:", "Chain B is empty"),
        (":MK", "Chain A is empty"),
        ("MK::MK", "Chain B is empty"),
        ("MK\n>a\nMK", "before the first '>'"),
        (":".join(["M"] * 63), "63 chains"),
    ],
)
def test_what_cannot_be_one_sequence_says_why(text: str, message: str) -> None:
    with pytest.raises(SequenceError, match=message):
        as_sequence(text)


@pytest.mark.parametrize("wrong", [None, 3, ["M", "K"], b"MK"])
def test_what_is_no_sequence_is_refused(wrong: object) -> None:
    with pytest.raises(SequenceError, match=type(wrong).__name__):
        as_sequence(wrong)  # type: ignore[arg-type]


def test_comments_of_old_fasta_files_are_left_out() -> None:
    sequence = as_sequence("; made by hand\n>p53 human\n; more\nMEEP\n")
    assert (sequence.residues, sequence.name) == ("MEEP", "p53")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "two.fasta"
    path.write_bytes(b"\xef\xbb\xbf>one\r\nMK\r\n>two\r\nTA:YI\r\n")
    assert [str(record) for record in read_fasta(path)] == ["MK", "TA:YI"]
    with pytest.raises(SequenceError, match="2 records"):
        as_sequence(path)
    for wrong in (tmp_path / "missing.fasta", tmp_path):
        with pytest.raises(SequenceError, match=r"cannot be read|is a folder"):
            as_sequence(wrong)
    binary = tmp_path / "binary"
    binary.write_bytes(bytes(range(128, 256)))
    with pytest.raises(SequenceError, match="cannot be read"):
        as_sequence(binary)
    (tmp_path / "empty").write_text("")
    with pytest.raises(SequenceError, match="nothing in the FASTA file"):
        as_sequence(tmp_path / "empty")


def test_names_do_not_count_in_comparisons() -> None:
    assert as_sequence(">a\nMK") == as_sequence(">b\nMK") == as_sequence("MK", name="c")
    assert as_sequence("MK") != as_sequence("M:K")
    assert as_sequence(as_sequence(">a\nMK"), name="c").name == "c"
    assert as_sequence(as_sequence(">a\nMK")).name == "a"


def test_a_structures_own_numbering() -> None:
    sequence = Sequence((Chain("H", "EVQ", ("1", "52", "52A")), Chain("L", "DI", ("1", "3"))))
    assert sequence.labels == ("H:E1", "H:V52", "H:Q52A", "L:D1", "L:I3")
    assert sequence.position_of("52A") == 3
    assert sequence.position_of(3) == 5
    assert sequence.position_of(1, "L") == 4
    assert sequence.check() == sequence
    with pytest.raises(SequenceError, match="in several chains"):
        sequence.position_of(1)
    with pytest.raises(SequenceError, match="no residue number 4"):
        sequence.position_of(4)
    with pytest.raises(SequenceError, match="no residue number 52 in chain L"):
        sequence.position_of(52, "L")
    twice = Sequence((Chain("A", "MK", ("7", "7")),))
    with pytest.raises(SequenceError, match="occurs 2 times"):
        twice.position_of(7)
    with pytest.raises(SequenceError, match="3 residues but 2 residue numbers"):
        Chain("A", "MKT", ("1", "2"))


def test_letter_orders_hold_the_same_twenty_letters() -> None:
    for letters in ORDERS.values():
        assert sorted(letters) == sorted(ESM_LETTERS)
    assert (len(ESM_LETTERS), len(set(ESM_LETTERS))) == (20, 20)
    assert set(THREE_TO_ONE.values()) == set(ALIGNMENT_LETTERS) == set(DISPLAY_LETTERS)


def test_esm_letters_are_fair_esms_tokens_4_to_23() -> None:
    import esm

    alphabet = esm.Alphabet.from_architecture("ESM-1b")
    assert [alphabet.get_idx(letter) for letter in ESM_LETTERS] == list(range(4, 24))
