"""Names of version 0.1 still work and say where they went; namespaces hold what they promise."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import catjac
from catjac_widgets.namespaces import MOVED, NAMESPACES, TOP

SEQUENCE = "NLYIQWLKDGGPSSGRPPPS"
NAMES_OF_0_1 = [
    "CatjacError",
    "ContactMap",
    "Explorer",
    "JacobianSlice",
    "Mask",
    "RecoveryCurve",
    "Sensitivity",
    "Sequence",
    "SequenceMask",
    "StructureView",
    "as_sequence",
    "cache",
    "centre",
    "chain_block",
    "contact_head",
    "contacts",
    "coupling_contacts",
    "couplings_correlation",
    "couplings_entries",
    "couplings_plot",
    "couplings_scatter",
    "couplings_table",
    "double_mutants",
    "epistasis",
    "evaluate",
    "evaluation_means",
    "examples",
    "explore",
    "fit_potts",
    "inter_chain_precision",
    "inverse_covariance",
    "jacobian",
    "jacobians",
    "load_model",
    "marginals",
    "masked_perplexity",
    "mean_field",
    "minimum_segments",
    "models",
    "plot_recovery",
    "potts_of_jacobian",
    "precision_at_l",
    "preview",
    "pseudo_perplexity",
    "read_alignment",
    "read_evaluation",
    "read_fasta",
    "read_potts",
    "recovery",
    "recovery_advantage",
    "recovery_curves",
    "recovery_jumps",
    "recovery_scan",
    "recovery_table",
    "rerun_recovery",
    "sample_potts",
    "scaling",
    "sensitivity",
    "structure",
    "submit",
    "substitution_scores",
    "wrap",
]
PROMISED = {
    "potts": {"fit", "read", "sample", "mean_field", "inverse_covariance", "contacts", "of_jacobian"},
    "masking": {"scan", "curves", "table", "jumps", "minimum_segments", "rerun", "advantage"},
    "benchmark": {"evaluate", "read", "means", "scaling", "top_contacts"},
    "plot": {"recovery", "couplings", "evaluation", "scaling"},
    "views": {"ContactMap", "SequenceMask", "JacobianSlice", "Sensitivity", "RecoveryCurve", "StructureView"},
    "io": {"read_fasta", "read_alignment", "write", "formats"},
}


@pytest.mark.parametrize("name", NAMES_OF_0_1)
def test_a_name_of_0_1_is_there(name: str) -> None:
    assert name in TOP or name in MOVED
    assert getattr(catjac, name) is not None


@pytest.mark.parametrize("name", PROMISED)
def test_a_namespace_holds_what_it_promises(name: str) -> None:
    namespace = getattr(catjac, name)
    assert set(dir(namespace)) >= PROMISED[name]
    for member in dir(namespace):
        value = getattr(namespace, member)
        assert callable(value)
        assert value.__doc__
        assert member in repr(namespace)
        assert member in (namespace.__doc__ or "")
    with pytest.raises(AttributeError, match=f"catjac.{name} has no attribute 'nothing_of_it'"):
        _ = namespace.nothing_of_it


def test_a_mistyped_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(AttributeError, match="did you mean jacobian"):
        _ = catjac.jacobean
    with pytest.raises(AttributeError, match=r"catjac\.potts has no attribute 'fitt'; did you mean fit"):
        _ = catjac.potts.fitt


def test_every_figure_is_in_the_plot_namespace() -> None:
    import catjac_widgets.plots

    homes = {home for _, homes in NAMESPACES.values() for home in homes.values()}
    folder = Path(catjac_widgets.plots.__path__[0])
    for path in folder.glob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            for start in ("def plot_", "def couplings_"):
                if line.startswith(start):
                    name = line.removeprefix("def ").partition("(")[0]
                    assert f"plots.{path.stem}:{name}" in homes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A family made up for the purpose: alignment, and an example with its structure."""
    made = tmp_path_factory.mktemp("moved")
    random = np.random.default_rng(0)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    rows = [SEQUENCE, *("".join(row) for row in letters[random.integers(20, size=(40, len(SEQUENCE)))])]
    (made / "family.a3m").write_text("".join(f">{k}\n{row}\n" for k, row in enumerate(rows)))
    example = catjac.examples()["ww"]
    (made / "pairs").mkdir()
    (made / "pairs" / "ww.fasta").write_text(f">ww\n{example.sequence.residues}\n")
    (made / "pairs" / "ww.pdb").write_text(example.structure.to_pdb())
    return made


def calls(folder: Path) -> dict[str, Callable[[], Any]]:
    """Each name that has moved, called for real on something small."""
    alignment = folder / "family.a3m"
    ww = catjac.examples()["ww"]

    def old(name: str) -> Any:
        return getattr(catjac, name)

    def potts() -> Any:
        return catjac.potts.fit(alignment, progress=False)

    def jacobian() -> Any:
        return catjac.jacobian(SEQUENCE, progress=False)

    def curves() -> Any:
        return catjac.masking.curves(
            {"ww": ww}, pattern=["flanking", "random"], size=8, margin=2, minimum_contacts=0, steps=[0, 4],
            progress=False,
        )  # fmt: skip

    def scan(pattern: Any = "flanking") -> Any:
        return catjac.masking.scan(
            ww, pattern=pattern, size=8, margin=2, minimum_contacts=0, steps=3, progress=False
        )

    def saved() -> Path:
        path = folder / "potts.npz"
        potts().save(path)
        return path

    def table() -> Any:
        return catjac.benchmark.evaluate(
            folder / "pairs", methods=["jacobian"], output=folder / "t.csv", progress=False
        )

    def correlations() -> Any:
        return catjac.potts.table([alignment], progress=False)

    return {
        "coupling_contacts": lambda: old("coupling_contacts")(potts()),
        "couplings_correlation": lambda: old("couplings_correlation")(jacobian(), potts()),
        "couplings_entries": lambda: old("couplings_entries")(jacobian(), potts()),
        "couplings_plot": lambda: old("couplings_plot")(correlations()),
        "couplings_scatter": lambda: old("couplings_scatter")(catjac.potts.entries(jacobian(), potts())),
        "couplings_table": lambda: old("couplings_table")([alignment], progress=False),
        "evaluate": lambda: old("evaluate")(folder / "pairs", methods=["jacobian"], progress=False),
        "evaluation_means": lambda: old("evaluation_means")(table()),
        "fit_potts": lambda: old("fit_potts")(alignment, progress=False),
        "inverse_covariance": lambda: old("inverse_covariance")(alignment),
        "mean_field": lambda: old("mean_field")(alignment),
        "minimum_segments": lambda: old("minimum_segments")(
            scan(["flanking", "flanking_first", "flanking_last"])
        ),
        "plot_recovery": lambda: old("plot_recovery")(curves()),
        "potts_of_jacobian": lambda: old("potts_of_jacobian")(jacobian()),
        "read_alignment": lambda: old("read_alignment")(alignment),
        "read_evaluation": lambda: (table(), old("read_evaluation")(folder / "t.csv"))[1],
        "read_fasta": lambda: list(old("read_fasta")(folder / "pairs" / "ww.fasta")),
        "read_potts": lambda: old("read_potts")(saved()),
        "recovery_advantage": lambda: old("recovery_advantage")(curves()),
        "recovery_curves": lambda: old("recovery_curves")(
            {"ww": ww}, size=8, margin=2, minimum_contacts=0, steps=[0, 4], progress=False
        ),
        "recovery_jumps": lambda: old("recovery_jumps")(scan()),
        "recovery_scan": lambda: old("recovery_scan")(
            ww, size=8, margin=2, minimum_contacts=0, steps=[0, 4], progress=False
        ),
        "recovery_table": lambda: old("recovery_table")(curves()),
        "rerun_recovery": lambda: old("rerun_recovery")(scan()),
        "sample_potts": lambda: old("sample_potts")(potts(), 3),
        "scaling": lambda: old("scaling")({"ww": ww}, ["mini"], progress=False),
    }


@pytest.mark.parametrize("name", MOVED)
def test_a_moved_name_works_and_says_where_it_went(name: str, folder: Path) -> None:
    call = calls(folder)[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert call() is not None
    said = [str(each.message) for each in caught if each.category is DeprecationWarning]
    assert said == [f"catjac.{name} is now catjac.{MOVED[name]}."]
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "order", ["import xarray; import catjac", "import catjac; import xarray", "import catjac"]
)
def test_a_jacobian_from_a_file_has_the_accessor(order: str, tmp_path: Path) -> None:
    path = tmp_path / "J.nc"
    catjac.io.write(catjac.jacobian(SEQUENCE, progress=False), path)
    code = f"""
{order}
import importlib.util, sys
importlib.util.find_spec("xarray")  # looking for a module imports nothing
if "xarray" not in sys.modules:
    import xarray
import xarray as xr
J = xr.open_dataarray({str(path)!r})
assert isinstance(xr.__loader__, type(xr.__spec__.loader)), "the module keeps its own loader"
assert type(xr.__loader__).__module__.startswith(("_frozen", "importlib")), xr.__loader__
print(J.catjac.sequence, J.catjac.contacts().shape)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{SEQUENCE} (20, 20)"


def test_reloading_registers_the_accessor_once() -> None:
    code = """
import warnings; warnings.simplefilter("error")
import importlib, catjac_widgets, xarray
importlib.reload(catjac_widgets)
print(xarray.DataArray.catjac is not None)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr
