"""The table of an evaluation: one row a protein, method and range, as a CSV file and as a Dataset."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from catjac_widgets._version import __version__
from catjac_widgets.analysis.sources import present_word
from catjac_widgets.analysis.statistics import CONFIDENCE, DRAWS, check_confidence, mean_interval
from catjac_widgets.errors import UsageError

Row = dict[str, Any]

#: First line of the file: what it is.
TITLE = "# catjac evaluate: precision of contact maps against experimental structures"

#: Columns of numbers, and what a cell of them is.
NUMBERS: dict[str, type] = {
    "length": int,
    "neff": float,
    "pairs": int,
    "contacts": int,
    "precision_at_l": float,
    "precision_at_l_half": float,
    "precision_at_l_fifth": float,
    "low": float,
    "high": float,
    "auc": float,
    "random": float,
}

#: All columns, in order.
COLUMNS = (
    "protein",
    "method",
    "model",
    "in_sample",
    "structure",
    "range",
    "separation",
    *NUMBERS,
    "error",
    "digest",
    "version",
)

_BY_PROTEIN = ("length", "neff", "structure")
_BY_METHOD = ("model", "in_sample", "error", "version")


def version() -> str:
    """Version of the package, with the commit where it runs from a checkout ("-dirty": changed since)."""
    root = Path(__file__).resolve().parents[4]
    if not (root / ".git").exists():
        return __version__
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__} ({done.stdout.strip()})"


def write_table(path: Path, rows: Iterable[Row], settings: dict[str, Any], commands: Sequence[str]) -> None:
    """Write the file, replacing it as a whole.

    Raises
    ------
    UsageError
        If that fails.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            file.write(f"{TITLE}\n# settings: {json.dumps(settings, sort_keys=True)}\n")
            file.writelines(f"# command: {command}\n" for command in commands)
            writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
            writer.writeheader()
            for row in rows:
                writer.writerow({name: _cell(value) for name, value in row.items()})
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{path.name} could not be written ({error.strerror or error}).") from error
    finally:
        part.unlink(missing_ok=True)


def read_rows(path: Path) -> tuple[list[Row], dict[str, Any], list[str]]:
    """Read rows, settings and commands of a file that `write_table` wrote.

    Raises
    ------
    UsageError
        If it is none.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = file.read().splitlines()
        if not lines or lines[0] != TITLE:
            raise ValueError("its first line is another")
        head = [line for line in lines if line.startswith("# ")]
        settings = json.loads(next(line for line in head if line.startswith("# settings: "))[12:])
        commands = [line[11:] for line in head if line.startswith("# command: ")]
        body = csv.DictReader(line for line in lines if not line.startswith("# "))
        rows = [_typed(row) for row in body]
        if tuple(body.fieldnames or ()) != COLUMNS:
            raise ValueError("its columns are others")
    except (OSError, ValueError, StopIteration, KeyError) as error:
        raise UsageError(
            f"{path.name} is no table of catjac evaluate ({error}); name another file."
        ) from error
    return rows, settings, commands


def read_evaluation(path: str | Path) -> xr.Dataset:
    """Read a table that ``catjac evaluate`` wrote; see `as_dataset`.

    Raises
    ------
    UsageError
        If it is none.
    """
    rows, settings, commands = read_rows(Path(path))
    return as_dataset(rows, settings, commands)


def as_dataset(rows: list[Row], settings: dict[str, Any], commands: Sequence[str] = ()) -> xr.Dataset:
    """Lay rows out by protein, source (the method; xarray's `sel` has a ``method=`` of its own) and range.

    Returns
    -------
    xr.Dataset
        By (protein, source, range): precision_at_l, precision_at_l_half, precision_at_l_fifth, low and high
        (interval of the first), auc, pairs, contacts, random; NaN where there is an error. By protein:
        length (residues resolved), neff, structure. By (protein, source): model, in_sample ("yes", "no", or
        "" where it is not known or does not apply), error (the sentence, "" without one), version. `attrs`:
        settings and commands. ``.to_dataframe()`` is the table again.
    """
    proteins = list(dict.fromkeys(row["protein"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    ranges = [
        r for r in ("all", "local", "short", "medium", "long") if any(row["range"] == r for row in rows)
    ]
    at = {(row["protein"], row["method"], row["range"]): row for row in rows}
    errors = {(row["protein"], row["method"]): row["error"] for row in rows if row["error"]}

    def number(name: str) -> np.ndarray:
        return np.array(
            [[[_number(at.get((p, m, r), {}).get(name)) for r in ranges] for m in methods] for p in proteins],
            dtype=np.float64,
        ).reshape(len(proteins), len(methods), len(ranges))

    def first(name: str, protein: str, method: str | None = None) -> Any:
        for row in rows:
            if row["protein"] == protein and method in (None, row["method"]) and row[name] not in ("", None):
                return row[name]
        return ""

    variables: dict[str, Any] = {
        name: (("protein", "source", "range"), number(name)) for name in NUMBERS if name not in _BY_PROTEIN
    }
    for name in _BY_PROTEIN:
        values = [first(name, protein) for protein in proteins]
        variables[name] = ("protein", [_number(v) for v in values] if name in NUMBERS else _text(values))
    for name in _BY_METHOD:
        values = [[first(name, p, m) for m in methods] for p in proteins]
        if name == "error":
            values = [[errors.get((p, m), "") for m in methods] for p in proteins]
        variables[name] = (("protein", "source"), _text(values).reshape(len(proteins), len(methods)))
    return xr.Dataset(
        variables,
        coords={"protein": _text(proteins), "source": _text(methods), "range": _text(ranges)},
        attrs={**settings, "commands": "\n".join(commands)},
    )


def evaluation_means(
    table: xr.Dataset,
    *,
    measure: str = "precision_at_l",
    in_sample: bool | None = None,
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = 0,
) -> xr.Dataset:
    """Average an evaluation over its proteins, with an interval by a bootstrap over proteins.

    Parameters
    ----------
    table
        Of `evaluate` or `read_evaluation`.
    measure
        Which of its variables.
    in_sample
        True: only proteins that the model was trained on; False: only others; by default all.

    Returns
    -------
    xr.Dataset
        By (source, range): mean, low, high (NaN with fewer than two proteins) and proteins, how many lie
        behind it; those with an error do not count.

    Raises
    ------
    UsageError
        For another measure.
    """
    check_confidence(confidence, draws)
    if measure not in NUMBERS or measure in _BY_PROTEIN:
        allowed = ", ".join(name for name in NUMBERS if name not in _BY_PROTEIN)
        raise UsageError(f"measure={measure!r} is none of {allowed}.")
    values = table[measure].transpose("protein", "source", "range").values
    if in_sample is not None:
        known = table["in_sample"].transpose("protein", "source").values
        values = values[(known == ("yes" if in_sample else "no")).any(axis=1)]
    shape = values.shape[1:]
    low, high = np.full(shape, np.nan), np.full(shape, np.nan)
    for m, r in np.ndindex(*shape):
        low[m, r], high[m, r] = mean_interval(values[:, m, r], confidence=confidence, draws=draws, seed=seed)
    count = np.isfinite(values).sum(axis=0)
    mean = np.where(count, np.nansum(values, axis=0) / np.maximum(count, 1), np.nan)
    axes = ("source", "range")
    return xr.Dataset(
        {"mean": (axes, mean), "low": (axes, low), "high": (axes, high), "proteins": (axes, count)},
        coords={"source": table["source"].values, "range": table["range"].values},
        attrs={"measure": measure, "confidence": confidence, "draws": draws, "bootstrap_over": "proteins"},
    )


def _typed(row: dict[str, str]) -> Row:
    row = {**row, "method": present_word(row["method"])}
    return {
        name: (NUMBERS[name](value) if value else None) if name in NUMBERS else value
        for name, value in row.items()
    }


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4f}"
    return value


def _number(value: Any) -> float:
    return float("nan") if value in ("", None) else float(value)


def _text(values: Any) -> np.ndarray:
    made = np.array(values, dtype=str)
    return made if made.dtype.kind == "U" else made.astype(str)
