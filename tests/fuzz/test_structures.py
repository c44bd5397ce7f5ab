"""Fuzzing of PDB, mmCIF and BinaryCIF."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from biotite.structure.io import pdb, pdbx
from fuzzing import EXAMPLES, altered, files, fuzz, read_or_refuse, written
from hypothesis import given

import catjac
from catjac_widgets.errors import StructureError

pytestmark = pytest.mark.timeout(240 + 2 * EXAMPLES)

_ATOMS = catjac.examples()["ww"].structure.atoms[:60]


def as_pdb() -> bytes:
    file, text = pdb.PDBFile(), io.StringIO()
    file.set_structure(_ATOMS)
    file.write(text)
    return text.getvalue().encode()


def as_cif() -> bytes:
    file, text = pdbx.CIFFile(), io.StringIO()
    pdbx.set_structure(file, _ATOMS)
    file.write(text)
    return text.getvalue().encode()


def as_bcif() -> bytes:
    file, content = pdbx.BinaryCIFFile(), io.BytesIO()
    pdbx.set_structure(file, _ATOMS)
    pdbx.compress(file).write(content)
    return content.getvalue()


KINDS = {"pdb": as_pdb(), "cif": as_cif(), "bcif": as_bcif()}


def check(found: Any) -> None:
    """What was accepted has as many of everything as it has residues, and finite coordinates."""
    assert len(found) == len(found.sequence.numbers) == len(found.sequence.residues) > 0
    assert found.coordinates.shape == (len(found), 3)
    distances = found.distances().values
    assert distances.shape == (len(found), len(found))
    assert not np.isinf(distances).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [False, True])
def test_structures(folder: Path, kind: str, packed: bool) -> None:
    name, content = f"x.{kind}{'.gz' if packed else ''}", KINDS[kind]

    @fuzz
    @given(content=files([gzip.compress(content) if packed else content]))
    def run(content: bytes) -> None:
        path = written(folder, name, content)
        found = read_or_refuse(lambda: catjac.structure(path))
        if found is not None:
            check(found)

    check(catjac.structure(written(folder, name, content)))
    run()


TREE = msgpack.unpackb(KINDS["bcif"], raw=False)


@fuzz
@given(tree=altered(TREE))
def test_trees_of_binary_cif(folder: Path, tree: Any) -> None:
    try:
        content = msgpack.packb(tree)
    except OverflowError:
        return
    path = written(folder, "x.bcif", content)
    found = read_or_refuse(lambda: catjac.structure(path))
    if found is not None:
        check(found)


def bombs() -> dict[str, bytes]:
    """Columns of a few bytes that would unfold into gigabytes."""
    numbers = np.array([7, 2**31 - 1], dtype="<i4").tobytes()
    plain = {"kind": "ByteArray", "type": 3}
    runs = {"kind": "RunLength", "srcType": 3, "srcSize": 2**31 - 1}
    packing = {"kind": "IntegerPacking", "byteCount": 1, "isUnsigned": False, "srcSize": 2**31 - 1}
    texts = {
        "kind": "StringArray", "stringData": "x" * 10**6, "offsets": np.array([0, 10**6], "<i4").tobytes(),
        "offsetEncoding": [plain], "dataEncoding": [{**runs, "srcSize": 10**6}, plain],
    }  # fmt: skip
    return {
        "runs": _with_column(numbers, [runs, plain]),
        "runs of no size": _with_column(numbers, [{"kind": "RunLength", "srcType": 3}, plain]),
        "packed integers": _with_column(b"\1\2", [packing, {"kind": "ByteArray", "type": 1}]),
        "texts": _with_column(np.array([0, 10**6], "<i4").tobytes(), [texts]),
    }


def _with_column(data: bytes, encoding: list[Any]) -> bytes:
    tree = msgpack.unpackb(KINDS["bcif"], raw=False)
    (atoms,) = [each for each in tree["dataBlocks"][0]["categories"] if each["name"] == "_atom_site"]
    for column in atoms["columns"]:
        column["data"] = {"data": data, "encoding": encoding}
    content = msgpack.packb(tree)
    assert isinstance(content, bytes)
    return content


@pytest.mark.parametrize("kind", ["runs", "runs of no size", "packed integers", "texts"])
def test_columns_do_not_unfold_into_gigabytes(folder: Path, kind: str) -> None:
    with pytest.raises(StructureError, match="not a readable bcif file"):
        catjac.structure(written(folder, "x.bcif", bombs()[kind]))


def test_atoms_without_coordinates_are_not_resolved(folder: Path) -> None:
    lines = KINDS["pdb"].decode().splitlines()
    whole = catjac.structure(written(folder, "x.pdb", "\n".join(lines).encode()))
    first = lines[0][22:26]
    lost = [
        line[:30] + "     inf     nan   0.000" + line[54:] if line[22:26] == first else line for line in lines
    ]
    cut = catjac.structure(written(folder, "x.pdb", "\n".join(lost).encode()))
    assert cut.sequence.residues == whole.sequence.residues[1:]


def test_very_many_chains_are_refused_at_once(folder: Path) -> None:
    rows = [f"ATOM {k} C CA . ALA {k} {k} ? {k % 999}.0 0.0 0.0 C{k} 1" for k in range(1, 20_001)]
    names = [
        "group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id", "label_seq_id",
        "auth_seq_id", "pdbx_PDB_ins_code", "Cartn_x", "Cartn_y", "Cartn_z", "auth_asym_id",
        "pdbx_PDB_model_num",
    ]  # fmt: skip
    head = "data_x\nloop_\n" + "".join(f"_atom_site.{name}\n" for name in names)
    with pytest.raises(StructureError, match="20000 chains"):
        catjac.structure(written(folder, "many.cif", (head + "\n".join(rows) + "\n#\n").encode()))
