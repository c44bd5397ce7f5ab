"""The security page names tests that exist, and every setting that is read."""

from __future__ import annotations

import re
from pathlib import Path


def test_every_test_that_the_page_names_is_there(repository: Path) -> None:
    page = (repository / "docs" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page)
    assert len(named) > 20
    for file, name in named:
        text = (repository / file).read_text(encoding="utf-8")
        assert not name or re.search(rf"^def {name}\(", text, re.MULTILINE), f"{file}::{name}"


def test_every_setting_is_on_the_page(repository: Path) -> None:
    page = (repository / "docs" / "security.md").read_text(encoding="utf-8")
    read = {
        name
        for path in (repository / "src").rglob("*.py")
        for name in re.findall(r"\bCATJAC_[A-Z_]+\b", path.read_text(encoding="utf-8"))
    }
    assert read
    assert sorted(name for name in read if f"`{name}`" not in page) == []
