"""Imports go down the floors of the house, never up, and never sideways into another room."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import catjac_widgets

PACKAGE = Path(catjac_widgets.__file__).parent
FLOORS = {
    "errors": 0,
    "alphabets": 0,
    "sequences": 0,
    "masks": 0,
    "alignments": 0,
    "_version": 0,
    "progress": 0,
    "language_models": 1,
    "engine": 2,
    "analysis": 3,
    "structures": 3,
    "plots": 4,
    "widgets": 4,
    "notebook": 5,
    "cli": 5,
}
# The doors share how a protein is named and an installation examined; analyses take structures as truth;
# plots need bokeh's script in the page, as the views do.
SIDEWAYS = {("cli", "notebook"), ("analysis", "structures"), ("plots", "widgets")}
MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or path.parent != PACKAGE
)


def rooms_imported(path: Path) -> Iterator[tuple[str, int]]:
    """Rooms of this package that a module imports, anywhere in it, with the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name}:{node.lineno} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            assert parts[0] not in ("catjac", "training", "tests"), (
                f"{path.name}:{node.lineno} imports {name}"
            )
            if parts[0] == "catjac_widgets":
                yield (parts[1] if len(parts) > 1 else "__init__"), node.lineno


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_go_down(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert room in FLOORS, f"{room} stands on no floor"
    for other, line in rooms_imported(path):
        where = f"{path.relative_to(PACKAGE)}:{line} imports {other}"
        if other not in FLOORS:
            # A public name, taken from the package's front: only the doors and widgets stand above all of it.
            assert other.startswith("__version") or FLOORS[room] == 5, where
        elif other != room:
            ground = FLOORS[other] == FLOORS[room] == 0  # modules of one room
            assert FLOORS[other] < FLOORS[room] or ground or (room, other) in SIDEWAYS, where
