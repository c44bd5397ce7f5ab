from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from notebook_page import FLAGS, NotebookPage, Wire


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Comms that a test can read."""
    with Wire().installed() as wire:
        yield wire


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Start a real browser; CHROMIUM names another than the one on the path."""
    pytest.importorskip("playwright", reason="playwright is not installed")
    from playwright.sync_api import sync_playwright

    path = (
        os.environ.get("CHROMIUM")
        or shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if path is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def notebook(chromium: Any, wire: Wire) -> Iterator[NotebookPage]:
    """Open a page of a cell's width, 970 pixels, joined to this process' widgets."""
    context = chromium.new_context(viewport={"width": 1002, "height": 900}, color_scheme="light")
    yield NotebookPage(context.new_page(), wire)
    context.close()
