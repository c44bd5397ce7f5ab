"""What is named as a file may be anything: one sentence, at once, and never more memory than was said."""

from __future__ import annotations

import gzip
import os
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bounded_memory import bounded_memory
from click.testing import CliRunner

import catjac
from catjac_widgets.analysis.benchmark.entries import find_entries
from catjac_widgets.cli import main
from catjac_widgets.errors import CatjacError, ModelNotFoundError, SequenceError
from catjac_widgets.language_models.potts.files import read_potts
from catjac_widgets.language_models.registry import identify
from catjac_widgets.proteins.alignments import read_alignment
from catjac_widgets.proteins.reading import as_sequence, read_records

READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "FASTA": ("x.fasta", as_sequence),
    "FASTA as text": ("x.fasta", lambda path: as_sequence(str(path))),
    "records": ("x.fasta", read_records),
    "jacobian": ("x.fasta", lambda path: catjac.jacobian(path, progress=False)),
    "alignment": ("x.a3m", read_alignment),
    "structure": ("x.pdb", catjac.structure),
    "protein of a structure": ("x.cif", as_sequence),
    "checkpoint": ("x.pt", lambda path: identify(str(path))),
    "checkpoint as a path": ("x", lambda path: catjac.load_model(path)),
    "safetensors": ("x.safetensors", lambda path: catjac.load_model(str(path))),
    "Potts model": ("x.raw", read_potts),
    "potts: parameters": ("x.npz", lambda path: catjac.load_model(f"potts:{path}")),
    "potts: alignment": ("x.a3m", lambda path: catjac.load_model(f"potts:{path}")),
}


def fifo(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path)


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("make", [fifo, folder, device, loop, bound_socket])
def test_what_is_no_regular_file_is_refused_unopened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str, make: Callable[[Path], None]
) -> None:
    name, read = READERS[reader]
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    make(Path(name))
    # A folder is no checkpoint by its name.
    with pytest.raises(
        CatjacError, match=r"is a (pipe|folder|device|socket)|cannot be read|no model"
    ) as found:
        read(Path(name))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("reader", READERS)
def test_a_path_with_a_nul_or_of_nobody_or_too_long_is_no_file(reader: str) -> None:
    name, read = READERS[reader]
    for path in (f"no\0thing/{name}", f"~nobody-of-that-name/{name}", f"~a\0b/{name}", f"{'n' * 300}{name}"):
        with pytest.raises(CatjacError) as found:
            read(Path(path))
        assert str(found.value).isprintable()
        assert len(str(found.value)) < 600


def test_a_file_that_is_no_checkpoint_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "passwd"
    path.write_text("root:x:0:0:root:/:/bin/sh\n" * 20)
    done = CliRunner().invoke(main, ["contacts", "bpti", "--model", str(path)])
    assert done.exit_code == 1
    assert "passwd is truncated or not a checkpoint of fair-esm" in done.stderr
    assert "Traceback" not in done.output
    with pytest.raises(ModelNotFoundError):
        catjac.load_model("m" * 10**6)


# ---- never more memory than was said


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")


def sparse(path: Path, start: bytes, size: int) -> Path:
    """A file of that size that takes no room on disk."""
    path.write_bytes(start)
    os.truncate(path, size)
    return path


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few megabytes that 600 are packed in."""
    path = tmp_path_factory.mktemp("packed") / "x.gz"
    piece = gzip.compress(b"A" * 100 * 2**20, 1)
    path.write_bytes(gzip.compress(b">a\n") + 6 * piece)
    assert path.stat().st_size < 10**7
    return path


@needs_linux
@pytest.mark.parametrize(
    ("name", "read"),
    [("x.fasta", as_sequence), ("x.a3m", read_alignment), ("x.pdb", catjac.structure), ("x.raw", read_potts)],
)
def test_a_file_larger_than_what_is_read_is_not_read(
    tmp_path: Path, name: str, read: Callable[[Path], object]
) -> None:
    path = sparse(tmp_path / name, b">a\n", 3 * 2**30)
    with bounded_memory(300), pytest.raises(CatjacError, match=r"more than the .* MB that are read"):
        read(path)


@needs_linux
@pytest.mark.parametrize(
    ("name", "read", "megabytes"),
    [
        ("x.fasta.gz", as_sequence, 400),
        ("x.a3m.gz", read_alignment, 1000),
        ("x.pdb.gz", catjac.structure, 1000),
    ],
)
def test_a_packed_file_is_unpacked_no_further_than_what_is_read(
    packed: Path, name: str, read: Callable[[Path], object], megabytes: int
) -> None:
    path = packed.with_name(name)
    path.symlink_to(packed)
    with bounded_memory(megabytes), pytest.raises(CatjacError, match=r"more than the .* that are read"):
        read(path)


def test_a_line_of_100_megabytes_is_refused_and_the_limit_said(tmp_path: Path) -> None:
    path = tmp_path / "long.fasta"
    path.write_bytes(b">a\n" + b"A" * 100 * 2**20)
    with pytest.raises(SequenceError, match="more than the 64 MB that are read"):
        as_sequence(path)
    with pytest.raises(SequenceError, match="more than the 64 MB that are read"):
        as_sequence("A" * 100 * 2**20)
    with pytest.raises(SequenceError, match="2,000,000 letters, more than the 1,000,000 residues"):
        as_sequence("A" * 2 * 10**6)
    with path.open("ab") as file:
        file.write(b"\n>b\nAC\n")
    with pytest.raises(SequenceError, match="2 columns, the first 104857600"):
        read_alignment(path)


@needs_linux
@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", [">\nA\n", "\n", ">a\n", "A\n", ";\n"], ids=ascii)
def test_very_many_short_lines_take_bounded_memory_and_time(tmp_path: Path, text: str) -> None:
    path = tmp_path / "many.fasta"
    path.write_text(text * (2**23 // len(text)))
    for read in (read_records, read_alignment):
        with bounded_memory(900):
            refusal = ""
            try:
                assert read(path)
            except CatjacError as error:
                refusal = str(error)
        assert not refusal or re.search("lines|residues|columns", refusal)


def test_blank_lines_within_a_sequence_take_no_time() -> None:
    assert as_sequence("ACDEF" + "\n" * 500_000 + "GHIKL").residues == "ACDEFGHIKL"


def test_records_of_a_length_share_their_numbers() -> None:
    first, second = read_records(">a\nACDEF\n>b\nGHIKL\n")
    assert first.chains[0].numbers is second.chains[0].numbers


# ---- an index names files of its own folder


@pytest.fixture
def families(tmp_path: Path) -> Path:
    made = tmp_path / "families"
    made.mkdir()
    (tmp_path / "secret.fasta").write_text(">s\nACDEF\n")
    return made


@pytest.mark.parametrize(
    "index",
    [
        '[{"id": "a", "files": {"fasta": "../secret.fasta"}}]',
        '[{"id": "a", "files": {"fasta": {"path": "FOLDER/secret.fasta"}}}]',
        '[{"id": "../secret"}]',
        '[{"id": "a\\u0000b"}]',
        '[{"id": ["a"]}]',
        '[{"id": "a", "chain": 5}]',
        "[" * 100_000,
        '{"id": "a"}',
        "[]",
        "5",
        "\xff",
    ],
)
def test_an_index_that_names_something_else_is_refused(families: Path, index: str) -> None:
    (families / "families.json").write_text(index.replace("FOLDER", str(families.parent)), encoding="latin-1")
    with pytest.raises(CatjacError, match="index"):
        find_entries(families)
