"""JupyterLab as a person meets it: a server, a page, a notebook, its kernel."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import ConsoleMessage, Error, Locator, Page, ViewportSize

#: Kernels of notebooks that do not need one of their own making.
READY = "ready"
_READY_KERNEL = Path(__file__).with_name("ready_kernel.py")

#: What takes long to load, or to draw by software, and none of these notebooks needs.
_DISABLED = ["@jupyterlab/apputils-extension:splash"] + [
    f"@jupyterlab/{name}-extension"
    for name in (
        "celltags", "csvviewer", "debugger", "extensionmanager", "help", "htmlviewer", "hub", "imageviewer",
        "inspector", "launcher", "logconsole", "lsp", "markdownviewer", "mathjax", "mermaid", "pdf",
        "pluginmanager", "settingeditor", "terminal", "toc", "tooltip", "vega5", "video",
    )
]  # fmt: skip

# What a page may take on a busy machine, in milliseconds.
PATIENCE = 120_000

# How often a page is looked at, in milliseconds; each frame, as is usual, would keep it drawing.
LOOK = 100

VIEWPORT: ViewportSize = {"width": 1400, "height": 1100}

# What bokeh's script leaves on a page that it has been on is taken away: each notebook begins without it.
# Lab's setting of subshells is kept by its kernel manager, for kernels to come.
_OPEN = """async ([path, subshells]) => {
  for (const name of Object.keys(window)) if (/bokeh/i.test(name)) delete window[name];
  const app = window.jupyterapp;
  app.serviceManager.kernels.commsOverSubshells = subshells;
  const panel = await app.commands.execute("docmanager:open", { path });
  await panel.context.ready;
  await panel.sessionContext.ready;
  const set = panel.sessionContext.session.kernel.commsOverSubshells;
  if (set !== subshells) throw new Error(`comms over subshells: ${set}`);
}"""
_IDLE = """() => {
  const panel = window.jupyterapp?.shell.currentWidget;
  const context = panel?.sessionContext;
  return Boolean(panel?.context?.isReady && context?.isReady && context.session?.kernel?.status === "idle");
}"""
# A kernel that is there at once may have said so before the page listened: it is asked once more.
_READY = """() => {
  const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
  const kernel = context?.isReady ? context.session?.kernel : null;
  if (!kernel) return false;
  if (kernel.status === "idle") return true;
  const now = performance.now();
  if (!(now - (window.askedKernel ?? now - 6000) < 5000)) {
    window.askedKernel = now;
    kernel.requestKernelInfo().catch(() => null);
  }
  return false;
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
    kernels: subprocess.Popen[bytes] = field(init=False)
    url: str = field(init=False)
    token: str = field(default_factory=lambda: secrets.token_hex(16))

    def __post_init__(self) -> None:
        self.notebooks = self.folder / "notebooks"
        self.settings = self.folder / "settings"
        self.notebooks.mkdir(parents=True)
        self.set("notification", fetchNews="false", checkForUpdates=False)
        self._write(
            "config/labconfig/page_config.json", {"disabledExtensions": dict.fromkeys(_DISABLED, True)}
        )
        self._socket = tempfile.mkdtemp(prefix="catjac-") + "/kernels"
        argv = [sys.executable, "-I", "-S", str(_READY_KERNEL), "start", self._socket, "{connection_file}"]
        spec = {"argv": argv, "display_name": "Ready", "language": "python"}
        self._write(f"data/kernels/{READY}/kernel.json", spec)

    def _write(self, name: str, content: Any) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))

    def set(self, plugin: str, **values: Any) -> None:
        """Set user settings of an apputils plugin; read when a page is loaded."""
        self._write(f"settings/@jupyterlab/apputils-extension/{plugin}.jupyterlab-settings", values)

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
        own = {**os.environ, **folders, **environment}
        with (self.folder / "server.log").open("wb") as log:
            self.kernels, self.process = (
                subprocess.Popen([sys.executable, *command], env=own, stdout=log, stderr=subprocess.STDOUT)
                for command in (
                    [str(_READY_KERNEL), "serve", self._socket],
                    [
                        "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.port=0",
                        f"--ServerApp.root_dir={self.notebooks}", f"--IdentityProvider.token={self.token}",
                        "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=",
                    ],
                )
            )  # fmt: skip
        self.url = self._wait()

    def _wait(self) -> str:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log()
            assert self.kernels.poll() is None, self.log()
            if not os.path.exists(self._socket):
                time.sleep(0.1)
                continue
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
        self.kernels.kill()
        self.process.terminate()
        for process in (self.kernels, self.process):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(Path(self._socket).parent)


class Notebook:
    """A notebook that is open in a page."""

    def __init__(self, page: Page, server: Server, name: str, subshells: str = "perCommTarget") -> None:
        self.page = page
        self.server = server
        self.complaints: list[str] = []
        if page.evaluate("window.jupyterapp === undefined"):
            address = f"{server.url}lab?reset&token={server.token}"
            page.goto(address, timeout=PATIENCE)
            page.wait_for_function("window.jupyterapp !== undefined", timeout=PATIENCE, polling=LOOK)
            page.evaluate("window.jupyterapp.restored.then(() => null)")
            # More room for the notebook.
            page.evaluate("window.jupyterapp.shell.collapseLeft()")
        page.set_viewport_size(VIEWPORT)
        page.mouse.move(3, 3)
        page.on("console", self._note)
        page.on("pageerror", self._note_error)
        # JupyterLab remembers the theme; a test that went dark must not darken the next.
        self.choose_theme("Light")
        page.evaluate(_OPEN, [name, subshells])
        page.wait_for_function(_READY, timeout=PATIENCE, polling=LOOK)

    def close(self) -> None:
        """Take the notebook off the page, as it is, and end its kernel, which outlives both."""
        self.page.remove_listener("console", self._note)
        self.page.remove_listener("pageerror", self._note_error)
        self.page.evaluate("window.jupyterapp.shell.currentWidget.dispose()")
        self.server.end_sessions()
        self.frames()

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
        theme = f"{{theme: 'JupyterLab {name}'}}"
        self.page.evaluate(f"window.jupyterapp.commands.execute('apputils:change-theme', {theme})")
        self.page.wait_for_function(
            f"document.body.dataset.jpThemeLight === '{str(name == 'Light').lower()}'", polling=LOOK
        )

    def run_all(self) -> None:
        """Run every cell; none may fail."""
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells').then(() => null)")
        self.page.wait_for_function(_IDLE, timeout=PATIENCE, polling=LOOK)
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


def choose_kernel(path: Path, name: str) -> None:
    """Have a notebook open with that kernel."""
    made = nbformat.read(path, as_version=4)
    made.metadata["kernelspec"] = {"name": name, "display_name": name, "language": "python"}
    nbformat.write(made, path)


def write_notebook(path: Path, *cells: str) -> None:
    """Write a notebook of those cells, with a kernel that has done its imports."""
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    choose_kernel(path, READY)
