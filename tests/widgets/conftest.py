from __future__ import annotations

from collections.abc import Iterator
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
    context = chromium.new_context(viewport={"width": 1002, "height": 900}, color_scheme="light")
    yield NotebookPage(context.new_page(), wire)
    context.close()
