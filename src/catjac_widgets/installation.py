"""What this installation runs on, and what is wrong with it: for ``%catjac device`` and ``catjac doctor``."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from catjac_widgets.errors import CatjacError

if TYPE_CHECKING:
    import torch

#: The front ends that must lie where the Jupyter *server* finds them, by the package that brings them.
FRONT_ENDS = {
    "anywidget": "anywidget",
    "jupyterlab_widgets": "@jupyter-widgets/jupyterlab-manager",
    "jupyter_bokeh": "@bokeh/jupyter_bokeh",
    "nglview": "nglview-js-widgets",
}
_PACKAGES = ("torch", "fair-esm", "xarray", "zarr", "anywidget", "ipywidgets", "nglview", "jupyterlab")


@dataclass(frozen=True)
class Finding:
    """One line of a report.

    Parameters
    ----------
    name, value
        What was looked at and what was found.
    state
        "good", or "note" (works, but worth knowing), or "problem" (something will not work).
    advice
        What to do about it.
    """

    name: str
    value: str
    state: Literal["good", "note", "problem"] = "good"
    advice: str = ""


class Report:
    """Findings, as text and as a table."""

    def __init__(self, findings: Iterator[Finding] | list[Finding]) -> None:
        self.findings = list(findings)

    @property
    def problems(self) -> list[Finding]:
        """Those that keep something from working."""
        return [finding for finding in self.findings if finding.state == "problem"]

    def __str__(self) -> str:
        marks = {"good": " ", "note": "·", "problem": "!"}
        width = max(len(finding.name) for finding in self.findings)
        lines = []
        for finding in self.findings:
            lines.append(f"{marks[finding.state]} {finding.name:<{width}}  {finding.value}")
            if finding.advice:
                lines.append(f"  {'':<{width}}  → {finding.advice}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(finding.name)}</th><td style='text-align:left'>"
            f"{escape(finding.value)}{'<br>→ ' + escape(finding.advice) if finding.advice else ''}</td></tr>"
            for finding in self.findings
        )
        return f"<table>{rows}</table>"


def examine() -> Report:
    """Look at everything: versions, devices, models, cache and front ends."""
    parts = (versions, environment, devices, embedded, cache_folder, front_ends, kernels)
    return Report([finding for part in parts for finding in part()])


def versions() -> Iterator[Finding]:
    """List Python and the packages that matter."""
    from catjac_widgets._version import __version__

    yield Finding("catjac", f"{__version__} on Python {platform.python_version()}, {platform.system()}")
    yield Finding("environment", sys.prefix)
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            if package == "jupyterlab":
                yield Finding(
                    package, "not here", "note", "for a notebook: pip install 'catjac-widgets[lab]'"
                )
    yield Finding("packages", ", ".join(found))
    if _version("nglview") == "4.0.1":
        yield Finding(
            "nglview", "4.0.1", "problem", "its front end is of another version: pip install 'nglview==4.0'"
        )
    # PyPI's `esm` and `fair-esm` own the same package name; the one installed last wins.
    if _version("esm") is not None:
        yield Finding(
            "esm",
            f"{_version('esm')}, which hides fair-esm",
            "problem",
            "pip uninstall esm, then pip install --force-reinstall --no-deps fair-esm",
        )


def environment() -> Iterator[Finding]:
    """List the environment variables whose value makes no sense."""
    from catjac_widgets.engine.cache.folder.files import sync_seconds
    from catjac_widgets.engine.cache.store import limit_said
    from catjac_widgets.engine.compute.memory import allowed_hours
    from catjac_widgets.engine.rounding import bits_to_keep

    checks: tuple[Callable[[], object], ...] = (allowed_hours, limit_said, bits_to_keep, sync_seconds)
    for check in checks:
        try:
            check()
        except CatjacError as error:
            name, _, said = str(error).partition("=")
            yield Finding(name, said, "problem", f"unset {name}, or give it another value")


def devices() -> Iterator[Finding]:
    """List what models run on, and a GPU that this torch cannot use."""
    import torch

    from catjac_widgets.language_models.devices import choose_device

    chosen = choose_device()
    if chosen.type == "cuda":
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            yield Finding(
                f"device cuda:{index}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
            )
            yield _gpu_steps(torch.device("cuda", index))
    elif chosen.type == "mps":
        yield Finding("device mps", "the GPU of this Mac")
    yield Finding("device cpu", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads")
    yield Finding("models run on", str(chosen))
    yield from _kernels()
    if chosen.type == "cpu" and _has_nvidia_gpu():
        if torch.version.cuda is None:
            yield Finding(
                "GPU",
                "there is one, but this torch is built for the CPU only",
                "problem",
                "install the CUDA build of torch (pytorch.org names the command for this machine)",
            )
        else:
            yield Finding(
                "GPU", "there is one, but torch cannot use it", "problem", "check the driver with nvidia-smi"
            )


def _gpu_steps(device: torch.device) -> Finding:
    """Tell how a GPU runs what lies between the products of a pass."""
    from catjac_widgets.language_models.esm.cuda.fused_steps import chosen_steps

    chosen = chosen_steps(device)
    if not chosen.slower_because:
        return Finding(f"passes on {device}", f"fused by {chosen.steps.name}")
    return Finding(
        f"passes on {device}",
        f"by {chosen.steps.name}, which is slower: {chosen.slower_because}",
        "note",
        "install the triton that belongs to this torch, and a C compiler, for which it asks",
    )


def _kernels() -> Iterator[Finding]:
    """Tell how a CPU runs passes."""
    from catjac_widgets.language_models.esm.cpu_kernels import exact as compiled_passes
    from catjac_widgets.language_models.esm.cpu_kernels.build import NotCompiled
    from catjac_widgets.language_models.esm.numerics import delta_int8_kernel as compiled_delta

    for numerics, kernel in (("exact", compiled_passes), ("delta", compiled_delta)):
        try:
            kernel.check_machine()
            yield Finding(f"numerics='{numerics}'", "by a kernel that is compiled at its first use")
        except NotCompiled as error:
            yield Finding(f"numerics='{numerics}'", f"through torch, which is slower: {error}", "note")


def embedded() -> Iterator[Finding]:
    """List what needs no download."""
    from catjac_widgets.language_models.registry import models

    table = models().rows
    for status in ("embedded", "in cache"):
        names = [str(row["name"]) for row in table if row["status"] == status]
        if names:
            yield Finding(f"models {status}", ", ".join(names))
    if not any(row["status"] == "embedded" for row in table):
        yield Finding(
            "models embedded", "none", "problem", "the weights of 'mini' are missing: install again"
        )
    from catjac_widgets.structures.protein_readers import example_names

    yield Finding("examples", ", ".join(example_names()))


def cache_folder() -> Iterator[Finding]:
    """Say where Jacobians are kept."""
    from catjac_widgets.engine.cache.store import cache

    try:
        store = cache.file_store
        if store is None:
            yield Finding("cache", "off" if cache.is_off else "in memory", "note", "CATJAC_CACHE says so")
            return
        wrong = store.why_not_written()
    except CatjacError as error:
        yield Finding("cache", str(error), "problem", "set CATJAC_CACHE to another place")
        return
    if wrong:
        yield Finding(
            "cache", f"{store.name} {wrong}", "problem", "set CATJAC_CACHE to a folder or URL of yours"
        )
        return
    try:
        lines = str(cache.info()).splitlines()
    except CatjacError as error:
        yield Finding("cache", str(error), "problem")
        return
    yield Finding("cache", "; ".join(" ".join(line.split()) for line in lines[:3]).removeprefix("where "))


def front_ends() -> Iterator[Finding]:
    """Check that the server of this environment finds the widgets' front ends."""
    if _version("jupyterlab") is None:
        return
    folders = [Path(folder) / "labextensions" for folder in _jupyter_paths()]
    missing = [
        package
        for package, name in FRONT_ENDS.items()
        if not any((folder / name / "package.json").is_file() for folder in folders)
    ]
    if missing:
        yield Finding(
            "front ends",
            f"missing: {', '.join(missing)}",
            "problem",
            f"pip install --force-reinstall {' '.join(missing)}, then restart JupyterLab",
        )
    else:
        yield Finding("front ends", ", ".join(FRONT_ENDS))


def kernels() -> Iterator[Finding]:
    """Check that the server that the shell finds, and the kernel it starts, live in this environment."""
    server = shutil.which("jupyter-lab")
    if server is not None and Path(server).parent != Path(sys.executable).parent:
        yield Finding(
            "server",
            f"the shell's jupyter-lab is {server}, outside this environment",
            "note",
            "server and kernel both need catjac-widgets: start JupyterLab with 'catjac lab'",
        )
    for folder in _jupyter_paths():
        for spec in sorted(Path(folder).glob("kernels/*/kernel.json")):
            try:
                command = json.loads(spec.read_text(encoding="utf-8"))["argv"][0]
            except (OSError, ValueError, LookupError, TypeError):
                continue
            if spec.parent.name == "python3" and os.path.isabs(command) and not _same_environment(command):
                yield Finding(
                    "kernel python3",
                    f"runs {command}, another Python than this one",
                    "problem",
                    "it cannot import catjac: in this environment, python -m ipykernel install --sys-prefix",
                )


def _same_environment(command: str) -> bool:
    return Path(command).parent == Path(sys.executable).parent


def _jupyter_paths() -> list[str]:
    try:
        from jupyter_core.paths import jupyter_path
    except ImportError:
        return []
    return jupyter_path()


def _has_nvidia_gpu() -> bool:
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
