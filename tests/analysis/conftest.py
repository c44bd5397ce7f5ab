"""Fixtures of the analyses' tests."""

from __future__ import annotations

import gzip

import pytest
from checkpoints import random_esm2
from relatives import mutated
from stubs import PottsModel

from catjac_widgets.structures.example_proteins import examples


@pytest.fixture
def folder(tmp_path):
    """Two proteins: an alignment and PDB; gzipped FASTA and CIF beside an alignment."""
    made = tmp_path / "proteins"
    made.mkdir()
    ww, sh3 = examples()["ww"], examples()["sh3"]
    (made / "ww.a3m").write_text(mutated(ww.sequence.residues, 40))
    (made / "ww.pdb").write_text(ww.structure.to_pdb())
    (made / "sh3.fasta.gz").write_bytes(gzip.compress(f">sh3\n{sh3.sequence.residues}\n".encode()))
    (made / "sh3.a3m").write_text(mutated(sh3.sequence.residues, 30, 1))
    (made / "sh3.pdb.gz").write_bytes(gzip.compress(sh3.structure.to_pdb().encode()))
    (made / "alone.fasta").write_text(">alone\nACDEFGHIKL\n")
    (made / "notes.txt").write_text("nothing of interest")
    return made


@pytest.fixture
def model():
    return PottsModel(seed=3)


@pytest.fixture(scope="module")
def esm2():
    """A random ESM-2 and its alphabet."""
    module = random_esm2()
    return module, module.alphabet
