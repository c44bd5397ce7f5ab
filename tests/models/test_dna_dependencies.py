"""Nucleotide dependencies, and Jacobians of nucleotides folded to codons."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dna_readers import RESIDUES, reader

import catjac_widgets as catjac
from catjac_widgets.errors import JacobianError, UsageError
from catjac_widgets.language_models.base import Substitution

L = len(RESIDUES)


def test_dependencies_are_those_of_odds_from_sequences() -> None:
    model = reader()
    D = catjac.dna.dependency(RESIDUES, model, progress=False)
    runner = model.prepare(RESIDUES)

    def log_odds(logits: np.ndarray) -> np.ndarray:
        e = np.exp(logits.astype(np.float64))
        p = e / e.sum(axis=-1, keepdims=True) + 1e-10
        p = p / p.sum(axis=-1, keepdims=True)
        return np.log(p / (1 - p)) / np.log(2)

    wanted = np.zeros((L, L))
    for i in range(L):
        rows = runner.rows([Substitution(i, a) for a in "ACGT" if a != RESIDUES[i]])
        for row in rows:
            change = abs(log_odds(row) - log_odds(runner.wild_type())).max(axis=1)
            wanted[i] = np.maximum(wanted[i], change)
    wanted[np.tril_indices(L)] = 0
    np.testing.assert_allclose(D.values, wanted, atol=1e-3)
    assert D.dims == ("pos_i", "pos_j")
    assert D.attrs["kind"] == "nucleotide dependency"
    J = catjac.jacobian(RESIDUES, model, progress=False)
    np.testing.assert_array_equal(catjac.dna.dependency(J).values, D.values)
    some = catjac.dna.dependency(catjac.jacobian(RESIDUES, model, positions=[2, 5], progress=False))
    np.testing.assert_array_equal(some.values[[1, 4]], D.values[[1, 4]])
    assert np.isnan(some.values[[0, 2, 3]]).all()


def test_dependencies_of_what_is_none() -> None:
    J = catjac.jacobian(RESIDUES, reader(), progress=False)
    with pytest.raises(UsageError, match="knows its model"):
        catjac.dna.dependency(J, "mini")
    with pytest.raises(UsageError, match="give model="):
        catjac.dna.dependency(RESIDUES)
    with pytest.raises(JacobianError, match="wild_type_logits"):
        catjac.dna.dependency(J.drop_vars("wild_type_logits"))
    with pytest.raises(JacobianError, match="not raw"):
        catjac.dna.dependency(catjac.centre(J))


# -- codons

#: M K F and M I N with a stop codon; from the fifth nucleotide on, N S and a stop codon.
CODING = "ATGAAATTCATGATTAATTAA"


def plain_codons(J: np.ndarray, places: list[int], axes: Any) -> np.ndarray:
    """By loops over codons, places and letters."""
    N = len(places) // 3
    T = np.zeros((N, 3, 4, N, 3, 4))
    for i in range(N):
        for j in range(N):
            for p in range(3):
                for q in range(3):
                    T[i, p, :, j, q] = J[places[3 * i + p], :, places[3 * j + q]]
    for axis in axes:
        T = T - T.mean(axis=axis, keepdims=True)
    C = np.sqrt((T**2).sum(axis=(1, 2, 4, 5)))
    C = C + C.T
    np.fill_diagonal(C, 0)
    C = C - C.sum(0)[None] * C.sum(1)[:, None] / C.sum()
    np.fill_diagonal(C, 0)
    return C


@pytest.mark.parametrize("strands", [1, 2])
def test_codons_of_two_coding_sequences(strands: int) -> None:
    model = reader() if strands == 1 else catjac.dna.both_strands(reader())
    J = catjac.jacobian(CODING, model, progress=False)
    # The second one ends with a stop codon.
    C = catjac.dna.codon_contacts(J, [(1, 9), (10, 21)])
    axes = (1, 2, 4, 5) if strands == 1 else (0, 1, 2, 3, 4, 5)
    np.testing.assert_allclose(C.values, plain_codons(J.values, list(range(18)), axes), atol=1e-4)
    assert "".join(C["wild_type_i"].values) == "MKFMIN"
    assert list(C["residue_i"].values) == ["A:M1", "A:K2", "A:F3", "B:M1", "B:I2", "B:N3"]
    between = catjac.chain_block(C, "A", "B")
    np.testing.assert_array_equal(between.values, C.values[:3, 3:])
    overlapping = catjac.dna.codon_contacts(J, [(1, 9), (5, 13)])
    assert "".join(overlapping["wild_type_j"].values) == "MKFNS"
    places = [*range(9), *range(4, 10)]
    np.testing.assert_allclose(overlapping.values, plain_codons(J.values, places, axes), atol=1e-4)


@pytest.mark.parametrize(
    ("coding", "words"),
    [
        ([], "no coding sequence"),
        ([(1, 8)], "no whole codons"),
        ([(16, 24)], "does not lie within"),
        ([(9, 1)], "does not lie within"),
        ([(2, 19)], "stops at codon"),
        ([(1, 3)], "too short"),
    ],
)
def test_coding_sequences_that_are_none(coding: Any, words: str) -> None:
    J = catjac.jacobian(CODING, reader(), progress=False)
    with pytest.raises(UsageError, match=words):
        catjac.dna.codon_contacts(J, coding)


def test_codons_of_a_jacobian_that_does_not_do() -> None:
    J = catjac.jacobian(CODING, reader(), progress=False)
    with pytest.raises(JacobianError, match="no row"):
        catjac.dna.codon_contacts(J.isel(pos_in=slice(0, 8)), [(1, 9)])
    with pytest.raises(JacobianError, match="not raw"):
        catjac.dna.codon_contacts(catjac.centre(J), [(1, 9)])
    protein = catjac.jacobian("NLYIQWLK", "mini", progress=False)
    with pytest.raises(JacobianError, match="made of nucleotides"):
        catjac.dna.codon_contacts(protein, [(1, 6)])
