"""What every benchmark here writes: rows of quantities, and on which machine they were measured."""

from __future__ import annotations

import csv
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
VERSIONS = ("torch", "numpy", "jupyterlab", "ipykernel", "anywidget")


def machine() -> dict[str, Any]:
    """Cores, processor, commit and versions; columns that stay the same within one run."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "commit": _commit(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in VERSIONS},
    }


class Table:
    """Rows of a quantity under a condition: unit, count, median, 95th percentile, and the load beside it.

    Parameters
    ----------
    **facts
        Columns with the same value in each row, besides those of `machine`.
    """

    def __init__(self, **facts: Any) -> None:
        self.rows: list[dict[str, Any]] = []
        self._facts = machine() | facts

    def add(self, quantity: str, condition: str, values: Iterable[float], unit: str = "ms") -> None:
        """Add a row; `values` are all that was measured of it."""
        found = np.asarray(list(values), dtype=float)
        p50, p95 = np.percentile(found, [50, 95]) if found.size else (np.nan, np.nan)
        self.rows.append(
            {
                "quantity": quantity,
                "condition": condition,
                "unit": unit,
                "n": found.size,
                "p50": f"{p50:.1f}",
                "p95": f"{p95:.1f}",
                # Processes that wanted a core during the last minute, this benchmark's own among them.
                "load": f"{os.getloadavg()[0]:.1f}",
                **self._facts,
            }
        )

    def print(self) -> None:
        """Print all rows, without what is the same in each."""
        names = ("quantity", "condition", "unit", "n", "p50", "p95", "load")
        lines = [names, *(tuple(str(row[name]) for name in names) for row in self.rows)]
        widths = [max(len(line[k]) for line in lines) for k in range(len(names))]
        for line in lines:
            words, numbers = line[:3], line[3:]
            texts = [text.ljust(width) for text, width in zip(words, widths, strict=False)]
            texts += [text.rjust(width) for text, width in zip(numbers, widths[3:], strict=True)]
            print("  ".join(texts))
        print(", ".join(f"{name} {value}" for name, value in self._facts.items()))

    def write(self, path: Path) -> None:
        """Write all rows as CSV."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    """Short hash of what is checked out, with "+" where files differ from it; "" outside a repository."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
