"""The wheel as users get it: built, installed into an environment of its own, imported, used."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import catjac

FILES = (
    "catjac.py",
    "catjac_widgets/__init__.py",
    "catjac_widgets/py.typed",
    "catjac_widgets/language_models/esm/mini/mini.safetensors",
    "catjac_widgets/language_models/esm/mini/mini.json",
    "catjac_widgets/widgets/static/contact_map.js",
    "catjac_widgets/widgets/static/jacobian_slice.js",
    "catjac_widgets/widgets/static/job_status.js",
    "catjac_widgets/widgets/static/catjac.css",
)
LARGEST = 12_000_000


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    # Without isolation: hatchling is in the tested set, and nothing has to be downloaded.
    run(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, repository, cwd=folder
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel installed and the dependencies of this one, but not this checkout."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    made = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(
        sys.executable, "-m", "pip", "--python", made, "install", "--quiet", "--no-deps", "--no-index", wheel,
        cwd=folder,
    )  # fmt: skip
    site = Path(run(made, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    # A plain path line: unlike a site folder of this environment, it does not bring in its editable installs.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return made


def test_wheel_holds_what_the_product_needs(wheel: Path) -> None:
    assert wheel.stat().st_size < LARGEST
    names = zipfile.ZipFile(wheel).namelist()
    for name in FILES:
        assert name in names
    assert any(name.startswith("catjac_widgets/data/examples/") for name in names)
    strangers = {name.split("/")[0] for name in names} - {"catjac.py", "catjac_widgets"}
    assert all(name.endswith(".dist-info") for name in strangers)


def test_installed_wheel_computes(python: Path, tmp_path: Path) -> None:
    code = """
import catjac, catjac_widgets, pathlib, sys
assert pathlib.Path(catjac.__file__).is_relative_to(sys.prefix), catjac.__file__
assert pathlib.Path(catjac_widgets.__file__).is_relative_to(sys.prefix)
J = catjac.jacobian("MKTAYIAKQRQISF", "mini", positions=[3, 4], progress=False)
print(catjac.__version__, J.shape)
"""
    said = run(python, "-c", code, cwd=tmp_path, CATJAC_CACHE="memory", PYTHONPATH="")
    assert said.split("\n")[-2] == f"{catjac.__version__} (2, 20, 14, 20)"


def test_installed_command_answers(python: Path, tmp_path: Path) -> None:
    command = python.with_name("catjac")
    assert run(command, "--version", cwd=tmp_path).strip().endswith(catjac.__version__)
    assert "bpti" in run(command, "examples", cwd=tmp_path)
