"""The README's Python is run as it stands, and its commands exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from IPython.core.interactiveshell import InteractiveShell

from catjac_widgets.cli import main

README = Path(__file__).resolve().parents[2] / "README.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Lines that would download gigabytes are shown, not run; they say so themselves.
NEEDS_DOWNLOAD = re.compile(r"esm[12]\w*_|pdb:|uniprot:|\.fasta|my_")


def blocks(language: str) -> list[str]:
    return [code for found, code in FENCE.findall(README.read_text(encoding="utf-8")) if found == language]


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    made = InteractiveShell.instance()
    yield made
    made.reset()
    InteractiveShell.clear_instance()


def test_python_blocks_run_in_order(shell: InteractiveShell, own_cache: Path) -> None:
    code = blocks("python")
    assert code
    for block in code:
        kept = "\n".join(line for line in block.splitlines() if not NEEDS_DOWNLOAD.search(line))
        result = shell.run_cell(kept)
        result.raise_error()
        assert result.success, kept


def test_commands_exist(repository: Path) -> None:
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    shown = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    for line in filter(None, shown):
        program, *words = line.split()
        if program == "make":
            assert re.search(rf"^{words[0]}:", makefile, re.MULTILINE), line
        elif program == "catjac":
            assert words[0] in main.list_commands(click.Context(main)), line


def test_links_and_pictures_exist(repository: Path) -> None:
    text = README.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)|src(?:set)?=\"([^\"]+)\"", text):
        name = "".join(target)
        assert (repository / name).exists(), name
