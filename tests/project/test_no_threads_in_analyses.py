"""Analyses start no thread and know no worker: they ask jobs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import catjac_widgets

ANALYSIS = Path(catjac_widgets.__file__).parent / "analysis"


@pytest.mark.parametrize("path", sorted(ANALYSIS.rglob("*.py")), ids=lambda path: path.name)
def test_an_analysis_starts_no_thread(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            assert not name.startswith("catjac_widgets.engine.backends"), name
            assert not name.startswith(("concurrent", "threading.", "multiprocessing")), name
        # The type of `stop=` is all that is needed of it.
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "threading"
        ):
            assert node.attr == "Event"
            assert id(node) not in called


@pytest.mark.parametrize("room", ["plans", "compute", "jobs", "backends"])
def test_the_engine_knows_no_contact_head(room: str) -> None:
    for path in (ANALYSIS.parent / "engine" / room).rglob("*.py"):
        text = path.read_text(encoding="utf-8").lower()
        assert "contact_head" not in text, path.name
        assert "contacthead" not in text, path.name
        assert "contact head" not in text, path.name
