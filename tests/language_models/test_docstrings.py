"""Docstrings of the ESM room name only what there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import catjac_widgets

SOURCES = Path(catjac_widgets.__file__).parent
ROOM = SOURCES / "language_models" / "esm"

#: Names in single backticks: `Plan`, `LanguageModel.prepare`.
NAMED = re.compile(r"(?<!`)`([A-Za-z_][\w.]*)`(?!`)")

#: Of names that begin with these nothing is known here.
LIBRARIES = ("esm", "numpy", "torch")


def names_defined() -> set[str]:
    """Everything that any module defines, takes or imports, and the modules themselves."""
    found: set[str] = set()
    for path in SOURCES.rglob("*.py"):
        found |= {path.stem, path.parent.name}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                found.add(node.name)
            elif isinstance(node, ast.arg):
                found.add(node.arg)
            elif isinstance(node, ast.Name | ast.Attribute):
                found.add(node.id if isinstance(node, ast.Name) else node.attr)
    return found


@pytest.fixture(scope="module")
def defined() -> set[str]:
    return names_defined()


@pytest.mark.parametrize("path", sorted(ROOM.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOM)))
def test_every_name_in_a_docstring_is_there(path: Path, defined: set[str]) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    texts = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, documented)]
    found = [name for text in texts for name in NAMED.findall(text)]
    named = {name.rpartition(".")[2] for name in found if name.partition(".")[0] not in LIBRARIES}
    assert named - defined == set()
