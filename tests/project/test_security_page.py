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
    rows = re.findall(r"^\| (`[^|]*) \| [^|]+ \| [^|]+ \|$", page.partition("## Settings")[2], re.MULTILINE)
    told = {name for names in rows for name in re.findall(r"`([A-Z_]+)`", names)}
    read = {
        name
        for path in (repository / "src").rglob("*.py")
        for name in re.findall(
            # By catjac's own names, by whatever a variable is asked for, and by constants that hold a name.
            r"\bCATJAC_[A-Z]+(?:_[A-Z]+)*\b"
            r"|(?<=environ\.get\(\")[A-Z_]+|(?<=environ\[\")[A-Z_]+|(?<=getenv\(\")[A-Z_]+",
            path.read_text(encoding="utf-8"),
        )
    }
    assert {"TORCH_HOME", "ANYWIDGET_HMR", "DEMO_NO_BROWSER", "CATJAC_CACHE"} <= read
    assert sorted(read - told) == []
