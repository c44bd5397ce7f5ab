"""Fit Potts models to alignments with known structures: how long it takes, how many contacts it finds.

``python benchmarks/potts_families.py FOLDER OUT.csv`` where FOLDER holds ``families.json`` and, for each
family of it, ``<id>.a3m.gz`` and ``<id>.pdb.gz``. One row a family: residues, sequences, effective sequences,
seconds (reading and weights included) and processor seconds, residual, and the precision among the best L,
L/2 and L/5 pairs with |i − j| ≥ 6, beside the data's reference for L (mean-field direct coupling analysis).
Families that OUT.csv holds already are not fitted again.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from pathlib import Path

import torch

import catjac
from catjac_widgets.analysis.benchmark.precision import precision_at_l
from catjac_widgets.proteins.alignments import read_alignment


def main(folder: Path, output: Path) -> None:
    """Write one row a family, as they come."""
    families = json.loads((folder / "families.json").read_text(encoding="utf-8"))
    # Quick ones first, so that there is something to look at.
    families.sort(key=lambda family: family["n_sequences"] * family["length"] ** 2)
    done: set[str] = set()
    if output.is_file():
        with output.open(newline="", encoding="utf-8") as file:
            done = {row["family"] for row in csv.DictReader(file)}
    with output.open("a" if done else "w", newline="", encoding="utf-8") as file:
        table = None
        for family in families:
            name = family["id"]
            if name in done:
                continue
            row: dict[str, object] = {"family": name, "residues": family["length"]}
            started, worked = time.perf_counter(), time.process_time()
            alignment = read_alignment(folder / f"{name}.a3m.gz")
            potts = catjac.potts.fit(alignment, progress=False)
            seconds = time.perf_counter() - started
            row |= {"sequences": len(alignment), "neff": round(potts.neff, 1)}
            row |= {"seconds": round(seconds, 2), "cpu_seconds": round(time.process_time() - worked, 2)}
            row |= {"threads": torch.get_num_threads()}
            row |= {"residual": f"{potts.residual:.2e}"}
            truth = catjac.structure(
                folder / f"{name}.pdb.gz", chain=family["chain"], sequence=family["query"]
            )
            scores = catjac.potts.contacts(potts)
            for label, fraction in (("l", 1.0), ("l_half", 0.5), ("l_fifth", 0.2)):
                row[f"precision_{label}"] = round(precision_at_l(scores, truth, fraction=fraction), 4)
            row["reference_l"] = family["p_at_l"]
            if table is None:
                table = csv.DictWriter(file, list(row), lineterminator="\n")
                if not done:
                    table.writeheader()
            table.writerow(row)
            file.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
