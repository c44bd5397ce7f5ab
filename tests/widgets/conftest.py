from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from notebook_page import NotebookPage, Wire


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Comms that a test can read."""
    with Wire().installed() as wire:
        yield wire


@pytest.fixture
def notebook(chromium: Any, wire: Wire) -> Iterator[NotebookPage]:
    """Open a page of a cell's width, 970 pixels, joined to this process' widgets."""
    context = chromium.new_context(
        viewport={"width": 1002, "height": 900}, color_scheme="light", reduced_motion="reduce"
    )
    yield NotebookPage(context.new_page(), wire)
    context.close()


@pytest.fixture(scope="session")
def pictures(repository: Path) -> Path:
    """The folder of screenshots, for people; git does not track it."""
    folder = repository / "test-results"
    folder.mkdir(exist_ok=True)
    return folder
