"""A JupyterLab server for the session; a fresh page a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import Notebook, Server
from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("lab")
    made = Server(folder)
    # Notebooks of these tests use the stub models.
    made.start(PYTHONPATH=str(repository / "tests"), CATJAC_CACHE=str(folder / "cache"))
    yield made
    made.stop()


@pytest.fixture
def page(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Open an empty page; its parameter, if any, is how many pixels of the screen a CSS pixel takes."""
    scale = getattr(request, "param", 1)
    context = chromium.new_context(viewport={"width": 1400, "height": 1100}, device_scale_factor=scale)
    context.set_default_timeout(60_000)
    made = context.new_page()
    yield made
    context.close()


@pytest.fixture
def open_notebook(
    page: Page, server: Server, results: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Notebook]]:
    """Open a notebook of the server's folder; its kernel ends with the test, and a screenshot is kept."""
    yield lambda name: Notebook(page, server, name)
    page.screenshot(path=results / f"{request.node.name}.png")
    page.goto("about:blank")
    server.end_sessions()


@pytest.fixture(scope="session")
def results(repository: Path) -> Path:
    """The folder of screenshots, for people; git does not track it."""
    folder = repository / "test-results"
    folder.mkdir(exist_ok=True)
    return folder
