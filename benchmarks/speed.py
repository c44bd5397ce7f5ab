"""How fast a Jacobian is made, against the plain loop over fair-esm, in one run on one machine.

    python benchmarks/speed.py --out speed.csv [--append] [--models mini 8M 35M 150M] [--lengths 64 128 256]
                               [--proteins ww bpti sh3] [--modes exact delta-int8 …] [--seconds 20]
                               [--device cpu] [--threads N] [--no-memory] [--preview-seconds 60]
    python benchmarks/speed.py --table speed.csv [--plot speed.svg] [--readme benchmarks/README.md]

Each round computes a row (all substitutions of one position) with the plain loop and, with every mode of
ours, the batch of the engine's sweep that the row belongs to (on a GPU eight batches), one mode after the
other, in an order that turns from round to round. The ratio is the median over rounds of plain / ours, a row
each, so that what slows the machine down for a while slows both. There are as many rounds as fit into
`--seconds`, three at least and nine at most. With `--append`, rows of the same cell are replaced and all
others kept, so that a table can be made piece by piece.

Models but `mini` have random weights in the shape of the named ESM-2: their speed is the real one's, their
exactness that of such weights, and their maps tell nothing and are left out. `mini` is run on whole proteins
too. Of "preview" (`catjac.preview`'s last frame) the whole time is divided by the rows; it is left out where
it would take longer than `--preview-seconds`.

"of_peak" is the share of the machine's own rate for large products of "peak_type", measured in the same run,
that the layers' products of the 19 sequences come to; "floor_seconds_a_row" is what they would take at that
rate. "memory_mb" is how far memory rises above the loaded model: of a process of its own that makes one batch
on a CPU, and the most that torch held on a GPU.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY / "src"), str(REPOSITORY / "benchmarks")]

import agreement  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from machine import PeakMemory, facts, peaks, seconds  # noqa: E402
from shapes import SHAPES, layer_operations, random_model, some_residues  # noqa: E402
from speed_modes import Ours, Plain, way  # noqa: E402
from speed_table import fill_readme, markdown, plot  # noqa: E402

import catjac  # noqa: E402

#: Rounds a cell, whatever its time.
FEWEST_ROUNDS, MOST_ROUNDS = 3, 9

#: What the products of a mode are made of.
TYPES = {
    "exact": "float32",
    "exact-torch": "float32",
    "delta-int8": "int8",
    "delta-bfloat16": "bfloat16",
    "delta-float16": "float16",
    "float16": "float16",
}

ON_CPU = ["exact", "exact-torch", "delta-int8", "delta-bfloat16", "preview"]
ON_GPU = ["exact", "delta-bfloat16", "delta-float16", "float16", "preview"]

#: How many letters of each position the timed preview runs.
PREVIEW_LETTERS = 3

#: About what a preview's passes over one residue cost, in rows of the plain loop.
PREVIEW_COST = 0.1


class Cell:
    """One model on one sequence, under every mode."""

    def __init__(
        self, name: str, sequence: str, residues: str, options: argparse.Namespace, peak: dict[str, float]
    ) -> None:
        self._name, self._sequence, self._residues = name, sequence, residues
        self._options, self._device, self._peak = options, options.device, peak
        self._model = random_model(name, options.device)
        self._operations = 19 * layer_operations(self._model.model, len(residues))
        self._whole = name == "mini"

    def measure(self) -> list[dict[str, Any]]:
        """Return a row of the table for each mode."""
        modes = [mode for mode in self._options.modes if mode != "preview"]
        ways: dict[str, Plain | Ours] = {}
        memory = {}
        for mode in ["plain", *modes]:
            above = PeakMemory(self._device) if self._device.startswith("cuda") else None
            ways[mode] = way(self._model, self._residues, mode)
            ways[mode].rows(ways[mode].block(0))  # Kernels are chosen, graphs recorded.
            memory[mode] = above.risen() / 2**20 if above else self._memory_of_a_process(mode)
        spent, found = self._rounds(ways)
        if self._whole:
            everything = list(range(len(self._residues)))
            found = {mode: each.rows(everything) for mode, each in ways.items()}
        made = []
        for mode in modes:
            ratios = spent["plain"] / spent[mode]
            row = self._about(mode, len(ratios), spent["plain"], float(np.median(spent[mode])))
            row |= {
                "ratio": f"{np.median(ratios):.2f}",
                "ratio_lowest": f"{ratios.min():.2f}",
                "ratio_highest": f"{ratios.max():.2f}",
                "layers_in_float32": getattr(ways[mode], "in_float32", ""),
                "memory_mb": _rounded(memory[mode], 0),
                "plain_memory_mb": _rounded(memory["plain"], 0),
            }
            made.append(row | self._near(found[mode], found["plain"]))
        if "preview" in self._options.modes:
            made += self._preview(spent["plain"], found["plain"])
        return made

    def _rounds(self, ways: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, dict[int, Any]]]:
        """Time all ways in turn; seconds a row of each round, and the rows that all have made."""
        length, order = len(self._residues), list(ways)
        spent: dict[str, list[float]] = {mode: [] for mode in order}
        found: dict[str, dict[int, Any]] = {mode: {} for mode in order}
        began, rounds = time.monotonic(), FEWEST_ROUNDS
        k = 0
        while k < rounds:
            # Spread over the sequence, however many there will be: halves, quarters, …
            position = int(length * _van_der_corput(k + 1))
            for mode in order[k % len(order) :] + order[: k % len(order)]:
                block = ways[mode].block(position)
                made: dict[int, Any] = {}
                took = seconds(
                    lambda mode=mode, block=block, made=made: made.update(ways[mode].rows(block)),
                    self._device,
                )
                spent[mode].append(took / len(block))
                found[mode][position] = made[position]
            k += 1
            fitting = int(self._options.seconds / ((time.monotonic() - began) / k))
            rounds = min(MOST_ROUNDS, max(FEWEST_ROUNDS, fitting))
        return {mode: np.array(values) for mode, values in spent.items()}, found

    def _preview(self, plain: np.ndarray, rows: dict[int, np.ndarray]) -> list[dict[str, Any]]:
        length = len(self._residues)
        if np.median(plain) * length * PREVIEW_COST > self._options.preview_seconds:
            return []
        last: list[np.ndarray] = []

        def run() -> None:
            for made in self._model.first_order(self._residues, None, (PREVIEW_LETTERS,)):
                if made is not None:
                    last[:] = [made[1]]

        took = seconds(run, self._device) / length
        row = self._about("preview", 1, plain, took) | {"ratio": f"{np.median(plain) / took:.2f}"}
        return [row | (self._near(dict(enumerate(last[0])), rows) if self._whole else {})]

    def _about(self, mode: str, rounds: int, plain: np.ndarray, took: float) -> dict[str, Any]:
        """Return the row of a mode with what can be told of its time."""
        row: dict[str, Any] = dict.fromkeys(COLUMNS, "")
        row |= {
            "model": self._name,
            "sequence": self._sequence,
            "length": len(self._residues),
            "mode": mode,
            "rounds": rounds,
            "plain_seconds_a_row": f"{np.median(plain):.4g}",
            "seconds_a_row": f"{took:.4g}",
        }
        if mode in TYPES:
            rate = self._peak[TYPES[mode]]
            row |= {
                "peak_type": TYPES[mode],
                "peak_gflops": _rounded(rate / 1e9, 0),
                "of_peak": _rounded(self._operations / took / rate, 3),
                "of_float32_peak": _rounded(self._operations / took / self._peak["float32"], 3),
                "floor_seconds_a_row": "" if np.isnan(rate) else f"{self._operations / rate:.4g}",
            }
        return row

    def _near(self, found: dict[int, np.ndarray], plain: dict[int, np.ndarray]) -> dict[str, str]:
        """How near rows come to the plain ones, and the map if that tells something."""
        near = agreement.of_rows(found, plain)
        said = {key: f"{value:.1e}" for key, value in near.items()}
        if self._whole:
            maps = agreement.of_maps(*(np.stack([rows[i] for i in sorted(rows)]) for rows in (found, plain)))
            said |= {"map_spearman": f"{maps['map_spearman']:.6f}"}
            said |= {"top_L_overlap": f"{maps['top_L_overlap']:.3f}"}
        return said

    def _memory_of_a_process(self, mode: str) -> float:
        """Run one batch in a process of its own; NaN where that cannot be told."""
        if self._options.no_memory or self._device != "cpu":
            return float("nan")
        command = [sys.executable, str(REPOSITORY / "benchmarks" / "speed_modes.py")]
        command += [self._name, str(len(self._residues)), mode]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return float(done.stdout) if done.returncode == 0 else float("nan")


COLUMNS = [
    "model", "sequence", "length", "mode", "rounds", "plain_seconds_a_row", "seconds_a_row", "ratio",
    "ratio_lowest", "ratio_highest", "peak_type", "peak_gflops", "of_peak", "of_float32_peak",
    "floor_seconds_a_row", "largest_error", "relative_error", "map_spearman", "top_L_overlap",
    "layers_in_float32", "memory_mb", "plain_memory_mb",
]  # fmt: skip


def _van_der_corput(k: int) -> float:
    """Return the k-th of 1/2, 1/4, 3/4, 1/8, 5/8, …: the bits of k, mirrored behind the point."""
    found, half = 0.0, 0.5
    while k:
        found, half, k = found + half * (k & 1), half / 2, k >> 1
    return found


def _rounded(value: float, digits: int) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}f}"


def show(rows: list[dict[str, Any]]) -> None:
    """Print a table."""
    if not rows:
        return
    widths = {key: max(len(key), *(len(str(row[key])) for row in rows)) for key in rows[0]}
    print("  ".join(key.ljust(width) for key, width in widths.items()))
    for row in rows:
        print("  ".join(str(row[key]).ljust(width) for key, width in widths.items()), flush=True)


def read(path: Path) -> list[dict[str, Any]]:
    """Read a table, empty where there is none."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict[str, Any]], about: dict[str, str]) -> None:
    """Write a table as CSV, the machine's facts in every row that has none of its own."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys([*rows[0], *about])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(about | row for row in rows)


def cells(options: argparse.Namespace) -> list[tuple[str, str, str]]:
    """Model, name of the sequence, and residues of each cell."""
    examples = catjac.examples()
    found = []
    for name in options.models:
        if name == "mini":
            found += [(name, each, str(examples[each].sequence.residues)) for each in options.proteins]
        found += [(name, f"{length} residues", some_residues(length)) for length in options.lengths]
    return found


def _cell_of(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[key]) for key in ("model", "sequence", "mode"))


def main() -> None:
    """Measure, print, and write where asked."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="CSV file")
    parser.add_argument("--append", action="store_true", help="keep other cells of that file")
    parser.add_argument("--models", nargs="+", choices=["mini", *SHAPES])
    parser.add_argument("--lengths", nargs="*", type=int)
    parser.add_argument("--proteins", nargs="*", default=["ww", "bpti", "sh3"], help="examples, for mini")
    parser.add_argument("--modes", nargs="+", choices=[*TYPES, "preview"])
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the rounds of a cell may take")
    parser.add_argument("--preview-seconds", type=float, default=60.0)
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--threads", type=int, help="torch's threads; its own choice by default")
    parser.add_argument("--device", default="cuda" if gpu else "cpu")
    parser.add_argument("--table", type=Path, help="print that CSV file as Markdown instead of measuring")
    parser.add_argument("--plot", type=Path, help="draw that CSV file as SVG")
    parser.add_argument("--readme", type=Path, help="put the table between its marks in that file")
    options = parser.parse_args()
    if options.table is None:
        on_gpu = options.device.startswith("cuda")
        options.modes = options.modes or (ON_GPU if on_gpu else ON_CPU)
        options.models = options.models or ["mini", "8M", "35M", "150M", *(["650M", "3B"] if on_gpu else [])]
        if options.lengths is None:
            options.lengths = [128, 256, 512, 1022] if on_gpu else [64, 128, 256]
        measure(options)
        options.table = options.out
    if options.table is not None:
        report(options)


def measure(options: argparse.Namespace) -> None:
    """Measure all cells; what is done stands in the file after each."""
    if options.threads:
        torch.set_num_threads(options.threads)
    about = facts(options.device)
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    peak = peaks(options.device, {"float32", *(TYPES[mode] for mode in options.modes if mode in TYPES)})
    print(", ".join(f"{key} {rate / 1e9:.0f} GFLOP/s" for key, rate in peak.items()))
    rows = read(options.out) if options.out and options.append else []
    for name, sequence, residues in cells(options):
        made = Cell(name, sequence, residues, options, peak).measure()
        show(made)
        new = {_cell_of(row) for row in made}
        rows = [row for row in rows if _cell_of(row) not in new] + [row | about for row in made]
        if options.out and rows:
            write(options.out, rows, about)


def report(options: argparse.Namespace) -> None:
    """Print a table of the CSV file, and draw it where asked."""
    rows = read(options.table)
    text = markdown(rows)
    print(text)
    if options.plot:
        options.plot.write_text(plot(rows), encoding="utf-8")
    if options.readme:
        fill_readme(
            options.readme, text, "speed table" if options.device == "cpu" else "speed table of a GPU"
        )


if __name__ == "__main__":
    main()
