"""The front end's own tests and type check, where node is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.parametrize("script", ["test", "check"])
def test_npm(repository: Path, script: str) -> None:
    if shutil.which("npm") is None or not (repository / "js" / "node_modules" / "typescript").is_dir():
        pytest.skip("node, or js/node_modules (npm ci), is not here")
    done = subprocess.run(
        ["npm", "run", script], cwd=repository / "js", capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
