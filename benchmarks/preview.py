"""How soon a preview of the contact map comes, and how near to the exact map it is.

    python benchmarks/preview.py [--out preview.csv] [--proteins bpti fibronectin family.fasta ...]
                                 [--shapes 8M] [--length 128] [--probes 3] [--rounds 3]

Quality is measured with `mini` on real proteins; models of random weights, in the shape of the named ESM-2,
tell the time alone. The exact Jacobian's time is that of its batches of 95 sequences, of which some are run
in each round, between previews; times are CPU seconds of one thread, the least of the rounds, and each
frame's share counts all frames before it and the making of its map. "spearman" and "top_L_overlap" compare
with the exact map over pairs at least six residues apart.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY / "src"), str(REPOSITORY / "benchmarks"), str(REPOSITORY)]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from scipy.stats import spearmanr  # noqa: E402
from speed import SHAPES, facts, random_model, show, some_residues, write  # noqa: E402

import catjac  # noqa: E402
from catjac_widgets.analysis.previews import preview_map, probes_label  # noqa: E402
from catjac_widgets.engine.computing import plan_for  # noqa: E402
from catjac_widgets.engine.plan import Plan  # noqa: E402
from catjac_widgets.language_models.fair_esm import FairEsm  # noqa: E402
from catjac_widgets.language_models.protocol import Substitution  # noqa: E402

#: Positions whose substitutions share a batch of the sweep.
POSITIONS_A_BATCH = 5

#: Batches of the exact sweep that are timed in each round.
BATCHES_A_ROUND = 4


def proteins(names: list[str]) -> dict[str, Any]:
    """Sequences by name: examples, FASTA files, and by default also the longest family that `mini` knows."""
    examples = catjac.examples()
    if names:
        return {name: examples[name].sequence if name in examples else Path(name) for name in names}
    found: dict[str, Any] = {
        name: examples[name].sequence for name in ("ww", "bpti", "rrm", "lipoyl", "fibronectin")
    }
    if os.environ.get("CATJAC_DATA"):
        from training.recipe import TRAINED

        folder = Path(os.environ["CATJAC_DATA"]) / "families"
        queries = {
            name: catjac.read_alignment(folder / f"{name}.a3m.gz").query.replace("-", "") for name in TRAINED
        }
        longest = max(queries, key=lambda name: len(queries[name]))
        found[longest] = queries[longest]
    return found


def exact_seconds(model: FairEsm, residues: str) -> float:
    """Run some batches of the sweep; the least of them, for all positions."""
    runner = model.prepare(residues)
    size = min(POSITIONS_A_BATCH, len(residues))
    least = np.inf
    for k in range(BATCHES_A_ROUND):
        first = k * (len(residues) - size) // BATCHES_A_ROUND
        batch = [
            Substitution(position, letter)
            for position in range(first, first + size)
            for letter in model.letters
            if letter != residues[position]
        ]
        began = time.process_time()
        runner.rows(batch)
        least = min(least, (time.process_time() - began) * len(residues) / size)
    return float(least)


def frames(model: FairEsm, residues: str, probes: int, plan: Plan) -> list[tuple[str, float, Any]]:
    """Label, CPU seconds since the start and map of each frame of a preview."""
    found = []
    began = time.process_time()
    if model.has_contact_head:
        head = model.contact_probabilities(residues, [None])[0]
        found.append(("attention head", time.process_time() - began, head))
    for step in model.first_order(residues, None, probes):
        if step is not None:
            scores = preview_map(plan, step[1]).values
            found.append((probes_label(step[0]), time.process_time() - began, scores))
    return found


def measure(model: FairEsm, protein: str, residues: str, probes: int, rounds: int) -> list[dict[str, Any]]:
    """Measure one protein: a row of the table for each frame."""
    real = model.name == "mini"
    plan, _ = plan_for(residues, model)
    right = catjac.contacts(catjac.jacobian(residues, model, progress=False)).values if real else None
    length = len(residues)
    exact, least = np.inf, np.full(probes + 2, np.inf)
    for _ in range(rounds):
        exact = min(exact, exact_seconds(model, residues))
        made = frames(model, residues, probes, plan)
        least = np.minimum(least[: len(made)], [seconds for _, seconds, _ in made])
    exact = min(exact, exact_seconds(model, residues))
    far = np.triu_indices(length, 6)
    rows = []
    for (label, _, scores), seconds in zip(made, least, strict=True):
        row = {
            "model": model.name,
            "protein": protein,
            "length": length,
            "frame": label,
            "seconds": f"{seconds:.3f}",
            "exact_seconds": f"{exact:.2f}",
            "share_of_exact": f"{seconds / exact:.3f}",
            "spearman": "",
            "top_L_overlap": "",
        }
        if right is not None:
            ours, theirs = scores[far], right[far]
            top = [set(np.argsort(-values)[:length]) for values in (ours, theirs)]
            row["spearman"] = f"{spearmanr(ours, theirs)[0]:.3f}"
            row["top_L_overlap"] = f"{len(top[0] & top[1]) / length:.3f}"
        rows.append(row)
    return rows


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="CSV file")
    parser.add_argument("--proteins", nargs="*", default=[], help="examples or FASTA files")
    parser.add_argument("--shapes", nargs="*", default=["8M"], choices=list(SHAPES))
    parser.add_argument("--length", type=int, default=128, help="residues for the random shapes")
    parser.add_argument("--probes", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    about = facts("cpu")
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    rows: list[dict[str, Any]] = []
    mini = random_model("mini", "cpu")
    for name, sequence in proteins(options.proteins).items():
        residues = str(catjac.as_sequence(sequence).residues)
        rows += measure(mini, name, residues, options.probes, options.rounds)
        show(rows[-options.probes - 2 :])
    for shape in options.shapes:
        model = random_model(shape, "cpu")
        residues = some_residues(options.length)
        made = measure(model, "random weights", residues, options.probes, options.rounds)
        show(made)
        rows += made
    if options.out:
        write(options.out, rows, about)


if __name__ == "__main__":
    main()
