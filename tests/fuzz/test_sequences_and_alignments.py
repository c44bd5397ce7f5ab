"""Fuzzing of FASTA, A3M and aligned FASTA, packed too, and of what a text may mean."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import EXAMPLES, altered, damaged, files, fuzz, read_or_refuse, written
from hypothesis import given
from hypothesis import strategies as st

from catjac_widgets.analysis.benchmark.entries import find_entries
from catjac_widgets.proteins.alignments import read_alignment
from catjac_widgets.proteins.alphabets import ESM_LETTERS
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import as_sequence, read_fasta, read_records

pytestmark = pytest.mark.timeout(120 + EXAMPLES)

FASTA = [
    b">one first\nMKTAYIAK\nQRACD\n>two\r\nACDEF:GHIKL*\n",
    b"\xef\xbb\xbf; a comment\n>a\n  1 mktay 10\n 11 iakqr\n",
    b"ACDEFGHIKLMNPQRSTVWY\n",
]
ALIGNED = [
    b">q\nMKTAYI\n>a\nMK-AYI\n>b\nMKacT-YI.\n",
    b"# comment\n>q/1-4\nACGU\n>r\nAC-U\n",
    b"MKTAYI\nMKT-YI\n",
]


@fuzz
@given(content=files(FASTA), packed=st.booleans())
def test_fasta(folder: Path, content: bytes, packed: bool) -> None:
    path = written(folder, "x.fasta", gzip.compress(content, 1) if packed else content)
    records = read_or_refuse(lambda: read_records(path))
    for record in records or ():
        assert len(record) == sum(map(len, record.chains)) == len(record.numbers) > 0
        assert not any(letter.isspace() or "a" <= letter <= "z" for letter in record.residues)
        assert [str(again) for again in read_fasta(f">x\n{record}\n")] == [str(record)]
    found = read_or_refuse(lambda: as_sequence(path))
    assert found is None or set(found.residues) <= set(ESM_LETTERS + "U")


@fuzz
@given(content=damaged([gzip.compress(each) for each in FASTA + ALIGNED]))
def test_packed_files(folder: Path, content: bytes) -> None:
    path = written(folder, "x.a3m.gz", content)
    read_or_refuse(lambda: read_records(path))
    read_or_refuse(lambda: read_alignment(path))


@fuzz
@given(content=files(ALIGNED))
def test_alignments(folder: Path, content: bytes) -> None:
    path = written(folder, "x.a3m", content)
    found = read_or_refuse(lambda: read_alignment(path))
    if found is None:
        return
    assert found.states.shape == (len(found), found.length)
    assert len(found.query) == found.length > 0
    assert found.states.min() >= 0
    assert found.states.max() < len(found.letters)
    found.save(folder / "again.a3m")
    again = read_alignment(folder / "again.a3m", letters=found.letters)
    np.testing.assert_array_equal(again.states, found.states)


@fuzz
@given(
    text=st.one_of(
        st.text(max_size=60), st.from_regex(r"\A(pdb|uniprot|file|sequence|example)?:?[\w~/.*$-]*\Z")
    )
)
def test_what_a_text_means(text: str) -> None:
    if text.strip().lower().startswith(("pdb:", "uniprot:")):
        return  # asks the network
    found = read_or_refuse(lambda: as_sequence(text))
    assert found is None or len(found) > 0


@fuzz
@given(text=st.one_of(st.text(max_size=30), st.from_regex(r"\A[0-9 ,–-]*\Z")))
def test_masks(text: str) -> None:
    found = read_or_refuse(lambda: Mask.parse(40, text))
    assert found is None or Mask.parse(40, str(found)) == found


INDEX: list[Any] = [
    {"id": "a", "chain": "A", "files": {"msa": {"path": "a.a3m"}, "structure": "a.pdb"}},
    {"id": "b", "chain": None, "files": {}},
]


@fuzz
@given(
    index=st.one_of(
        altered(INDEX).map(lambda tree: json.dumps(tree).encode()), files([json.dumps(INDEX).encode()])
    )
)
def test_an_index_of_families(folder: Path, index: bytes) -> None:
    families = folder / "families"
    families.mkdir(exist_ok=True)
    written(families, "a.a3m", ALIGNED[0])
    written(families, "families.json", index)
    found = read_or_refuse(lambda: find_entries(families))
    for entry in found[0] if found else ():
        for path in (entry.sequence, entry.alignment, entry.structure):
            assert path is None or path.resolve().is_relative_to(families.resolve())
        read_or_refuse(lambda entry=entry: entry.query)  # type: ignore[misc]
        read_or_refuse(lambda entry=entry: entry.digest)  # type: ignore[misc]
