"""The repository itself: one version, a constraints file that covers it, nothing of one machine."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from importlib.metadata import distributions, version
from itertools import chain
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

import catjac

# Written in pieces, so that this file does not find itself.
MACHINE = re.compile(
    "|".join(["/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/[a-z]", "/Us" + "ers/[a-z]", "file:" + "///"])
)
LARGEST = 8_000_000


def tracked(repository: Path, *patterns: str) -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=repository, capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.fail(f"git cannot list the tracked files: {done.stderr}")
    return [repository / name for name in done.stdout.split("\0") if name and (repository / name).is_file()]


def test_version_is_in_one_place(repository: Path) -> None:
    assert catjac.__version__ == version("catjac-widgets")
    holders = [
        path.name
        for path in tracked(repository, "src", "pyproject.toml", "js/package.json")
        if path.suffix in (".py", ".toml", ".json")
        and re.search(rf'version\W+"{re.escape(catjac.__version__)}"', path.read_text(encoding="utf-8"))
        and "dependencies" not in path.name
    ]
    assert holders in (["_version.py"], []), holders
    changes = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {catjac.__version__}" in changes


def test_no_path_of_a_machine_is_tracked(repository: Path) -> None:
    found = []
    for path in tracked(repository):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if path.suffix == ".js" and "static" in path.parts:
            continue  # a bundle is checked against its sources
        found += [f"{path.relative_to(repository)}: {hit[0]}" for hit in MACHINE.finditer(text)]
    assert not found, found


def test_no_file_is_heavy(repository: Path) -> None:
    heavy = [path.name for path in tracked(repository) if path.stat().st_size > LARGEST]
    assert not heavy


def test_lock_files_name_no_host(repository: Path) -> None:
    for path in tracked(repository, "*package-lock.json", "constraints.txt"):
        assert not re.search(
            r'"resolved"|--(extra-)?index-url|://.*\.whl', path.read_text(encoding="utf-8")
        ), path


def pins_of(repository: Path) -> dict[str, str]:
    """Version by name, as the constraints have it."""
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {}
    for line in filter(lambda text: text and not text.startswith("#"), lines):
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line), line
        name, _, number = line.partition("==")
        pins[re.sub(r"[-_.]+", "-", name).lower()] = number
    return pins


def test_constraints_pin_every_dependency(repository: Path) -> None:
    pins = pins_of(repository)
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in chain(project["dependencies"], *project["optional-dependencies"].values()):
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        assert name is not None
        plain = re.sub(r"[-_.]+", "-", name[0]).lower()
        assert plain == "catjac-widgets" or plain in pins, f"{requirement} is not pinned"
    assert pins["torch"] == "2.13.0"
    assert pins["nglview"] == "4.0"


def test_constraints_can_be_installed_by_the_first_python_3_11(repository: Path) -> None:
    """Debian 12's Python is 3.11.2, and packages may ask for a later one."""
    pins, seen = pins_of(repository), 0
    for package in distributions():
        name = re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()
        wanted = package.metadata.get("Requires-Python")
        if pins.get(name) == package.version.partition("+")[0]:
            seen += 1
            assert wanted is None or SpecifierSet(wanted).contains("3.11.0"), f"{name} asks for {wanted}"
    assert seen > 100


def test_notebooks_are_committed_without_outputs(repository: Path) -> None:
    for path in tracked(repository, "examples/*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs"), f"{path.name} holds outputs; clear them before committing"
            assert cell.get("execution_count") is None, path.name


def test_make_names_what_is_missing(repository: Path, tmp_path: Path) -> None:
    """Without a Python that is new enough, `make demo` ends with one sentence and leaves nothing behind."""
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    (tmp_path / "Makefile").write_bytes((repository / "Makefile").read_bytes())
    for choice, said in (("", "There is no Python 3.11"), (str(old), "is older than Python 3.11")):
        done = subprocess.run(
            ["make", "-C", str(tmp_path), "demo", f"PYTHON={choice}"], capture_output=True, text=True
        )
        assert done.returncode != 0
        assert said in done.stderr
        assert not (tmp_path / ".venv").exists()
