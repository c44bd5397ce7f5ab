"""What is written, and where: names that cannot be those of files, and folders that nobody wants to lose."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import catjac
from catjac_widgets.cli import main
from catjac_widgets.errors import UsageError

S = "ACDEFGHIKL"

pytestmark = pytest.mark.usefixtures("own_cache")


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def refused(said: str, *words: object, status: int = 2) -> None:
    done = run(*words)
    assert done.exit_code == status, (done.output, done.exception)
    assert re.search(said, done.stderr), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert len(done.stderr) < 500


@pytest.mark.parametrize("command", ["contacts", "jacobian"])
def test_a_name_that_is_too_long_for_a_file_is_refused_before_any_work(tmp_path: Path, command: str) -> None:
    ending = {"contacts": "csv", "jacobian": "zarr"}[command]
    path = tmp_path / "names.fasta"
    path.write_text(f">fine\n{S}\n>{'n' * 300}\n{S}\n")
    refused("too long for a file's name", command, path, "-o", tmp_path / f"{{name}}.{ending}")
    refused("cannot be a file's name", command, S, "-o", tmp_path / f"{'n' * 300}.{ending}")
    assert [each.name for each in tmp_path.iterdir()] == ["names.fasta"]
    with pytest.raises(UsageError, match="cannot be a file's name"):
        catjac.io.write(
            catjac.contacts(catjac.jacobian(S, variant="fast", progress=False)), f"{tmp_path}/a\0b.csv"
        )


@pytest.mark.parametrize("name", ["x" * 300, "../../up", "a/b", "..", "con:aux", "\u0000", " "], ids=ascii)
def test_record_names_make_files_in_the_folder_only(name: str, tmp_path: Path, own_cache: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (tmp_path / "in.fasta").write_text(f">{name}\n{S}\n")
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(own_cache)}
    result = run("contacts", tmp_path / "in.fasta", "-o", target / "{name}.csv", "-q")
    assert "Traceback" not in result.output
    made = {path for path in tmp_path.rglob("*") if not path.is_relative_to(own_cache)} - before
    assert all(path.parent == target for path in made)
    assert result.exit_code in (0, 1, 2)
    assert (result.exit_code == 0) == any(path.suffix == ".csv" for path in made)


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A folder with something in it that nobody wants to lose."""
    made = tmp_path / "precious"
    (made / "inside").mkdir(parents=True)
    (made / "inside" / "thesis.txt").write_text("years of work")
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
    assert (precious / "inside" / "thesis.txt").read_text() == "years of work"
    J = catjac.jacobian(S, variant="fast", progress=False)
    array = J if command == "jacobian" else catjac.contacts(J)
    with pytest.raises(UsageError, match="folder, which is never overwritten"):
        catjac.io.write(array, output, force=True)
    assert (precious / "inside" / "thesis.txt").read_text() == "years of work"
    assert not list(tmp_path.glob(".catjac-*"))


def test_force_never_deletes_a_folder_for_each_record(tmp_path: Path, precious: Path) -> None:
    (tmp_path / "a.fasta").write_text(f">precious\n{S}\n")
    output = precious.rename(tmp_path / "precious.csv")
    refused(
        "never overwritten", "contacts", tmp_path / "a.fasta", "-o", tmp_path / "{name}.csv", "--force", "-q"
    )
    assert (output / "inside" / "thesis.txt").exists()


def test_force_replaces_a_file_a_link_and_a_store(tmp_path: Path, own_cache: Path) -> None:
    target, link, store = tmp_path / "other.csv", tmp_path / "d.csv", tmp_path / "d.zarr"
    target.write_text("somebody's")
    link.symlink_to(target)
    assert run("contacts", S, "-o", link, "--force", "-q").exit_code == 0
    assert target.read_text() == "somebody's"  # the link was replaced, not what it leads to
    assert not link.is_symlink()
    for _ in range(2):
        assert run("jacobian", S, "-o", store, "--force", "-q").exit_code == 0
    assert (store / "zarr.json").is_file()
    assert {each.name for each in tmp_path.iterdir()} - {own_cache.name} == {"d.csv", "d.zarr", "other.csv"}


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
