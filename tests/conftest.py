"""What every test shares: a cache of its own, and the rule that continuous integration skips nothing."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

# Before anything reads it: no test ever touches the cache of the person who runs them.
_FOLDER = tempfile.TemporaryDirectory(prefix="catjac-tests-")
os.environ["CATJAC_CACHE"] = str(Path(_FOLDER.name) / "cache")
os.environ.pop("CATJAC_CACHE_LIMIT", None)
os.environ.pop("CATJAC_DEBUG", None)

# Workers of pytest-xdist share the processor's cores, rather than each taking all of them.
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _WORKERS > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _WORKERS)))

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

#: What a machine may lack even there: the protein families, a GPU, and units of newer processors.
_MAY_LACK = re.compile(r"CATJAC_DATA|GPU|CUDA|AVX-512|bfloat16")


def nothing_may_skip() -> bool:
    """Whether this is continuous integration, where a skipped group of tests is a failure."""
    return os.environ.get("CI", "").lower() in ("1", "true")


def pytest_unconfigure() -> None:
    _FOLDER.cleanup()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what drives a browser last: it is slow, and playwright leaves an event loop running."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


def _refuse_skip(report: Any) -> None:
    if not report.skipped or not nothing_may_skip() or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    lacking = _MAY_LACK.search(reason)
    if lacking is None or (lacking[0] == "CATJAC_DATA" and os.environ.get("CATJAC_DATA")):
        report.outcome = "failed"
        report.longrepr = f"CI={os.environ['CI']} allows no skipped test, but this one was ({reason})"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test an empty cache folder of its own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CATJAC_CACHE", str(folder))
    return folder


@pytest.fixture
def shell() -> Iterator[Any]:
    """An IPython shell with ``%load_ext catjac``."""
    from IPython.core.interactiveshell import InteractiveShell

    made = InteractiveShell.instance()
    made.run_line_magic("load_ext", "catjac")
    yield made
    made.run_line_magic("unload_ext", "catjac")
    made.reset()
    InteractiveShell.clear_instance()


@pytest.fixture(scope="session")
def kernels() -> None:
    """Have all kernels compiled, where that can be, so that all previews of a test take them or none does."""
    from catjac_widgets.language_models.esm.cpu_kernels import exact as compiled_passes
    from catjac_widgets.language_models.esm.cpu_kernels.build import NotCompiled, library
    from catjac_widgets.language_models.esm.numerics import delta_int8_kernel as compiled_delta

    try:
        compiled_passes.kernel()
        library("direct_effects", compiled_passes.FEATURES)
        compiled_delta.kernel()
    except NotCompiled:
        pass


@pytest.fixture(scope="session")
def repository() -> Path:
    """Find the repository's root."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Start a real browser, once; CHROMIUM names another than the one on the path."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
        if path is None and Path(playwright.chromium.executable_path).exists():
            path = playwright.chromium.executable_path
        if path is None:
            pytest.skip("there is no Chromium here (install one, or name it in CHROMIUM)")
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Find the folder of protein families that CATJAC_DATA names."""
    folder = os.environ.get("CATJAC_DATA", "")
    if not (Path(folder) / "families").is_dir() or not folder:
        pytest.skip("CATJAC_DATA names no folder with families/")
    return Path(folder)


@pytest.fixture(params=["compiled", "torch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Float32 passes on a CPU by the compiled kernel, and by torch as where it cannot be had."""
    from checkpoints import random_esm2

    from catjac_widgets.language_models.esm.cpu_kernels import exact as compiled_passes

    if request.param == "torch":
        monkeypatch.setenv("CATJAC_COMPILER", "")
    elif (reason := compiled_passes.why_not(random_esm2())) is not None:
        pytest.skip(reason)
    return str(request.param)
