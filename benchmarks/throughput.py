"""Measure how many proteins an hour: contact maps of random proteins of 50–300 residues, one after another.

The proteins go through `catjac.jacobians`; of each the contact map is taken. `sample`: of a few proteins,
once keeping nothing, once keeping every Jacobian in a cache folder; the plain loop over fair-esm
(`plain_loop.py`) runs between them on the same protein, on every eighth position, and its time is scaled to
all of them; ratios are paired by protein. `all`: every protein once, keeping nothing. It may be done in
pieces: what each protein took is written to `throughput_proteins.csv` at once, and what stands there is not
run again. `batches`: what a sequence takes in batches of several sizes, to `throughput_batches.csv`.

Seconds are those of the clock. Beside them stand the processor time and the load: where others wanted the
same cores, the clock says less than the processor time.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measured import Table, machine
from plain_loop import plain_row, plain_wild_type

from catjac_widgets.language_models.base import Substitution

#: One position in so many is run by the plain loop.
EVERY = 8


def proteins(number: int, seed: int = 0) -> list[str]:
    """Random residues, lengths uniform over 50–300."""
    random = np.random.default_rng(seed)
    lengths = random.integers(50, 301, number)
    return ["".join(random.choice(list("ACDEFGHIKLMNPQRSTVWY"), length)) for length in lengths]


def spread(found: list[str], number: int, longest: int) -> list[str]:
    """Choose those whose lengths are nearest to evenly spaced ones up to `longest`."""
    wanted = np.linspace(50, longest, number)
    return [min(found, key=lambda residues, at=at: abs(len(residues) - at)) for at in wanted]


def model_of(name: str) -> Any:
    """Return mini, or ESM-2 8M's shape with random weights."""
    import catjac_widgets as catjac

    if name == "mini":
        return catjac.load_model("mini")
    import esm
    import torch

    torch.manual_seed(0)
    model = esm.ESM2(num_layers=6, embed_dim=320, attention_heads=20).eval()
    return catjac.wrap(model, model.alphabet, name="8M shape")


def maps(found: list[str], model: Any, *, keep: bool, numerics: str = "exact") -> Iterator[float]:
    """Make the contact maps of all, yielding the seconds that each took."""
    import catjac_widgets as catjac

    with tempfile.TemporaryDirectory() as folder:
        os.environ["CATJAC_CACHE"] = folder
        started = time.perf_counter()
        for J in catjac.jacobians(found, model, numerics=numerics, cache=keep, progress=False):
            catjac.contacts(J)
            yield time.perf_counter() - started
            started = time.perf_counter()


def plain(residues: str, model: Any) -> float:
    """Seconds that the plain loop would take for all positions, from every eighth."""
    started = time.perf_counter()
    wild_type = plain_wild_type(model.model, residues)
    positions = range(0, len(residues), EVERY)
    for position in positions:
        plain_row(model.model, residues, position, wild_type)
    return (time.perf_counter() - started) * len(residues) / len(positions)


def batches(name: str, model: Any, rounds: int = 5) -> Table:
    """Time batches of several sizes in turn: where a larger one is no faster, proteins need not share one."""
    table = Table()
    for length in (50, 100, 200):
        residues = "".join(np.random.default_rng(length).choice(list("ACDEFGHIKLMNPQRSTVWY"), length))
        runner = model.prepare(residues)
        every = [Substitution(k, letter) for k in range(length) for letter in model.letters]
        taken: dict[int, list[float]] = {size: [] for size in (19, 38, 76, 152)}
        for turn in range(rounds + 1):
            for size, found in taken.items():
                started = time.perf_counter()
                runner.rows(every[:size])
                if turn:
                    found.append(1e6 * (time.perf_counter() - started) / size)
        for size, found in taken.items():
            table.add("a sequence", f"{name}, {length} residues, {size} at once", found, "µs")
    return table


def all_in_pieces(
    name: str,
    numerics: str,
    found: list[str],
    model: Any,
    path: Path,
    limit: float,
    facts: dict[str, Any],
) -> list[dict[str, str]]:
    """Go on with the proteins that the file lacks, for so many seconds, and return all that it holds then."""
    done: list[dict[str, str]] = []
    if path.exists():
        with path.open(encoding="utf-8") as file:
            done = list(csv.DictReader(file))
    there = {each["protein"] for each in done if (each["model"], each["numerics"]) == (name, numerics)}
    missing = [number for number in range(len(found)) if str(number + 1) not in there]
    started = time.perf_counter()
    processor = time.process_time()
    for number, seconds in zip(
        missing,
        maps([found[number] for number in missing], model, keep=False, numerics=numerics),
        strict=False,
    ):
        latest = {
            "model": name,
            "numerics": numerics,
            "protein": str(number + 1),
            "length": str(len(found[number])),
            "seconds": f"{seconds:.3f}",
            "processor_s": f"{time.process_time() - processor:.2f}",
            "load": f"{os.getloadavg()[0]:.1f}",
            "processor": str(facts["processor"]),
            "commit": str(facts["commit"]),
        }
        processor = time.process_time()
        done.append(latest)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, latest, lineterminator="\n")
            writer.writeheader()
            writer.writerows(done)
        if time.perf_counter() - started > limit:
            break
    return [each for each in done if (each["model"], each["numerics"]) == (name, numerics)]


def row(
    run: str, mode: str, name: str, done: list[str], seconds: list[float], against: list[float]
) -> dict[str, Any]:
    """Sum up one mode; `against` are the plain loop's seconds on the same proteins, or nothing."""
    total, residues = sum(seconds), sum(map(len, done))
    ratios = np.array(against) / np.array(seconds) if against else np.array([])
    return {
        "model": name,
        "run": run,
        "mode": mode,
        "proteins": len(done),
        "lengths": f"{min(map(len, done))}-{max(map(len, done))}",
        "residues": residues,
        "seconds": f"{total:.1f}",
        "proteins_per_hour": f"{3600 * len(done) / total:.1f}",
        "rows_per_s": f"{residues / total:.2f}",
        "passes_per_s": f"{19 * residues / total:.1f}",
        "ratio_to_plain_loop": f"{np.median(ratios):.2f}" if ratios.size else "",
        "lowest": f"{ratios.min():.2f}" if ratios.size else "",
        "highest": f"{ratios.max():.2f}" if ratios.size else "",
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def write(path: Path | None, rows: list[dict[str, Any]], facts: dict[str, Any]) -> None:
    """Write the rows to a file, in place of those of the same model and mode."""
    if path is None:
        return
    kept: list[dict[str, Any]] = []
    if path.exists():
        with path.open(encoding="utf-8") as file:
            kept = list(csv.DictReader(file))
    new = {(each["model"], each["run"], each["mode"]) for each in rows}
    kept = [each for each in kept if (each["model"], each["run"], each["mode"]) not in new]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0], *facts], lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept + [each | facts for each in rows])


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["all", "sample", "batches"])
    parser.add_argument("--model", choices=["mini", "8M"], default="mini")
    parser.add_argument("--proteins", type=int, default=200)
    parser.add_argument("--sample", type=int, default=6, help="How many proteins of `sample`.")
    parser.add_argument("--longest", type=int, default=300, help="Residues of the longest of `sample`.")
    parser.add_argument("--numerics", choices=["exact", "delta"], default="exact", help="Of `all`.")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="Stop `all` after so long.")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    # The state of the repository now, not when a long run ends.
    model, found, facts = model_of(chosen.model), proteins(chosen.proteins), machine()
    name = chosen.model if chosen.model == "mini" else f"{chosen.model}, random weights"
    if chosen.what == "batches":
        table = batches(name, model)
        table.print()
        if chosen.out:
            table.write(chosen.out)
        return
    for _ in maps([found[0][:50]], model, keep=True):
        plain(found[0][:50], model)
    if chosen.what == "all":
        path = (chosen.out or Path("throughput.csv")).with_name("throughput_proteins.csv")
        done = all_in_pieces(name, chosen.numerics, found, model, path, chosen.seconds, facts)
        taken_of = [found[int(each["protein"]) - 1] for each in done]
        run = f"of {len(found)}"
        mode = "contact maps" if chosen.numerics == "exact" else f"contact maps, {chosen.numerics}"
        rows = [row(run, mode, name, taken_of, [float(each["seconds"]) for each in done], [])]
        write(chosen.out, rows, facts)
    else:
        found = spread(found, chosen.sample, chosen.longest)
        taken: dict[str, list[float]] = {"plain loop": [], "contact maps": [], "Jacobians kept": []}
        for residues in found:
            taken["plain loop"].append(plain(residues, model))
            taken["contact maps"] += maps([residues], model, keep=False)
            taken["Jacobians kept"] += maps([residues], model, keep=True)
        rows = [
            row("sample", mode, name, found, seconds, [] if mode == "plain loop" else taken["plain loop"])
            for mode, seconds in taken.items()
        ]
        write(chosen.out, rows, facts)
    for each in rows:
        print(", ".join(f"{key} {value}" for key, value in each.items() if value != ""))


if __name__ == "__main__":
    main()
