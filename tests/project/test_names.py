"""The names that users rely on: all there, none hidden by a module, and quick to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import catjac
import catjac_widgets

# What the documentation promises; names are added here when they are promised, never taken away.
PROMISED = (
    "load_model",
    "wrap",
    "models",
    "examples",
    "jacobian",
    "jacobians",
    "submit",
    "contacts",
    "sensitivity",
    "epistasis",
    "contact_head",
    "pseudo_perplexity",
    "marginals",
    "Mask",
    "precision_at_l",
    "structure",
    "explore",
    "cache",
    "CatjacError",
    "Sequence",
    "register_model",
)
HEAVY = (
    "torch",
    "bokeh",
    "nglview",
    "zarr",
    "dask",
    "xarray",
    "sklearn",
    "scipy",
    "biotite",
    "esm",
    "transformers",
)


def in_a_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_every_module_hides_no_promised_name() -> None:
    """A module called like a function would replace it as the package's attribute."""
    code = """
import importlib, pkgutil, types
import catjac, catjac_widgets
from catjac_widgets.namespaces import NAMESPACES
for found in pkgutil.walk_packages(catjac_widgets.__path__, "catjac_widgets."):
    try:
        importlib.import_module(found.name)
    except ModuleNotFoundError as error:
        assert error.name == "triton", found.name  # comes with torch's CUDA builds
for package in (catjac, catjac_widgets):
    for name in package.__all__:
        value = getattr(package, name)
        assert not isinstance(value, types.ModuleType), f"{name} is the module {value.__name__}"
        assert name in ("__version__", "cache", *NAMESPACES) or callable(value), name
assert catjac.Mask.showing("ACDEFG", [(2, 3)]).fragments == ((2, 3),)
assert len(catjac.models().rows) > 10
assert catjac.examples()
assert catjac.cache.info().limit > 0
print("ok")
"""
    assert in_a_new_process(code).endswith("ok")


def test_both_names_give_the_same_objects() -> None:
    assert set(PROMISED) <= set(catjac.__all__)
    for name in catjac_widgets.__all__:
        assert getattr(catjac, name) is getattr(catjac_widgets, name)
    assert set(dir(catjac)) >= set(PROMISED)


def test_import_is_light() -> None:
    code = f"import catjac, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert in_a_new_process(code) == "[]"


def test_extension_is_light() -> None:
    code = f"""
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "catjac")
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    assert in_a_new_process(code) == "[]"


def test_every_module_says_what_it_is_for() -> None:
    folder = Path(catjac_widgets.__path__[0])
    for path in folder.rglob("*.py"):
        # Read, not imported: some need packages that only some machines have.
        told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        assert told.strip(), path.name
