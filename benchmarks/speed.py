"""How fast a Jacobian is made, against the plain loop over fair-esm, in one run on one machine.

    python benchmarks/speed.py [--out speed.csv] [--models 8M 35M 150M mini] [--lengths 64 128 256]
                               [--rounds 7] [--threads N] [--device cpu]

Each round computes the same row (all substitutions of one position) with the plain loop and with every mode
of ours, one after the other, in an order that turns from round to round; the ratio is the median over rounds
of (plain / ours), so that what slows the machine down for a while slows both. Models but `mini` have random
weights in the shape of the named ESM-2: their speed is the real one's, their exactness that of such weights.

"of_the_float32_peak" is the share of the machine's own rate for large float32 matrix products, measured in
the same run, that the layers' products of the 19 sequences come to.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY / "src"), str(REPOSITORY / "benchmarks")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from plain_loop import plain_row, plain_wild_type  # noqa: E402
from scipy.stats import spearmanr  # noqa: E402

from catjac_widgets.alphabets import ESM_LETTERS  # noqa: E402
from catjac_widgets.language_models.fair_esm import FairEsm  # noqa: E402
from catjac_widgets.language_models.protocol import Substitution  # noqa: E402

#: Layers, channels, attention heads of ESM-2 (Lin et al., Science 2023, table S1).
SHAPES = {
    "8M": (6, 320, 20),
    "35M": (12, 480, 20),
    "150M": (30, 640, 20),
    "650M": (33, 1280, 20),
    "3B": (36, 2560, 40),
}


def random_model(name: str, device: str) -> FairEsm:
    """Make an ESM-2 of that shape with random weights, or `mini`."""
    if name == "mini":
        from catjac_widgets.language_models.registry import load_model

        found = load_model("mini", device=device)
        assert isinstance(found, FairEsm)
        return found
    import esm

    torch.manual_seed(0)
    layers, channels, heads = SHAPES[name]
    alphabet = esm.Alphabet.from_architecture("ESM-1b")
    return FairEsm(esm.model.esm2.ESM2(layers, channels, heads, alphabet).eval().to(device), name=name)


def some_residues(length: int) -> str:
    """Repeat an example up to that length, so that `mini` has something that it knows."""
    import catjac

    known = str(catjac.examples()["fibronectin"].sequence.residues)
    return (known * (length // len(known) + 1))[:length]


def ready(device: str) -> None:
    """Wait for the device."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def seconds(call: Callable[[], Any], device: str) -> float:
    """Time one call."""
    ready(device)
    began = time.perf_counter()
    call()
    ready(device)
    return time.perf_counter() - began


def peak_rate(device: str, dtype: torch.dtype = torch.float32) -> float:
    """Operations a second of a large matrix product, the best of ten."""
    size = 2048 if device == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / min(seconds(lambda: a @ b, device) for _ in range(10))


def layer_operations(model: Any, length: int) -> float:
    """Operations of one sequence in the layers' matrix products, attention's included."""
    layer = model.layers[0]
    dense = 2.0 * (4 * layer.embed_dim**2 + 2 * layer.embed_dim * layer.ffn_embed_dim) * (length + 2)
    return len(model.layers) * (dense + 4.0 * layer.embed_dim * (length + 2) ** 2)


def measure(name: str, length: int, modes: list[str], rounds: int, device: str) -> list[dict[str, Any]]:
    """Measure one model at one length: a row of the table for each mode."""
    model = random_model(name, device)
    residues = some_residues(length)
    wild_type = plain_wild_type(model.model, residues)
    runners = {mode: model.prepare(residues, None, mode) for mode in modes}

    def ours(mode: str, position: int) -> np.ndarray:
        made = [Substitution(position, letter) for letter in ESM_LETTERS if letter != residues[position]]
        return runners[mode].rows(made)

    spent: dict[str, list[float]] = {mode: [] for mode in ["plain", *modes]}
    positions = [(2 * k + 1) * length // (2 * rounds) for k in range(rounds)]
    calls: dict[str, Callable[[int], Any]] = {
        "plain": lambda p: plain_row(model.model, residues, p, wild_type)
    }
    calls |= {mode: (lambda p, mode=mode: ours(mode, p)) for mode in modes}
    for call in calls.values():
        call(0)
    order = list(calls)
    for k, position in enumerate(positions):
        for mode in order[k % len(order) :] + order[: k % len(order)]:
            spent[mode].append(seconds(lambda mode=mode, p=position: calls[mode](p), device))
    peak = peak_rate(device)
    rows = []
    checked = positions[: min(3, rounds)]
    exact = {p: plain_row(model.model, residues, p, wild_type) for p in checked}
    for mode in modes:
        baseline = runners[mode].wild_type()
        worst, error, total = 0.0, 0.0, 0.0
        for p in checked:
            others = np.arange(length) != p
            letters = [k for k, letter in enumerate(ESM_LETTERS) if letter != residues[p]]
            difference = (ours(mode, p) - baseline) - exact[p][letters]
            worst = max(worst, float(np.abs(difference).max()))
            error += float(np.square(difference[:, others]).sum())
            total += float(np.square(exact[p][letters][:, others]).sum())
        ratios = np.array(spent["plain"]) / np.array(spent[mode])
        median = float(np.median(spent[mode]))
        rows.append(
            {
                "model": name,
                "length": length,
                "mode": mode,
                "plain_seconds_a_row": f"{np.median(spent['plain']):.4f}",
                "seconds_a_row": f"{median:.4f}",
                "ratio": f"{np.median(ratios):.2f}",
                "ratio_lowest": f"{ratios.min():.2f}",
                "ratio_highest": f"{ratios.max():.2f}",
                "of_the_float32_peak": f"{19 * layer_operations(model.model, length) / median / peak:.2f}",
                "largest_error_logits": f"{worst:.1e}",
                "relative_error_off_diagonal": f"{np.sqrt(error / total):.1e}",
                "layers_in_float32": len(getattr(runners[mode], "in_float32", [])),
                "peak_gflops": f"{peak / 1e9:.0f}",
                "peak_memory_mb": f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}",
            }
        )
    return rows


def map_agreement(mode: str, device: str) -> list[dict[str, Any]]:
    """Whole Jacobians of the examples with `mini`: Spearman and top-L overlap with the exact map."""
    import catjac

    rows = []
    for name in ("ww", "bpti", "sh3"):
        protein = catjac.examples()[name]
        exact, found = (
            catjac.jacobian(protein.sequence, "mini", numerics=numerics, cache=False, progress=False)
            for numerics in ("exact", mode)
        )
        length = len(protein.sequence)
        far = np.triu_indices(length, 6)
        ours, theirs = (catjac.contacts(J).values[far] for J in (found, exact))
        top = [set(np.argsort(-values)[:length]) for values in (ours, theirs)]
        others = exact.pos_in != exact.pos_out
        error = float(np.sqrt((np.square(found - exact) * others).sum() / (np.square(exact) * others).sum()))
        rows.append(
            {
                "protein": name,
                "mode": mode,
                "spearman": f"{spearmanr(ours, theirs)[0]:.5f}",
                "top_L_overlap": f"{len(top[0] & top[1]) / length:.3f}",
                "relative_error_off_diagonal": f"{error:.4f}",
            }
        )
    return rows


def facts(device: str) -> dict[str, str]:
    """Say what the numbers were measured on."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    if device.startswith("cuda"):
        processor = torch.cuda.get_device_name()
    return {
        "device": processor,
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "load_before": f"{os.getloadavg()[0]:.1f}",
        "torch": torch.__version__,
        "commit": commit,
    }


def show(rows: list[dict[str, Any]]) -> None:
    """Print a table."""
    if not rows:
        return
    widths = {key: max(len(key), *(len(str(row[key])) for row in rows)) for key in rows[0]}
    print("  ".join(key.ljust(width) for key, width in widths.items()))
    for row in rows:
        print("  ".join(str(row[key]).ljust(width) for key, width in widths.items()), flush=True)


def write(path: Path, rows: list[dict[str, Any]], about: dict[str, str]) -> None:
    """Write a table as CSV, the machine's facts in every row."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0], *about], lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | about for row in rows)


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="CSV file for the speeds; maps go to '<stem>_maps.csv'")
    parser.add_argument(
        "--models", nargs="+", default=["mini", "8M", "35M", "150M"], choices=["mini", *SHAPES]
    )
    parser.add_argument("--lengths", nargs="+", type=int, default=[64, 128, 256])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, help="torch's threads; its own choice by default")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    coarse = "delta-int8" if options.device == "cpu" else "delta-bfloat16"
    about = facts(options.device)
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    rows = []
    for name in options.models:
        for length in options.lengths:
            made = measure(name, length, ["exact", coarse], options.rounds, options.device)
            show(made)
            rows += made
    maps = map_agreement(coarse, options.device)
    show(maps)
    if options.out:
        write(options.out, rows, about)
        write(options.out.with_name(f"{options.out.stem}_maps.csv"), maps, about)


if __name__ == "__main__":
    main()
