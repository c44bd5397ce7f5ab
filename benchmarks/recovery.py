"""Masked recovery of a model on the protein families, as tables.

    CATJAC_DATA=folder python benchmarks/recovery.py [--model mini] [--out benchmarks/recovery]

Writes curves.csv (per cent recovered and mean R against flank length, with the segments and proteins behind
each row) and advantage.csv (flanks against random residues, over all flank lengths): for the families that
the embedded model was trained on and for the others, from the contact head and from the fast Jacobian beside
its Potts control. Segments and distances are scaled to chains of 31 to 159 residues: 12 residues instead of
22, 5 beyond either end instead of 10, Σ O > 15 · 12/22 instead of 15, distant means 10 residues away instead
of 30.

`mini` has memorised its families by construction: its rows show how the tool works and are no evidence about
ESM-2.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import catjac

REPOSITORY = Path(__file__).resolve().parent.parent
SCALED = {"size": 12, "margin": 5, "minimum_contacts": 15 * 12 / 22, "avoided": 10}
PATTERNS = ("flanking", "random", "random_distant")
SOURCES: dict[str, dict[str, Any]] = {
    "contact_head": {},
    "jacobian": {"variant": "fast", "steps": [0, 1, 3, 6, 10, 15], "picks": 1},
}


def families() -> dict[str, dict[str, str]]:
    """Give queries by name, of the families that `mini` was trained on and of the others."""
    folder = os.environ.get("CATJAC_DATA", "")
    listed = Path(folder) / "families" / "families.json"
    if not folder or not listed.is_file():
        sys.exit("CATJAC_DATA names no folder with families/families.json; set it.")
    card = REPOSITORY / "src" / "catjac_widgets" / "language_models" / "esm" / "mini" / "mini.json"
    known = json.loads(card.read_text(encoding="utf-8"))["families"]
    trained = {family["id"] for family in known if family.get("trained", True)}
    found: dict[str, dict[str, str]] = {"trained on": {}, "others": {}}
    for family in json.loads(listed.read_text(encoding="utf-8")):
        found["trained on" if family["id"] in trained else "others"][family["id"]] = family["query"]
    return found


def measured(model: str) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Run everything; curves, advantages, and the model's fingerprint."""
    curves, advantages, fingerprint = [], [], ""
    for which, proteins in families().items():
        for source, options in SOURCES.items():
            print(f"{which}, {source}: {len(proteins)} proteins", file=sys.stderr)
            found = catjac.masking.curves(
                proteins, model, pattern=PATTERNS, source=source, **SCALED, **options
            )
            fingerprint = str(found.attrs["model_fingerprint"])
            if not found.sizes["segment"]:
                print("  no segment has contacts enough in the model's own map", file=sys.stderr)
                continue
            table = catjac.masking.table(found)
            if "R_control" in found:
                # Proteins of a few residues leave no distant ones; their control is NaN as their R is.
                with np.errstate(invalid="ignore"):
                    off = abs(found["R_control"] - 1).max("segment")
                table["largest_error_of_control"] = off.transpose("pattern", "step").values.ravel()
            curves.append(table.assign(families=which, source=source))
            for over in PATTERNS[1:]:
                compared = catjac.masking.advantage(found, over=over)
                row = {
                    str(name).removeprefix("overall_"): value.item()
                    for name, value in compared.items()
                    if str(name).startswith("overall_")
                }
                advantages.append({"families": which, "source": source, "over": over} | row)
    first = ["families", "source"]
    joined = pd.concat(curves)
    return (
        joined[[*first, *(name for name in joined.columns if name not in first)]],
        pd.DataFrame(advantages),
        fingerprint,
    )


def commit() -> str:
    """Name the commit of this repository, marked where files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip() or "unknown"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(""))
    given = parser.parse_args()
    at = commit()
    curves, advantages, fingerprint = measured(given.model)
    given.out.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["python", "benchmarks/recovery.py", *sys.argv[1:]])
    for name, table in (("curves", curves), ("advantage", advantages)):
        file = given.out / f"{name}.csv"
        head = f"# {command}; commit {at}; model {given.model}, {fingerprint}\n"
        file.write_text(head + table.round(5).to_csv(index=False), encoding="utf-8")
        print(f"{file.name}: {len(table)} rows")
    print(advantages.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
