"""What the source imports is required, and what is required is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

# Required for what another package of the list does with it; imported nowhere.
NEEDED_BY_OTHERS = {
    "h5py": "h5netcdf reads and writes with it",
    "zarr": "xarray writes Jacobians as zarr with it",
    "jupyter-bokeh": "bokeh figures become widgets by it, found by name",
}
# Imported where it is there, and never needed for what the package promises.
OPTIONAL = {
    "triton": "comes with torch's CUDA builds",
    "fsspec": "of the extra `remote`, and asked for where the cache is at a URL only",
    "evo2": "Evo 2 is its own package, for CUDA only",
    "transformers": "of the extra `hf`, and asked for by its models only",
    "huggingface-hub": "of the extra `hf`, and asked for by its models only",
    "jupyter-server": "of the extra `lab`, and asked for by `catjac lab` only",
    "jupyter-core": "of the extra `lab`, and asked for by `catjac doctor` only",
}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def project(repository: Path) -> dict[str, object]:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def required(repository: Path) -> set[str]:
    listed = project(repository)["dependencies"]
    assert isinstance(listed, list)
    return {plain(re.split(r"[^\w.-]", requirement)[0]) for requirement in listed}


def imported_modules(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module.partition(".")[0]
            elif (
                isinstance(node, ast.Call)
                and getattr(node.func, "attr", "") == "import_module"
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                yield str(node.args[0].value).partition(".")[0]


def imported(folder: Path) -> set[str]:
    """Distributions whose modules are imported anywhere below a folder."""
    owners = packages_distributions()
    modules = set(imported_modules(folder)) - set(sys.stdlib_module_names) - {"catjac", "catjac_widgets"}
    return {plain(owners.get(module, [module])[0]) for module in modules}


def test_everything_imported_is_required(repository: Path) -> None:
    assert imported(repository / "src") - required(repository) - set(OPTIONAL) == set()


def test_everything_required_is_imported(repository: Path) -> None:
    assert required(repository) - imported(repository / "src") - set(NEEDED_BY_OTHERS) == set()


def test_training_says_what_it_needs_beside(repository: Path) -> None:
    lines = (repository / "training" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = {plain(re.split(r"[^\w.-]", line)[0]) for line in lines if line and not line.startswith("#")}
    own = {plain(path.stem) for path in (repository / "training").glob("*.py")} | {"training"}
    beside = imported(repository / "training") - required(repository) - own
    assert beside == listed


def test_extras_bring_only_what_is_there(repository: Path) -> None:
    extras = project(repository)["optional-dependencies"]
    assert isinstance(extras, dict)
    assert set(extras) == {"hf", "lab", "remote", "test", "all"}
