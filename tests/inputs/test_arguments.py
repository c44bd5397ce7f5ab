"""Arguments, options, magics and environment variables that make no sense are one sentence each."""

from __future__ import annotations

import ast
import itertools
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import random_esm2
from click.testing import CliRunner, Result

import catjac
from catjac_widgets.cli import main
from catjac_widgets.errors import MaskError, ResourceError, SequenceError, UsageError
from catjac_widgets.language_models.fingerprints import FileMemory
from catjac_widgets.proteins.reading import as_sequence

S = "ACDEFGHIKL"


def calling(**options: Any) -> dict[str, Callable[[], object]]:
    return {
        "jacobian": lambda: catjac.jacobian(S, progress=False, **options),
        "submit": lambda: catjac.submit(S, **options).result(),
        "jacobians": lambda: list(catjac.jacobians([S], progress=False, **options)),
    }


@pytest.mark.parametrize("way", ["jacobian", "submit", "jacobians"])
@pytest.mark.parametrize(
    "size", [math.nan, math.inf, [8], "8", 0, -1, True, 8.0, {}, 1j, "9" * 10**6, np.zeros(3)], ids=repr
)
def test_a_batch_size_is_a_whole_number(way: str, size: Any) -> None:
    with pytest.raises(UsageError, match="is not a number of sequences") as found:
        calling(batch_size=size)[way]()
    assert len(str(found.value)) < 300


def test_a_batch_size_of_numpy_is_one_too() -> None:
    assert catjac.jacobian(S, batch_size=np.int64(8), progress=False).shape == (10, 20, 10, 20)


@pytest.mark.parametrize("way", ["jacobian", "submit"])
@pytest.mark.parametrize(
    ("positions", "said"),
    [
        (slice(1, 5), "is no list of positions"),
        (1.5, "is no list of positions"),
        (object(), "is no list of positions"),
        ("1", "holds '1'"),
        ({"a": 1}, "holds 'a'"),
        ([math.nan], "holds nan"),
        ([[1, 2]], r"holds \[1, 2\]"),
        ([True], "holds True"),
        (b"\x01", None),
        (11, "outside"),
        ([10**30], "outside"),
        ([], "empty"),
        (np.array(3.0), "is no list of positions"),
        (np.zeros((2, 2), int), "holds"),
        ([*range(1, 11), 3], "3 was asked for twice"),
    ],
    ids=repr,
)
def test_positions_are_whole_numbers_of_the_sequence(way: str, positions: Any, said: str | None) -> None:
    if said is None:
        assert calling(positions=positions)[way]().sizes["pos_in"] == 1
        return
    with pytest.raises(UsageError, match=said):
        calling(positions=positions)[way]()


@pytest.mark.timeout(60)
def test_positions_and_masks_without_an_end_are_refused() -> None:
    with pytest.raises(UsageError, match="outside"):
        catjac.jacobian(S, positions=itertools.count(1), progress=False)
    with pytest.raises(MaskError, match="covers"):
        catjac.jacobian(S, mask=itertools.repeat(True), progress=False)


@pytest.mark.parametrize(
    "mask",
    [3, 3.5, "hidden", [3] * 10, [[True]] * 10, [math.nan] * 10, {"a": True}, object(), [True, [False]],
     np.zeros(10), np.array(True), [None] * 10],
    ids=repr,
)  # fmt: skip
def test_a_mask_is_one_bool_a_residue(mask: Any) -> None:
    with pytest.raises(MaskError, match="flat list of True"):
        catjac.jacobian(S, mask=mask, progress=False)


@pytest.mark.parametrize("masked", [3, [True], (1, 0), None, ("a",)])
def test_a_mask_is_made_of_a_tuple_of_bools(masked: Any) -> None:
    with pytest.raises(MaskError, match="flat list of True"):
        catjac.Mask(masked)


@pytest.mark.parametrize("text", ["1-" + "9" * 5000, "9" * 5000, "1-x", "-", "²", "١-٢", "1--2", "a" * 10**6])
def test_ranges_that_are_none(text: str) -> None:
    with pytest.raises(MaskError, match=r"not a fragment|does not lie") as found:
        catjac.Mask.parse(S, text)
    assert len(str(found.value)) < 300


@pytest.mark.parametrize("letter", ["ß", "ﬁ", "ﬂ", "ﬀ", "ﬆ", "ı", "ſ", "ŉ", "ǰ", "ΐ"])
def test_letters_that_are_no_residues_do_not_become_some(letter: str) -> None:
    """`str.upper` makes SS, FI, FL, FF, ST, I and S of the first ones."""
    text = f"acdefghikl{letter}mnpq"
    for read in (
        lambda: as_sequence(f">a\n{text}"),
        lambda: as_sequence(f"sequence:{text}"),
        lambda: as_sequence(text),
        lambda: catjac.jacobian(text, progress=False),
    ):
        with pytest.raises(SequenceError):
            read()
    with pytest.raises(UsageError, match="linker"):
        catjac.jacobian("ACDE:FGHI", linker=letter * 3, progress=False)
    with pytest.raises(SequenceError):
        as_sequence("ACDEX", unknown={"X": letter})


# ---- 100,000 residues


def test_one_row_of_100000_residues_is_refused_with_the_estimate(
    monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    monkeypatch.setenv("CATJAC_MAX_HOURS", "0.01")
    monkeypatch.setenv("CATJAC_CACHE", "off")
    with pytest.raises(ResourceError, match=r"needs about \d+ hours with mini .*19 sequences"):
        catjac.jacobian(S * 10_000, positions=[1], progress=False)


def test_a_pass_that_does_not_fit_into_memory_is_refused_with_the_estimate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Attention of a hooked model takes memory by the square of the length."""
    monkeypatch.setenv("CATJAC_CACHE", "off")
    monkeypatch.setenv("CATJAC_MAX_HOURS", "inf")
    model = random_esm2()
    model.layers[0].register_forward_hook(lambda *_: None)
    with pytest.raises(ResourceError, match=r"One pass of 100,000 residues .* takes \d+\.\d GB of memory"):
        catjac.jacobian(S * 10_000, model, positions=[1])


# ---- the command line


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def refused(said: str, *words: object, status: int = 2) -> None:
    done = run(*words)
    assert done.exit_code == status, (done.output, done.exception)
    assert re.search(said, done.stderr), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert len(done.stderr) < 500


@pytest.mark.parametrize("command", ["contacts", "jacobian"])
def test_a_name_that_is_too_long_for_a_file_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    ending = {"contacts": "csv", "jacobian": "zarr"}[command]
    path = tmp_path / "names.fasta"
    path.write_text(f">fine\n{S}\n>{'n' * 300}\n{S}\n")
    refused("too long for a file's name", command, path, "-o", tmp_path / f"{{name}}.{ending}")
    refused("cannot be a file's name", command, S, "-o", tmp_path / f"{'n' * 300}.{ending}")
    with pytest.raises(UsageError, match="cannot be a file's name"):
        catjac.io.write(catjac.contacts(catjac.jacobian(S, progress=False)), f"{tmp_path}/a\0b.csv")
    assert [each.name for each in tmp_path.iterdir()] == ["names.fasta"]


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A folder with something in it that nobody wants to lose."""
    made = tmp_path / "precious"
    made.mkdir()
    (made / "thesis.txt").write_text("years of work")
    return made


OUTPUTS = {
    "contacts": ("contacts", "d.csv"),
    "contacts as a map": ("contacts", "d.npz"),
    "netCDF": ("jacobian", "d.nc"),
    "zarr": ("jacobian", "d.zarr"),
}


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("linked", [False, True])
def test_force_never_deletes_a_folder(tmp_path: Path, precious: Path, kind: str, linked: bool) -> None:
    command, name = OUTPUTS[kind]
    output = tmp_path / name
    if linked:
        output.symlink_to(precious)
    else:
        precious = precious.rename(output)
    refused("folder, which is never overwritten", command, S, "-o", output, "--force", "-q")
    assert (precious / "thesis.txt").read_text() == "years of work"
    J = catjac.jacobian(S, progress=False)
    array = J if command == "jacobian" else catjac.contacts(J)
    with pytest.raises(UsageError, match="folder, which is never overwritten"):
        catjac.io.write(array, output, force=True)
    assert (precious / "thesis.txt").read_text() == "years of work"
    assert not list(tmp_path.glob(".catjac-*"))


def test_force_never_deletes_a_folder_for_each_record(tmp_path: Path, precious: Path) -> None:
    (tmp_path / "a.fasta").write_text(f">precious\n{S}\n")
    output = precious.rename(tmp_path / "precious.csv")
    refused(
        "never overwritten", "contacts", tmp_path / "a.fasta", "-o", tmp_path / "{name}.csv", "--force", "-q"
    )
    assert (output / "thesis.txt").exists()


def test_force_replaces_a_file_a_link_and_a_store(tmp_path: Path) -> None:
    target, link, store = tmp_path / "other.csv", tmp_path / "d.csv", tmp_path / "d.zarr"
    target.write_text("somebody's")
    link.symlink_to(target)
    assert run("contacts", S, "-o", link, "--force", "-q").exit_code == 0
    assert target.read_text() == "somebody's"  # the link was replaced, not what it leads to
    assert not link.is_symlink()
    for _ in range(2):
        assert run("jacobian", S, "-o", store, "--force", "-q").exit_code == 0
    assert (store / "zarr.json").is_file()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["d.csv", "d.zarr", "other.csv"]


def test_a_working_folder_of_a_killed_process_goes_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from catjac_widgets.export.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half')\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(600)\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, tmp_path / name], stdout=subprocess.PIPE)
        for name in ("killed.csv", "alive.csv")
    ]
    try:
        for each in running:
            assert each.stdout is not None
            assert each.stdout.readline() == b"writing\n"
        running[0].kill()
        running[0].wait()
        for work in tmp_path.glob(".catjac-*"):
            os.utime(work, (0, 0))
        assert run("contacts", S, "-o", tmp_path / "mine.csv", "-q").exit_code == 0
        left = [each.name for work in tmp_path.glob(".catjac-*") for each in work.iterdir()]
        assert sorted(left) == ["alive.csv", "lock"]
    finally:
        for each in running:
            each.kill()
            each.communicate()


# ---- magics


@pytest.mark.parametrize("line", ['jacobian "ACDE', "jacobian 'ACDE", "explore ACDE\\", 'models "'])
def test_an_unclosed_quotation_mark_in_a_magic(
    shell: Any, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    shell.run_cell(f"%catjac {line}")
    said = capsys.readouterr()
    assert "has no partner" in said.out + said.err
    assert "Traceback" not in said.out + said.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("jacobian /dev/zero", "is a device"),
        ("jacobian acdefghiklßmnpq", "no example, file or sequence"),
        ("jacobian ACDEFGHIKL --visible 1-" + "9" * 5000, "not a fragment"),
        ("jacobian ACDEFGHIKL --model /dev/zero.pt", "no checkpoint"),
        ("explore bpti --structure /dev/zero.pdb", "no structure file"),
    ],
)
def test_magics_say_it_in_one_sentence(
    shell: Any, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    shell.run_cell(f"%catjac {line}")
    out = "".join(capsys.readouterr())
    assert said in out
    assert "Traceback" not in out


# ---- environment variables


@pytest.mark.parametrize("hours", ["abc", "nan", "-1", "0", "1,5", "1e"])
def test_hours_that_are_none(monkeypatch: pytest.MonkeyPatch, hours: str) -> None:
    monkeypatch.setenv("CATJAC_MAX_HOURS", hours)
    monkeypatch.setenv("CATJAC_CACHE", "off")
    with pytest.raises(UsageError, match=r"CATJAC_MAX_HOURS=.* is no number of hours"):
        catjac.jacobian(S, progress=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [("CATJAC_CACHE_LIMIT", "much"), ("CATJAC_MAX_HOURS", "soon"), ("CATJAC_CACHE", "/dev/null/folder")],
)
def test_the_doctor_names_a_variable_that_makes_no_sense(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    done = run("doctor")
    assert done.exit_code == 1
    assert any(line.startswith("!") and value in line for line in done.output.splitlines()), done.output


def test_a_cache_of_a_user_that_does_not_exist_is_a_folder_of_that_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CATJAC_CACHE", "~nobody-of-that-name/cache")
    assert FileMemory.file() == Path("~nobody-of-that-name/cache/model-files.json")


def names_read(source: Path) -> set[str]:
    """Environment variables that a module reads, by the literal or the constant that it names them with."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.environ.get", "os.getenv"):
            name = node.args[0]
            found.add(name.value if isinstance(name, ast.Constant) else constants.get(ast.unparse(name), ""))
    return found - {""}


def test_every_environment_variable_is_on_the_security_page(repository: Path) -> None:
    page = (repository / "docs" / "security.md").read_text(encoding="utf-8")
    found = set().union(*(names_read(path) for path in (repository / "src").rglob("*.py")))
    assert {"CATJAC_MAX_HOURS", "CATJAC_COMPILER", "CATJAC_DEBUG", "CATJAC_CACHE"} <= found
    assert not [name for name in found if f"`{name}`" not in page]
