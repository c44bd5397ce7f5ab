"""What is named as a file may be anything: one sentence, at once, and never more memory than was said."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
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


def run_with(megabytes: int, program: str, *arguments: object, seconds: int = 120) -> str:
    """Run a program that may take so much memory beside what importing takes; its last line."""
    limited = (
        "import pathlib, resource, sys\n"
        "import numpy, catjac, catjac_widgets.errors\n"
        "from catjac_widgets.errors import CatjacError\n"
        "from catjac_widgets.proteins.reading import as_sequence, read_records\n"
        "from catjac_widgets.proteins.alignments import read_alignment\n"
        "from catjac_widgets.language_models.potts.files import read_potts\n"
        "from biotite.structure.io import pdb, pdbx\n"
        "import torch\n"
        "now = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        f"resource.setrlimit(resource.RLIMIT_AS, (now + {megabytes} * 2**20,) * 2)\n"
        f"try:\n{textwrap.indent(program, '    ')}\n"
        "except CatjacError as error:\n    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, *map(str, arguments)],
        capture_output=True, text=True, timeout=seconds, check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return done.stdout.strip().splitlines()[-1]


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="CATJAC_DATA-free limits are those of Linux")


def sparse(path: Path, start: bytes, size: int) -> Path:
    """A file of that size that takes no room on disk."""
    path.write_bytes(start)
    os.truncate(path, size)
    return path


def packed(path: Path, start: bytes, piece: bytes, times: int) -> Path:
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(times):
            file.write(piece)
    return path


@needs_proc
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("x.fasta", "as_sequence(pathlib.Path(sys.argv[1]))"),
        ("x.a3m", "read_alignment(sys.argv[1])"),
        ("x.pdb", "catjac.structure(sys.argv[1])"),
        ("x.raw", "read_potts(sys.argv[1])"),
    ],
)
def test_a_file_larger_than_what_is_read_is_not_read(tmp_path: Path, name: str, read: str) -> None:
    path = sparse(tmp_path / name, b">a\n", 3 * 2**30)
    said = run_with(300, read, path)
    assert "more than the" in said
    assert "MB that are read" in said


@needs_proc
@pytest.mark.parametrize(
    ("name", "read", "megabytes"),
    [
        ("x.fasta.gz", "as_sequence(pathlib.Path(sys.argv[1]))", 400),
        ("x.a3m.gz", "read_alignment(sys.argv[1])", 1000),
        ("x.pdb.gz", "catjac.structure(sys.argv[1])", 1000),
    ],
)
def test_a_packed_file_is_unpacked_no_further_than_what_is_read(
    tmp_path: Path, name: str, read: str, megabytes: int
) -> None:
    path = packed(tmp_path / name, b">a\n", b"A" * 2**20, 600)
    assert path.stat().st_size < 10**7
    assert "more than the" in run_with(megabytes, read, path)


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


@needs_proc
@pytest.mark.parametrize("text", [">\nA\n", "\n", ">a\n", "A\n", ";\n"])
def test_very_many_short_lines_take_bounded_memory_and_time(tmp_path: Path, text: str) -> None:
    path = tmp_path / "many.fasta"
    path.write_text(text * (2**24 // len(text)))
    both = (
        "for read in (read_records, read_alignment):\n"
        "    try:\n"
        "        print(len(read(pathlib.Path(sys.argv[1]))))\n"
        "    except CatjacError as error:\n"
        "        assert 'lines' in str(error) or 'residues' in str(error) or 'columns' in str(error), error\n"
        "print('read or refused')"
    )
    assert run_with(1800, both, path) == "read or refused"


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
