"""A JupyterLab server for the session; a fresh page a test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import VIEWPORT, Notebook, Server
from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("lab")
    made = Server(folder)
    # Notebooks of these tests use the stub models.
    made.start(
        PYTHONPATH=os.pathsep.join([str(repository / "src"), str(repository / "tests")]),
        CATJAC_CACHE=str(folder / "cache"),
    )
    yield made
    made.stop()


class Pages:
    """JupyterLab's page, which takes seconds to load and is used by one notebook after the other."""

    def __init__(self, chromium: Browser) -> None:
        self._chromium = chromium
        self._shared: Page | None = None

    def fresh(self, scale: float = 1) -> Page:
        """Open an empty page; `scale` is how many pixels of the screen a CSS pixel takes."""
        context = self._chromium.new_context(
            viewport=VIEWPORT, device_scale_factor=scale, reduced_motion="reduce"
        )
        context.set_default_timeout(60_000)
        return context.new_page()

    def shared(self) -> Page:
        """Give the page that notebooks share."""
        self._shared = self._shared or self.fresh()
        return self._shared

    def forget(self) -> None:
        """Close the shared page, so that the next notebook gets a new one."""
        if self._shared is not None:
            self._shared.context.close()
        self._shared = None


@pytest.fixture(scope="session")
def pages(chromium: Browser) -> Iterator[Pages]:
    made = Pages(chromium)
    yield made
    made.forget()


@pytest.fixture
def open_notebook(
    pages: Pages, server: Server, results: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Notebook]]:
    """Open a notebook of the server's folder; its kernel ends with the test, and a screenshot is kept.

    It is on the page that tests share, unless a fresh one is asked for, by itself or through its options:
    how many pixels of the screen a CSS pixel takes, and whose addresses it cannot reach.
    """
    failed = request.session.testsfailed
    opened: list[Notebook] = []
    own: list[Page] = []

    def open_(
        name: str,
        *,
        fresh: bool = False,
        scale: float = 1,
        without: str = "",
        subshells: str = "perCommTarget",
    ) -> Notebook:
        if fresh or without or scale != 1:
            page = pages.fresh(scale)
            own.append(page)
            if without:
                page.route(without, lambda route: route.abort())
        else:
            page = pages.shared()
        opened.append(Notebook(page, server, name, subshells))
        return opened[-1]

    yield open_
    clean = False
    try:
        for notebook in opened:
            notebook.page.screenshot(path=results / f"{request.node.name}.png")
            notebook.close()
        clean = bool(opened) and request.session.testsfailed == failed
    finally:
        for page in own:
            page.context.close()
        if not clean:
            # What a failed test has left shall not fail the next.
            pages.forget()
            server.end_sessions()


@pytest.fixture(scope="session")
def results(repository: Path) -> Path:
    """The folder of screenshots, for people; git does not track it."""
    folder = repository / "test-results"
    folder.mkdir(exist_ok=True)
    return folder
