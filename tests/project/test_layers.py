"""Imports go down the layers and in no circle; the command in `make lint` says so too."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import catjac_widgets

PACKAGE = Path(catjac_widgets.__file__).parent


def test_layers_and_circles(repository: Path) -> None:
    """Contracts of import-linter, as `pyproject.toml` has them."""
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert command is not None, "import-linter is part of the test extra"
    done = subprocess.run(
        [command, "--no-cache", "--config", repository / "pyproject.toml"],
        cwd=repository / "src", capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_imports_are_absolute_and_of_this_package(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name}:{node.lineno} imports relatively"
            names = [str(node.module)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            assert name.partition(".")[0] not in ("catjac", "training", "tests"), f"{path.name}:{node.lineno}"
