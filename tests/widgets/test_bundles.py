"""The committed front end is the one that its sources make."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from catjac_widgets.widgets.base.state import STATIC

BUNDLES = (
    "catjac.css",
    "contact_map.js",
    "jacobian_slice.js",
    "job_status.js",
    "sequence_mask.js",
    "panel_toggles.js",
    "recovery_view.js",
    "sensitivity_view.js",
    "structure_head.js",
)


def test_bundles_were_built_from_these_sources(repository: Path) -> None:
    js = repository / "js"
    listed = dict(
        reversed(line.split("  ", 1)) for line in (STATIC / "SOURCES.sha256").read_text().splitlines()
    )
    there = [path for path in (js / "src").rglob("*") if path.is_file()]
    there += [js / name for name in ("build.mjs", "package.json", "package-lock.json")]
    now = {path.relative_to(js).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in there}
    assert listed == now, "the front end changed; run `make js` and commit what it builds"


def test_building_again_gives_the_same_bytes(repository: Path, tmp_path: Path) -> None:
    if shutil.which("node") is None or not (repository / "js" / "node_modules" / "esbuild").is_dir():
        pytest.skip("node, or js/node_modules (npm ci), is not here")
    subprocess.run(
        ["node", "build.mjs", "--out", str(tmp_path)], cwd=repository / "js", check=True, timeout=120
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*BUNDLES, "SOURCES.sha256"])
    for name in (*BUNDLES, "SOURCES.sha256"):
        assert (tmp_path / name).read_bytes() == (STATIC / name).read_bytes(), (
            f"{name} differs; run `make js`"
        )


@pytest.mark.parametrize("name", BUNDLES)
def test_bundles_ask_nobody_and_write_no_markup(name: str) -> None:
    text = (STATIC / name).read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)


def test_the_lock_file_names_no_address(repository: Path) -> None:
    lock = (repository / "js" / "package-lock.json").read_text(encoding="utf-8")
    assert '"integrity"' in lock
    assert "http" not in lock
