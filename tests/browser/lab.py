"""JupyterLab as a person meets it: a server, a page, a notebook, its kernel."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import ConsoleMessage, Error, Locator, Page

# What a page may take on a busy machine, in milliseconds.
PATIENCE = 120_000

_READY = """() => {
  const panel = window.jupyterapp?.shell.currentWidget;
  const context = panel?.sessionContext;
  return Boolean(panel?.context?.isReady && context?.isReady && context.session?.kernel?.status === "idle");
}"""
_EXECUTE = """async (code) => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const future = kernel.requestExecute({ code, store_history: false, stop_on_error: false });
  let text = "";
  future.onIOPub = (message) => {
    const { header, content } = message;
    if (header.msg_type === "stream" && content.name === "stdout") text += content.text;
    if (header.msg_type === "error") text += content.ename + ": " + content.evalue;
  };
  const reply = await future.done;
  return [reply.content.status, text];
}"""


@dataclass
class Server:
    """A JupyterLab server with folders of its own, apart from those of the person who runs the tests."""

    folder: Path
    process: subprocess.Popen[bytes] = field(init=False)
    url: str = field(init=False)
    token: str = field(default_factory=lambda: secrets.token_hex(16))

    def __post_init__(self) -> None:
        self.notebooks = self.folder / "notebooks"
        self.settings = self.folder / "settings"
        self.notebooks.mkdir(parents=True)
        self.set("notification", fetchNews="false", checkForUpdates=False)

    def set(self, plugin: str, **values: Any) -> None:
        """Set user settings of an apputils plugin; read when a page is loaded."""
        path = self.settings / "@jupyterlab" / "apputils-extension" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))

    def start(self, **environment: str) -> None:
        own = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        folders = {name: str(self.folder / folder) for name, folder in own.items()}
        with (self.folder / "server.log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.port=0",
                    f"--ServerApp.root_dir={self.notebooks}", f"--IdentityProvider.token={self.token}",
                    "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=",
                ],
                env={**os.environ, **folders, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.url = self._wait()

    def _wait(self) -> str:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log()
            for path in (self.folder / "runtime").glob("jpserver-*.json"):
                try:
                    return str(json.loads(path.read_text())["url"])
                except ValueError:  # half written
                    pass
            time.sleep(0.1)
        raise AssertionError(f"JupyterLab did not start: {self.log()}")

    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")[-5000:]

    def api(self, path: str, method: str = "GET") -> Any:
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.url}api/{path}", headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or "null")

    def end_sessions(self) -> None:
        """Kernels outlive the page."""
        for session in self.api("sessions"):
            self.api(f"sessions/{session['id']}", "DELETE")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Notebook:
    """A notebook that is open in a page."""

    def __init__(self, page: Page, server: Server, name: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", self._note_error)
        page.goto(f"{server.url}lab/tree/{name}?reset&token={server.token}", timeout=PATIENCE)
        page.wait_for_function(_READY, timeout=PATIENCE)
        # More room for the notebook.
        page.evaluate("window.jupyterapp.shell.collapseLeft()")
        # JupyterLab remembers the theme; a test that went dark must not darken the next.
        self.choose_theme("Light")

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def _note_error(self, error: Error) -> None:
        # Where it comes from is said, and what nglview throws in its own script is its own.
        where = [line for line in (error.stack or "").splitlines() if "http" in line]
        if not where or not all("nglview-js-widgets" in line for line in where):
            self.complaints.append("\n".join([str(error), *where[:4]]))

    def choose_theme(self, name: str) -> None:
        """Change to JupyterLab's "Light" or "Dark" theme."""
        # JupyterLab covers the page with a splash while a theme loads, and takes it away 200 ms later; asked
        # again before that, it takes it away twice and throws.
        no_splash = "document.getElementById('jupyterlab-splash') === null"
        self.page.wait_for_function(no_splash)
        theme = f"{{theme: 'JupyterLab {name}'}}"
        self.page.evaluate(f"window.jupyterapp.commands.execute('apputils:change-theme', {theme})")
        self.page.wait_for_function(
            f"document.body.dataset.jpThemeLight === '{str(name == 'Light').lower()}' && {no_splash}"
        )

    def run_all(self) -> None:
        """Run every cell; none may fail."""
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells').then(() => null)")
        self.page.wait_for_function(_READY, timeout=PATIENCE)
        errors = self.page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']")
        assert not errors.count(), errors.first.inner_text()

    def python(self, code: str) -> str:
        """Run code in the notebook's kernel and return what it prints."""
        status, text = self.page.evaluate(_EXECUTE, code)
        assert status == "ok", text
        return str(text).strip()

    def until(self, condition: str, seconds: float = 120.0) -> None:
        """Wait until a Python expression is true in the kernel."""
        deadline = time.monotonic() + seconds
        while self.python(f"print(bool({condition}))") != "True":
            assert time.monotonic() < deadline, f"{condition} stayed false"
            time.sleep(0.1)

    def when(self, condition: Callable[[], bool], seconds: float = 120.0) -> None:
        """Wait until something on the page is so."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it stayed otherwise"
            self.page.wait_for_timeout(50)

    def steady(self, read: Callable[[], Any], looks: int = 6, seconds: float = 120.0) -> Any:
        """Read something until it has been the same for that many looks, 100 ms and a frame apart.

        Outputs move as those above them grow, and a slow page draws late; what is read is finite when drawn.
        """
        deadline = time.monotonic() + seconds
        last, same = read(), 1
        while same < looks:
            assert time.monotonic() < deadline, "it never came to rest"
            self.page.wait_for_timeout(100)
            self.frames()
            now = read()
            same = same + 1 if now == last else 1
            last = now
        return last

    def frames(self) -> None:
        """Wait until the page has drawn twice, so that what was asked for before is on it."""
        self.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    @property
    def explorer(self) -> Locator:
        return self.page.locator(".catjac-explorer").last

    @property
    def map(self) -> Locator:
        """The canvas that the pointer touches."""
        return self.explorer.locator(".cj-map canvas.cj-touch")

    def wait_for_status(self, text: str) -> None:
        self.explorer.locator(".cj-status", has_text=text).wait_for(timeout=PATIENCE)

    def click_map(self, across: float, down: float) -> str:
        """Click at fractions of the canvas; the pair that the read-out then names, as "R20 – C30"."""
        self.map.scroll_into_view_if_needed()
        box = self.steady(self.map.bounding_box, looks=3)
        assert box is not None
        self.page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])
        # The read-out is written with the next frame, which a busy page may keep waiting.
        self.frames()
        return self.explorer.locator(".cj-map .cj-readout b").inner_text()


def pixels(canvas: Locator) -> list[int]:
    """How often each colour occurs in a canvas: a fingerprint of what it shows."""
    return list(
        canvas.evaluate(
            """(canvas) => {
              // Of a copy: reading a canvas changes how the browser draws it from then on.
              const copy = document.createElement("canvas").getContext("2d");
              [copy.canvas.width, copy.canvas.height] = [canvas.width, canvas.height];
              copy.drawImage(canvas, 0, 0);
              const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
              const bins = new Array(64).fill(0);
              for (let k = 0; k < data.length; k += 4) {
                const [red, green, blue] = [data[k] >> 6, data[k + 1] >> 6, data[k + 2] >> 6];
                if (data[k + 3] > 0) bins[red * 16 + green * 4 + blue] += 1;
              }
              return bins;
            }"""
        )
    )


def differing(one: Sequence[int], other: Sequence[int]) -> float:
    """Share of the pixels whose colour class has changed between two fingerprints."""
    changed = sum(abs(a - b) for a, b in zip(one, other, strict=True)) / 2
    return changed / max(sum(one), sum(other), 1)


def write_notebook(path: Path, *cells: str) -> None:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, path)
