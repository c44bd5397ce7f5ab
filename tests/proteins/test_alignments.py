from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catjac_widgets.errors import SequenceError, UsageError
from catjac_widgets.proteins.alignments import Alignment, read_alignment
from catjac_widgets.proteins.alphabets import ALIGNMENT_LETTERS


def test_reading_an_alignment(tmp_path):
    alignment = read_alignment(">query x\nARn.ND\nCX\n>b\nA-N-bcCB\n")
    assert (alignment.query, alignment.name, len(alignment)) == ("ARNDCX", "query", 2)
    assert alignment.states[1].tolist() == [0, 20, 2, 20, 4, 20]
    np.testing.assert_allclose(alignment.gap_fractions, [0, 0.5, 0, 0.5, 0, 1])
    for text, words in ((">a\nAR\n>b\nARN\n", "has 3 columns"), ("ARN>", "does not begin")):
        with pytest.raises(SequenceError, match=words):
            read_alignment(text)
    with pytest.raises(SequenceError, match="cannot be read"):
        read_alignment(tmp_path / "nothing.a3m")


def test_weights():
    random = np.random.default_rng(4)
    same = Alignment(np.repeat(random.integers(21, size=(1, 10)), 7, axis=0).astype(np.int8))
    assert same.effective_number() == pytest.approx(1)
    states = random.integers(3, size=(40, 10)).astype(np.int8)
    expected = [1 / sum(np.mean(row == other) >= 0.8 - 1e-12 for other in states) for row in states]
    np.testing.assert_allclose(Alignment(states).weights(), expected)
    distinct = Alignment(np.arange(5, dtype=np.int8)[:, None].repeat(10, axis=1))
    assert distinct.effective_number() == 5


@given(
    st.integers(1, 40).flatmap(lambda number: st.integers(1, 140).map(lambda length: (number, length))),
    st.integers(2, 21),
    st.floats(0.05, 1.0),
    st.integers(0, 1000),
)
def test_weights_against_a_plain_count(shape, letters, identity, seed):
    random = np.random.default_rng(seed)
    states = random.integers(letters, size=shape)
    # Copies with a few changes, so that there are rows alike.
    states = np.where(random.random(shape) < 0.85, states[random.integers(shape[0], size=shape[0])], states)
    least = np.ceil(identity * shape[1] - 1e-9)
    expected = [1 / sum(np.sum(row == other) >= least for other in states) for row in states]
    np.testing.assert_allclose(Alignment(states.astype(np.int8)).weights(identity), expected)


def test_the_alphabet_is_that_of_the_letters_found(tmp_path):
    assert read_alignment(">q\nACGU\n>b\nA-NU\n").letters == "ACGU-"
    assert read_alignment(">q\nACGT\n>b\nA--T\n").letters == "ACGT-"
    assert read_alignment(">q\nACGT\n>b\nA--K\n").letters == ALIGNMENT_LETTERS + "-"
    assert read_alignment(">q\nACGT\n", letters=ALIGNMENT_LETTERS + "-").letters == ALIGNMENT_LETTERS + "-"
    assert read_alignment(">q\n--\n>b\n--\n").letters == ALIGNMENT_LETTERS + "-"
    assert read_alignment(">q\nAB\n", letters="AB-").states.tolist() == [[0, 1]]
    for letters in ("AA-", "A", "-AB"):
        with pytest.raises(UsageError, match="no alphabet"):
            read_alignment(">q\nAB\n", letters=letters)


def test_one_sequence_a_line_and_packed(tmp_path):
    plain = tmp_path / "family.aln"
    plain.write_text("ARND\nA-ND\n\nARNE\n")
    alignment = read_alignment(plain)
    assert (len(alignment), alignment.query, alignment.name) == (3, "ARND", "")
    packed = tmp_path / "family.a3m.gz"
    packed.write_bytes(gzip.compress(b">q\r\nARnnND\r\n>b\r\nA-ND\r\n"))
    assert read_alignment(packed).query == "ARND"
    for content in ("", "\n\n", ">a\n\n>b\n\n"):
        (tmp_path / "empty.a3m").write_text(content)
        with pytest.raises(SequenceError, match=r"holds no sequence|has 0 columns"):
            read_alignment(tmp_path / "empty.a3m")
    (tmp_path / "torn.a3m.gz").write_bytes(gzip.compress(b">q\nARND\n")[:-6])
    with pytest.raises(SequenceError, match="cannot be read"):
        read_alignment(tmp_path / "torn.a3m.gz")


def test_saved_and_read_again(tmp_path):
    alignment = read_alignment(">query x\nARND\n>b\nA-ND\n>c\nAXNE\n")
    alignment.save(tmp_path / "family.a3m")
    again = read_alignment(tmp_path / "family.a3m")
    np.testing.assert_array_equal(again.states, alignment.states)
    assert (again.name, again.query, again.letters) == ("query", "ARND", alignment.letters)
