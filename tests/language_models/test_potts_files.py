from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
from labelled_potts import random_parameters

from catjac_widgets.errors import CheckpointError
from catjac_widgets.language_models.potts.files import read_potts
from catjac_widgets.proteins.alphabets import ALIGNMENT_LETTERS


def test_files_of_plmc(tmp_path):
    potts = random_parameters(4, 5)
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    for kind, size in (("f", 4), ("d", 8)):
        content = struct.pack("<5i", 4, 21, 3, 1, 100) + struct.pack(f"<5{kind}", 0.8, 0.1, 0.2, 0, 2.5)
        content += ("-" + ALIGNMENT_LETTERS).encode() + struct.pack(f"<4{kind}", 1, 1, 0.5, 0)
        content += b"ARND" + struct.pack("<4i", 1, 2, 3, 4)
        order = [20, *range(20)]
        dtype = f"<f{size}"
        content += np.zeros((4, 21), dtype).tobytes() + potts.fields[:, order].astype(dtype).tobytes()
        content += np.zeros((6, 21, 21), dtype).tobytes()
        for i, j in pairs:
            content += potts.couplings[i][order][:, j][:, order].astype(dtype).tobytes()
        path = tmp_path / f"{kind}.params"
        path.write_bytes(content)
        found = read_potts(path)
        assert (found.letters, found.sequence, found.neff) == ("-" + ALIGNMENT_LETTERS, "ARND", 2.5)
        np.testing.assert_allclose(found.fields, potts.fields[:, order], rtol=1e-6)
        expected = potts.couplings[:, order][:, :, :, order]
        np.testing.assert_allclose(found.couplings, expected, rtol=1e-6)
        path.write_bytes(content[:-4])
        with pytest.raises(CheckpointError, match="cut short"):
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
    lines = [
        f"V[{column}] " + " ".join(f"{value:g}" for value in row)
        for column, row in zip(columns, potts.fields, strict=True)
    ]
    for i in range(3):
        for j in range(i + 1, 3):
            values = " ".join(f"{value:.8g}" for value in potts.couplings[i, :, j].ravel())
            lines.append(f"W[{columns[i]}][{columns[j]}] {values}")
    path = tmp_path / "family.mrf"
    path.write_text("\n".join(lines) + "\n")
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
