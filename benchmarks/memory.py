"""Measure the memory of Jacobians and contact maps: how much a process holds at most beyond the model.

Each case runs in a process of its own, on a model of random weights (they cost what trained ones cost).
Reported is the highest resident memory (VmHWM) during a step above what was resident before the first, with
the model loaded and one pass done. Needs Linux: writing to /proc/self/clear_refs resets the kernel's peak.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measured import Table

#: Layers, channels, heads. "tiny" is so small that the rows, not the passes, take the time and the memory.
SHAPES = {"tiny": (2, 32, 1), "8M": (6, 320, 20), "35M": (12, 480, 20), "150M": (30, 640, 20)}


def resident(field: str = "VmRSS") -> int:
    """Bytes that this process holds ("VmRSS"), or held at most ("VmHWM")."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}.")


def reset_peak() -> None:
    """Let the kernel count the highest resident memory anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def bytes_read() -> int:
    """Bytes that this process has read from files so far, from the page cache too."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


def random_residues(length: int) -> str:
    """Residues drawn uniformly, the same every time."""
    return "".join(np.random.default_rng(length).choice(list("ACDEFGHIKLMNPQRSTVWY"), length))


def random_model(shape: str) -> Any:
    """ESM-2 of that shape with random weights, wrapped, after one pass of fair-esm's own forward."""
    import esm
    import torch

    import catjac_widgets as catjac

    torch.manual_seed(0)
    layers, channels, heads = SHAPES[shape]
    model = esm.ESM2(num_layers=layers, embed_dim=channels, attention_heads=heads).eval()
    with torch.no_grad():
        model(torch.full((1, 66), 5))
    return catjac.wrap(model, model.alphabet, name=shape)


class Steps:
    """Times and peaks of the steps of one case."""

    def __init__(self) -> None:
        self.start = resident()
        self.found: list[tuple[str, float, str]] = []
        self.begin()

    def begin(self) -> None:
        """Start a step."""
        reset_peak()
        self._started, self._read = time.perf_counter(), bytes_read()

    def end(self, name: str) -> None:
        """End a step: time, peak above the start of the case, bytes read."""
        self.found += [
            (f"{name}: peak above the model", (resident("VmHWM") - self.start) / 1e6, "MB"),
            (f"{name}: time", 1e3 * (time.perf_counter() - self._started), "ms"),
            (f"{name}: read from files", (bytes_read() - self._read) / 1e6, "MB"),
        ]
        self.begin()


def to_the_store(length: int, shape: str) -> list[tuple[str, float, str]]:
    """Measure a Jacobian to the store, its map as rows arrive, maps from disk, and a second call."""
    import catjac_widgets as catjac
    from catjac_widgets.analysis.contacts.maps import contacts

    model, residues = random_model(shape), random_residues(length)
    catjac.jacobian("ACDEFGHIKLMNPQRSTVWY", model, lazy=True, progress=False)
    catjac.contacts(catjac.jacobian("ACDEFGHIKLMNPQRSTVWY", model, lazy=True, progress=False))
    steps = Steps()
    job = catjac.submit(residues, model, lazy=True)
    while job.progress.message != "making the contact map" and not job.wait(0.005):
        pass
    steps.end("rows to the store")
    J = job.result()
    steps.end("contact map at the last row, from rows on disk in tiles")
    contacts(J, diag="none")
    steps.end("contact map (diagonal kept) of the stored tensor")
    contacts(catjac.jacobian(residues, model, lazy=True, progress=False))
    steps.end("second call: Jacobian opened, its stored map read")
    return [*steps.found, ("the tensor", J.nbytes / 1e6, "MB")]


def some_rows(length: int, shape: str) -> list[tuple[str, float, str]]:
    """Measure the packed weights of a larger model, and one row with them (one pass: "fast")."""
    import catjac_widgets as catjac

    model = random_model(shape)
    held = sum(parameter.nbytes for parameter in model.model.parameters())
    steps = Steps()
    model.prepare("ACDEFGHIKL").wild_type()
    steps.end("packing the weights")
    residues = random_residues(length)
    catjac.jacobian(residues, model, positions=[1], variant="fast", lazy=True, progress=False)
    steps.end("weights packed, and one pass")
    return [("the weights", held / 1e6, "MB"), *steps.found]


def from_memory(length: int, shape: str) -> list[tuple[str, float, str]]:
    """Measure maps of a tensor in memory (random numbers)."""
    from catjac_widgets.analysis.contacts.maps import contacts
    from catjac_widgets.engine.labels import label_jacobian
    from catjac_widgets.engine.plans.making import make_plan

    letters = "LAGVSERTIDPKQNFYMHWC"
    plan = make_plan(random_residues(length), model=shape, fingerprint="", letters=letters)
    values = np.random.default_rng(0).standard_normal((length, 20, length, 20), dtype=np.float32)
    J = label_jacobian(values, plan)
    steps = Steps()
    for _ in range(5):
        contacts(J)
        steps.end("contact map of a tensor in memory")
    contacts(J, order="A'")
    steps.end("contact map of a tensor in memory, order A'")
    return [*steps.found, ("the tensor", J.nbytes / 1e6, "MB")]


CASES = {"store": to_the_store, "packed": some_rows, "memory": from_memory}


def measured(case: str, length: int, shape: str) -> list[tuple[str, float, str]]:
    """Run a case in a process of its own, with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "CATJAC_CACHE": folder, "CATJAC_CACHE_LIMIT": "10GB"}
        words = [sys.executable, __file__, "--case", case, "--length", str(length), "--shape", shape]
        done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [tuple(row) for row in json.loads(done.stdout.splitlines()[-1])]


def main() -> None:
    """Run all cases, or the one named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--length", type=int, default=1022)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    chosen = parser.parse_args()
    if chosen.case:
        print(json.dumps(CASES[chosen.case](chosen.length, chosen.shape)))
        return
    table = Table()
    for case, length, shape in (
        ("store", 1022, "tiny"),
        ("memory", 512, "random numbers"),
        *(("packed", 1022, shape) for shape in ("8M", "35M", "150M")),
    ):
        values: dict[tuple[str, str], list[float]] = {}
        for quantity, value, unit in measured(case, length, shape if case != "memory" else "tiny"):
            values.setdefault((quantity, unit), []).append(value)
        for (quantity, unit), found in values.items():
            table.add(quantity, f"{shape}, {length} residues", found, unit)
    table.print()
    if chosen.out:
        table.write(chosen.out)


if __name__ == "__main__":
    main()
