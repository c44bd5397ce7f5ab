"""Readers of other people's files against damaged and made-up ones: a typed error, or something of sense.

``CATJAC_FUZZ_EXAMPLES=5000 pytest tests/fuzz`` draws more of them.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import random_esm2, write_esm2, write_safetensors
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from labelled_potts import random_parameters
from potts_files import gremlin_text, plmc_bytes

import catjac
from catjac_widgets.analysis.benchmark.entries import find_entries
from catjac_widgets.errors import CatjacError
from catjac_widgets.language_models.potts.files import read_potts
from catjac_widgets.proteins.alignments import Alignment, read_alignment
from catjac_widgets.proteins.reading import read_records

pytestmark = [
    pytest.mark.timeout(1800),
    # torch leaves a file that it refuses to the garbage collector; numpy says what it overflows at.
    pytest.mark.filterwarnings("ignore"),
]

FAMILY = ">q\nACDEFGHIKL\n>b\nACDE-GHIKL\n>c\nACDEFGHaaIKL\n"


def _potts(suffix: str) -> bytes:
    potts = random_parameters(4, 1, sequence="ACDE")
    if suffix == ".mrf":
        return gremlin_text(potts, (0, 1, 2, 3)).encode()
    if suffix == ".params":
        return plmc_bytes(potts, target="ACDE")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{suffix}"
        potts.save(path)
        return path.read_bytes()


def _raw() -> bytes:
    lines = [" ".join(["0.1"] * 20) for _ in range(3)]
    for i in range(3):
        for j in range(i + 1, 3):
            lines += [f"# {i} {j}", *[" ".join(["0.01"] * 21) for _ in range(21)]]
    return ("\n".join(lines) + "\n").encode()


def _checkpoint(kind: str) -> bytes:
    model = random_esm2(1, 16, 2)
    with tempfile.TemporaryDirectory() as folder:
        if kind == "pt":
            return Path(write_esm2(model, Path(folder), "esm2_t1_tiny_UR50D")).read_bytes()
        return write_safetensors(model, Path(folder) / "x.safetensors").read_bytes()


def _structure(kind: str) -> bytes:
    found = catjac.examples()["ww"].structure
    if kind == "pdb":
        return "\n".join(found.to_pdb().splitlines()[:120]).encode()
    import io

    from biotite.structure.io import pdb, pdbx

    atoms = pdb.PDBFile.read(io.StringIO(_structure("pdb").decode())).get_structure(model=1)
    made = pdbx.CIFFile() if kind == "cif" else pdbx.BinaryCIFFile()
    pdbx.set_structure(made, atoms)
    target: Any = io.StringIO() if kind == "cif" else io.BytesIO()
    made.write(target)
    content = target.getvalue()
    return content.encode() if isinstance(content, str) else content


def _is_alignment(found: Any) -> bool:
    return isinstance(found, Alignment) and found.states.shape == (len(found), found.length)


def _is_potts(found: Any) -> bool:
    size = len(found.letters)
    return bool(
        found.couplings.shape == (len(found.columns), size, len(found.columns), size)
        and np.isfinite(found.couplings).all()
        and np.isfinite(found.fields).all()
    )


def _is_model(found: Any) -> bool:
    return isinstance(found.fingerprint, str)


def _is_structure(found: Any) -> bool:
    return len(found.sequence) > 0


#: name of the file → (a sound one, how it is read, whether what comes of it makes sense)
READERS: dict[str, tuple[Callable[[], bytes], Callable[[Path], Any], Callable[[Any], bool]]] = {
    "x.fasta": (lambda: b">a\nACDEF\n>b\nGHIKL\n", read_records, lambda found: all(map(len, found))),
    "x.fasta.gz": (lambda: gzip.compress(b">a\nACDEF\n"), read_records, lambda found: all(map(len, found))),
    "x.a3m": (FAMILY.encode, read_alignment, _is_alignment),
    "x.a3m.gz": (lambda: gzip.compress(FAMILY.encode()), read_alignment, _is_alignment),
    "x.pdb": (lambda: _structure("pdb"), catjac.structure, _is_structure),
    "x.cif": (lambda: _structure("cif"), catjac.structure, _is_structure),
    "x.bcif": (lambda: _structure("bcif"), catjac.structure, _is_structure),
    "x.npz": (lambda: _potts(".npz"), read_potts, _is_potts),
    "y.safetensors": (lambda: _potts(".safetensors"), read_potts, _is_potts),
    "x.mrf": (lambda: _potts(".mrf"), read_potts, _is_potts),
    "x.params": (lambda: _potts(".params"), read_potts, _is_potts),
    "x.raw": (_raw, read_potts, _is_potts),
    "esm2_t1_tiny_UR50D.pt": (lambda: _checkpoint("pt"), lambda path: catjac.load_model(path), _is_model),
    "x.safetensors": (lambda: _checkpoint("safetensors"), lambda path: catjac.load_model(path), _is_model),
    "families.json": (
        lambda: b'[{"id": "a", "chain": "A", "files": {"pdb": "a.pdb"}}]',
        lambda path: find_entries(path.parent),
        lambda found: True,
    ),
}

#: One change: where (as a share of the file), what, and how much of it.
_changes = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from(["flip", "delete", "insert", "repeat", "cut", "digits"]),
        st.binary(min_size=1, max_size=8),
    ),
    max_size=6,
)


def changed(content: bytes, changes: list[tuple[float, str, bytes]]) -> bytes:
    """Apply changes to a sound file."""
    made = bytearray(content)
    for share, kind, data in changes:
        place = int(share * len(made))
        if kind == "flip" and made:
            made[min(place, len(made) - 1)] ^= data[0] or 1
        elif kind == "delete":
            del made[place : place + data[0]]
        elif kind == "insert":
            made[place:place] = data
        elif kind == "repeat":
            made[place:place] = made[place : place + 64] * (data[0] % 8)
        elif kind == "cut":
            del made[place:]
        elif kind == "digits":
            made[place:place] = str(int.from_bytes(data, "little")).encode()
    return bytes(made)


_SOUND: dict[str, bytes] = {}


@pytest.mark.parametrize("name", READERS)
@settings(
    max_examples=int(os.environ.get("CATJAC_FUZZ_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.one_of(_changes, st.binary(max_size=256)))
@example([])
@example(b"")
def test_a_file_is_read_or_refused_with_a_sentence(name: str, drawn: list[Any] | bytes) -> None:
    make, read, makes_sense = READERS[name]
    if name not in _SOUND:
        _SOUND[name] = make()
    content = drawn if isinstance(drawn, bytes) else changed(_SOUND[name], drawn)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        found, refusal = None, ""
        try:
            found = read(path)
        except CatjacError as error:
            refusal = str(error)
    if found is not None:
        assert makes_sense(found)
        return
    assert refusal.strip()
    assert "\n" not in refusal.strip()
    # The index names files that are not there.
    assert content != _SOUND[name] or name == "families.json", f"a sound file was refused: {refusal}"
