from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_structures import chain

from catjac_widgets.structures import mapping
from catjac_widgets.structures.mapping import match_chain
from catjac_widgets.structures.residues import resolved_chains

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def resolved(residues, missing=()):
    """A chain of which some residues (0-based) are not resolved, numbered as the whole sequence is."""
    kept = [k for k in range(len(residues)) if k not in missing]
    breaks = {place for place, k in enumerate(kept) if place and kept[place - 1] != k - 1}
    (found,) = resolved_chains(
        chain("".join(residues[k] for k in kept), numbers=[k + 1 for k in kept], breaks=breaks)
    )
    return found, kept


def random_residues(length, seed):
    return "".join(np.random.default_rng(seed).choice(list(LETTERS), length))


def test_an_exact_stretch():
    whole = random_residues(60, 1)
    found, _ = resolved(whole)
    match = match_chain(whole[10:40], found)
    assert match.index.tolist() == list(range(10, 40))
    assert (match.identity, match.coverage) == (1.0, 1.0)


@given(st.integers(0, 2**32 - 1), st.integers(12, 60), st.data())
@settings(max_examples=40, deadline=None)
def test_unresolved_residues_are_found_by_the_numbering(seed, length, data):
    whole = random_residues(length, seed)
    missing = data.draw(st.sets(st.integers(0, length - 1), max_size=length // 2))
    found, kept = resolved(whole, missing)
    index = match_chain(whole, found).index
    expected = np.full(length, -1)
    expected[kept] = np.arange(len(kept))
    assert index.tolist() == expected.tolist()


def test_unresolved_residues_are_found_by_alignment_where_the_numbering_tells_nothing():
    whole = random_residues(80, 2)
    left = whole[:30] + whole[45:]
    (found,) = resolved_chains(chain(left, breaks={30}))
    index = match_chain(whole, found).index
    assert index.tolist() == [*range(30), *[-1] * 15, *range(30, 65)]


def test_a_longer_sequence_than_the_chain_and_the_other_way_round():
    whole = random_residues(70, 3)
    found, _ = resolved(whole[20:50])
    assert match_chain(whole, found).index.tolist() == [*[-1] * 20, *range(30), *[-1] * 20]


def test_point_mutations_are_mapped():
    whole = random_residues(60, 4)
    mutated = whole[:20] + ("A" if whole[20] != "A" else "C") + whole[21:]
    found, _ = resolved(whole)
    match = match_chain(mutated, found)
    assert match.index.tolist() == list(range(60))
    assert match.identity == pytest.approx(59 / 60)


def test_insertions_and_deletions_are_aligned():
    whole = random_residues(60, 5)
    found, _ = resolved(whole)
    index = match_chain(whole[:30] + "WWWW" + whole[30:], found).index
    assert index[:30].tolist() == list(range(30))
    assert index[34:].tolist() == list(range(30, 60))


def test_unknown_residues_fit_any_letter():
    whole = random_residues(30, 6)
    names = [LETTER_NAMES[letter] for letter in whole]
    names[12] = "UNK"
    (found,) = resolved_chains(chain(names))
    match = match_chain(whole, found)
    assert match.index.tolist() == list(range(30))
    assert match.aligned == 29


def test_another_protein_matches_badly():
    found, _ = resolved(random_residues(100, 7))
    match = match_chain(random_residues(100, 8), found)
    assert match.identity < mapping.MINIMUM_IDENTITY or match.coverage < mapping.MINIMUM_COVERAGE


LETTER_NAMES = dict(
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
