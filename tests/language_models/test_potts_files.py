from __future__ import annotations

import gzip

import numpy as np
import pytest
from labelled_potts import random_parameters
from potts_files import PLMC_LETTERS, write_gremlin, write_plmc

import catjac_widgets
from catjac_widgets.errors import CheckpointError
from catjac_widgets.language_models.potts.files import read_potts
from catjac_widgets.language_models.potts.parameters import ALIGNMENT_STATES


def test_files_of_plmc(tmp_path):
    potts = random_parameters(4, 5)
    order = [ALIGNMENT_STATES.index(letter) for letter in PLMC_LETTERS]
    for double in (False, True):
        path = write_plmc(tmp_path / "model.params", potts, double=double)
        found = read_potts(path)
        # Without a focus sequence, there is one residue a column and none is known.
        assert (found.letters, found.sequence, found.neff) == (PLMC_LETTERS, "", 2.5)
        assert (found.columns, found.length, found.is_part) == ((0, 1, 2, 3), 4, False)
        np.testing.assert_allclose(found.fields, potts.fields[:, order], rtol=1e-6)
        np.testing.assert_allclose(found.couplings, potts.couplings[:, order][:, :, :, order], rtol=1e-6)
        path.write_bytes(path.read_bytes()[:-4])
        with pytest.raises(CheckpointError, match="cut short"):
            read_potts(path)


def test_plmc_with_a_focus_sequence_keeps_its_numbers(tmp_path):
    """Columns with a gap or a lower-case letter there are left out; the others keep their numbers."""
    path = write_plmc(
        tmp_path / "model.params", random_parameters(4, 5), target="ARND", numbers=(20, 21, 24, 30)
    )
    found = read_potts(path)
    assert found.columns == (0, 1, 4, 10)
    assert found.sequence == "ARXXNXXXXXD"
    assert found.numbers == tuple(map(str, range(20, 31)))
    C = catjac_widgets.potts.contacts(found)
    assert list(C["number_i"].values) == list(found.numbers)
    assert np.flatnonzero(np.isfinite(C[0])).tolist() == [0, 1, 4, 10]
    write_plmc(path, random_parameters(2, 5), target="AR", numbers=(21, 20))
    with pytest.raises(CheckpointError, match="do not ascend"):
        read_potts(path)


def test_files_of_ccmpred(tmp_path):
    potts = random_parameters(3, 6)
    lines = ["\t".join(map(str, row)) for row in potts.fields[:, :20]]
    for i in range(3):
        for j in range(i + 1, 3):
            lines.append(f"# {i} {j}")
            lines += ["\t".join(map(str, row)) for row in potts.couplings[i, :, j]]
    path = tmp_path / "model.raw"
    path.write_text("\n".join(lines) + "\n")
    found = read_potts(path)
    np.testing.assert_allclose(found.couplings, potts.couplings)
    np.testing.assert_allclose(found.fields[:, :20], potts.fields[:, :20])
    path.write_text("\n".join(lines[:-1]))
    with pytest.raises(CheckpointError, match="lines"):
        read_potts(path)


def test_ccmpred_with_a_line_of_json_and_packed(tmp_path):
    potts = random_parameters(2, 7)
    lines = ["\t".join(f"{value:g}" for value in row) + "\t" for row in potts.fields[:, :20]]
    lines.append("# 0 1")
    lines += ["\t".join(f"{value:.20e}" for value in row) + "\t" for row in potts.couplings[0, :, 1]]
    lines.append('#>META> {"version":"0.3.2","method":"ccmpred"}')
    path = tmp_path / "model.raw.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    np.testing.assert_allclose(read_potts(path).couplings, potts.couplings)
    for broken, words in (("# 1 0", "couples columns"), ("# one two", "is due"), ("0.5", "line")):
        path.write_bytes(gzip.compress("\n".join([*lines[:2], broken, *lines[3:]]).encode()))
        with pytest.raises(CheckpointError, match=words):
            read_potts(path)


def test_files_of_gremlin(tmp_path):
    potts = random_parameters(3, 8)
    columns = (0, 2, 5)
    path = write_gremlin(tmp_path / "family.mrf", potts, columns)
    lines = path.read_text().splitlines()
    found = read_potts(path)
    np.testing.assert_allclose(found.fields, potts.fields, rtol=1e-4)
    np.testing.assert_allclose(found.couplings, potts.couplings, rtol=1e-6)
    assert (found.letters, found.sequence, found.length) == (potts.letters, "", 6)
    assert found.columns == columns
    # Pairs that were not asked for (option -pair_i) have no line.
    path.write_text("\n".join(lines[:-1]) + "\n")
    assert not read_potts(path).couplings[1, :, 2].any()
    for text, words in (
        (lines[0] + " 1", "cut short"),
        ("\n".join([*lines[:2], lines[-1]]), "no line V"),
        ("i j raw apc", "begins with"),
        ("", "cut short"),
    ):
        path.write_text(text)
        with pytest.raises(CheckpointError, match=words):
            read_potts(path)


def test_gremlins_nucleotides(tmp_path):
    path = tmp_path / "rna.gremlin"
    block = np.arange(25)
    path.write_text("V[0] 1 2 3 4 5\nV[1] 0 0 0 0 0\nW[0][1] " + " ".join(map(str, block)) + "\n")
    found = read_potts(path)
    assert found.letters == "AUCG-"
    assert found.couplings[0, 1, 1, 2] == 7  # U at 0, C at 1
    assert found.couplings[1, 2, 0, 1] == 7


def test_what_is_no_model(tmp_path):
    (tmp_path / "model.txt").write_text("x")
    with pytest.raises(CheckpointError, match="is no Potts model"):
        read_potts(tmp_path / "model.txt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_potts(tmp_path / "missing.npz")
    (tmp_path / "short.params").write_bytes(b"1234")
    with pytest.raises(CheckpointError, match="too short"):
        read_potts(tmp_path / "short.params")
