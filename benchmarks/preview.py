"""How soon a preview of the contact map comes, and how near to the exact map it is.

    python benchmarks/preview.py [--out preview.csv] [--append] [--proteins bpti fibronectin family.fasta ...]
                                 [--shapes 8M] [--length 128] [--letters 2 3] [--rounds 3]

Quality is measured with `mini` on the families that it was trained on, or, without CATJAC_DATA, on examples;
models of random weights, in the shape of the named ESM-2, tell the time alone. The exact Jacobian's time is
that of its batches of 95 sequences, of which some are run in each round, between previews; times are CPU
seconds of one thread, the least of the rounds, and each frame's share counts all frames before it in a
preview of that many letters, and the making of its map. "spearman" and "top_L_overlap" compare with the exact
map over pairs at least six residues apart. "exact rows alone" is what a tenth of the rows, spread over the
protein, gives without a preview: the mean norm of both directions where both are there, of one where only one
is, and the mean of all for the rest.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY / "src"), str(REPOSITORY / "benchmarks"), str(REPOSITORY)]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from machine import facts  # noqa: E402
from scipy.stats import spearmanr  # noqa: E402
from shapes import SHAPES, random_model, some_residues  # noqa: E402
from speed import show, write  # noqa: E402

import catjac  # noqa: E402
from catjac_widgets.analysis.contacts.norms import block_norms  # noqa: E402
from catjac_widgets.analysis.contacts.operations import apc, zero_diagonal  # noqa: E402
from catjac_widgets.analysis.previews.preview import approximate_jacobians, preview_label, preview_map  # noqa: E402
from catjac_widgets.engine.plans.jacobian import Plan  # noqa: E402
from catjac_widgets.engine.plans.request import make_request  # noqa: E402
from catjac_widgets.language_models.base import Substitution  # noqa: E402
from catjac_widgets.language_models.esm.adapter import FairEsm  # noqa: E402

#: Positions whose substitutions share a batch of the sweep.
POSITIONS_A_BATCH = 5

#: Batches of the exact sweep that are timed in each round.
BATCHES_A_ROUND = 4


def proteins(names: list[str]) -> dict[str, Any]:
    """Sequences by name: examples, families, FASTA files; by default the families that `mini` knows."""
    examples = {name: protein.sequence for name, protein in catjac.examples().items()}
    families = {}
    if os.environ.get("CATJAC_DATA"):
        from training.recipe import TRAINED

        folder = Path(os.environ["CATJAC_DATA"]) / "families"
        families = {
            name: catjac.io.read_alignment(folder / f"{name}.a3m.gz").query.replace("-", "")
            for name in TRAINED
        }
    if names == ["none"]:
        return {}
    known = examples | families
    if names:
        return {name: known.get(name, Path(name)) for name in names}
    return families or examples


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


def frames(model: FairEsm, residues: str, letters: int, plan: Plan) -> list[tuple[str, float, Any]]:
    """Label, CPU seconds since the start and map of each frame of a preview."""
    found = []
    began = time.process_time()
    if model.has_contact_head:
        head = model.contact_probabilities(residues, [None])[0]
        found.append(("contact head", time.process_time() - began, head))
    for step in approximate_jacobians(plan, model, letters):
        if step is not None:
            scores = preview_map(plan, step[1], preview_label(step[0])).values
            found.append((preview_label(step[0]), time.process_time() - began, scores))
    return found


def rows_only(jacobian: Any) -> np.ndarray:
    """Map of a tenth of the rows, spread over the protein."""
    length = jacobian.sizes["pos_out"]
    there = np.unique(np.linspace(0, length - 1, max(2, round(length / 10))).round().astype(int))
    norms = np.full((length, length), np.nan)
    norms[there] = block_norms(jacobian).values[there]
    both = np.stack([norms, norms.T])
    known = ~np.isnan(both).all(0)
    score = np.full((length, length), np.nanmean(norms))
    score[known] = np.nanmean(both[:, known], axis=0)
    return apc(zero_diagonal(score))


def measure(
    model: FairEsm, protein: str, residues: str, letters: list[int], rounds: int
) -> list[dict[str, Any]]:
    """Measure one protein: a row of the table for each frame."""
    real = model.name == "mini"
    plan = make_request(residues, model).plan
    length = len(residues)
    exact, least, maps = np.inf, {}, {}
    for _ in range(rounds):
        exact = min(exact, exact_seconds(model, residues))
        for number in letters:
            for label, seconds, scores in frames(model, residues, number, plan):
                least[label], maps[label] = min(least.get(label, np.inf), seconds), scores
    exact = min(exact, exact_seconds(model, residues))
    right = None
    if real:
        jacobian = catjac.jacobian(residues, model, progress=False, cache=False)
        right = catjac.contacts(jacobian).values
        maps["exact rows alone"] = rows_only(jacobian)
        least["exact rows alone"] = exact * max(2, round(length / 10)) / length
    far = np.triu_indices(length, 6)
    rows = []
    for label, scores in maps.items():
        row = {
            "model": model.name,
            "protein": protein,
            "length": length,
            "frame": label,
            "seconds": f"{least[label]:.3f}",
            "exact_seconds": f"{exact:.2f}",
            "share_of_exact": f"{least[label] / exact:.3f}",
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
    parser.add_argument("--append", action="store_true", help="keep what the CSV file holds")
    parser.add_argument("--proteins", nargs="*", default=[], help="examples, families, FASTA files, or none")
    parser.add_argument("--shapes", nargs="*", default=["8M"], choices=[*SHAPES, "none"])
    parser.add_argument("--length", type=int, default=128, help="residues for the random shapes")
    parser.add_argument("--letters", nargs="*", type=int, default=[2, 3], help="run at each position")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    about = facts("cpu")
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    rows: list[dict[str, Any]] = []
    mini = random_model("mini", "cpu")
    for name, sequence in proteins(options.proteins).items():
        residues = str(catjac.as_sequence(sequence).residues)
        made = measure(mini, name, residues, options.letters, options.rounds)
        show(made)
        rows += made
    for shape in options.shapes:
        if shape == "none":
            continue
        model = random_model(shape, "cpu")
        residues = some_residues(options.length)
        made = measure(model, "random weights", residues, options.letters, options.rounds)
        show(made)
        rows += made
    if options.out:
        former: list[dict[str, Any]] = []
        if options.append and options.out.exists():
            with options.out.open(encoding="utf-8") as file:
                former = list(csv.DictReader(file))
        write(options.out, [*former, *({**row, **about} for row in rows)], {})


if __name__ == "__main__":
    main()
