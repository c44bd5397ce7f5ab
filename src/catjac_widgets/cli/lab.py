"""``catjac lab``: JupyterLab in the environment that catjac lives in."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from catjac_widgets.errors import DependencyError, UsageError

_PATIENCE = 60.0  # seconds until the server must have come up


@click.command("lab")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), help="8888 or the next free one by default.")
@click.option("--no-browser", is_flag=True, help="Print the address only.")
def lab_command(path: Path | None, port: int | None, no_browser: bool) -> None:
    """Start JupyterLab on PATH (a notebook or a folder; here by default) and print its address."""
    if path is not None and not os.path.exists(path):
        raise UsageError(f"There is no {path}; give a notebook or a folder.")
    if importlib.util.find_spec("jupyterlab") is None:
        raise DependencyError("JupyterLab is not installed here; pip install 'catjac-widgets[lab]'.")
    open_browser = not no_browser and has_browser()
    command = [sys.executable, "-m", "jupyterlab", "--log-level=WARN"]
    if path is not None:
        command.append(str(path))
    if port is not None:
        command.append(f"--port={port}")
    if not open_browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # the server listens to this machine only, and asks for its token
    server = subprocess.Popen(command)
    try:
        _announce(server, path, open_browser)
        raise SystemExit(server.wait())
    except KeyboardInterrupt:
        # The server got the same Ctrl-C; a second one makes it stop without asking.
        server.terminate()
        server.wait()
        click.echo("\nJupyterLab has ended.", err=True)


def has_browser() -> bool:
    """Whether a browser window can be opened from here."""
    if os.environ.get("DEMO_NO_BROWSER") or os.environ.get("CI") or os.environ.get("SSH_CONNECTION"):
        return False
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def _announce(server: subprocess.Popen[bytes], path: Path | None, open_browser: bool) -> None:
    """Wait until the server runs and print the address of `path`."""
    deadline = time.monotonic() + _PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        running = _running(server.pid)
        if running is not None:
            click.echo(f"\nJupyterLab: {address(running, path)}")
            hint = "Your browser opens it." if open_browser else "Open this address in a browser."
            click.echo(f"{hint} Ctrl-C here ends it.")
            return
        time.sleep(0.2)


def _running(pid: int) -> dict[str, Any] | None:
    from jupyter_server.serverapp import list_running_servers

    return next((info for info in list_running_servers() if info["pid"] == pid), None)


def address(server: dict[str, Any], path: Path | None) -> str:
    """Build the address of a file under a running server, its token included."""
    from urllib.parse import quote

    tree = ""
    if path is not None and path.is_file():
        tree = f"/tree/{quote(path.resolve().relative_to(Path(server['root_dir']).resolve()).as_posix())}"
    return f"{server['url']}lab{tree}?token={server['token']}"
