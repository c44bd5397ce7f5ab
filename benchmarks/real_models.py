"""Models on real pretrained weights over the protein families: contacts, likelihood, time of a Jacobian.

    python benchmarks/real_models.py FAMILIES --out benchmarks/real_models.csv
    python benchmarks/real_models.py FAMILIES --time PF00240_2BWF --out benchmarks/real_models_time.csv
    python benchmarks/real_models.py STRUCTURES --antibodies 12 --out benchmarks/real_models_antibodies.csv

`make pretrained` fetches the weights. Rows that the file holds already are taken from it, so that a run that
was stopped goes on. ProteinMPNN is given each structure, so its precision is no prediction. The third form
reads variable domains of antibodies out of a folder of PDB files, none of them alike.
"""

from __future__ import annotations

import argparse
import difflib
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import catjac_widgets as catjac
from catjac_widgets.analysis.benchmark.entries import Entry, find_entries
from catjac_widgets.language_models.weights.wheels import pretrained_folder
from catjac_widgets.progress import with_progress

COLUMNS = ("model", "protein", "length", "jacobian", "second", "second_is", "perplexity", "method")
TIME_COLUMNS = ("model", "protein", "length", "seconds", "runs", "parameters")


@dataclass(frozen=True)
class Subject:
    """A model of the table.

    Attributes
    ----------
    name
        What the table calls it.
    model
        Called with a protein, returns the model.
    second
        What stands beside the Jacobian's precision: "contact head", "without APC" or "with APC".
    of_structure
        Whether it runs over the residues of the structure, and not of the query.
    """

    name: str
    model: Callable[[Any], Any]
    second: str
    of_structure: bool = False


#: How the variable domains of heavy and light chains end: the framework's last strand.
_ENDS = re.compile(r"^\w{85,140}?(?:WG.GT.V?TVSS?|FG.GTK\w{4})")


@dataclass(frozen=True)
class Domain:
    """The variable domain of an antibody's chain: what of an `Entry` is read here."""

    name: str
    query: str
    truth: Any
    structure: Path
    chain: str


def variable_domains(folder: Path, most: int) -> Iterator[Domain]:
    """Find variable domains of antibodies, in order of the files' names, unlike those found before."""
    taken: list[str] = []
    for path in sorted(folder.glob("*.pdb")):
        lines = path.read_text().splitlines()
        for chain in dict.fromkeys(line[21] for line in lines if line.startswith("ATOM")):
            try:
                residues = catjac.structure(path, chain=chain).sequence
            except catjac.CatjacError:
                continue
            found = _ENDS.match(str(residues))
            if found is None or any(_alike(found[0], other) for other in taken):
                continue
            taken.append(found[0])
            truth = catjac.structure(path, chain=chain, sequence=found[0])
            yield Domain(f"{path.stem} {chain}", found[0], truth, path, chain)
            if len(taken) == most:
                return


def _alike(one: str, other: str) -> bool:
    """Whether more than 70 % of two sequences stand in blocks that both have."""
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio() > 0.7


def esm2_8m() -> Path:
    """Find ESM-2 8M as `make pretrained` builds it."""
    built = pretrained_folder() / "esm2_8m.safetensors"
    return built if built.is_file() else built.with_suffix(".pt")


SUBJECTS = (
    Subject("esm2_8m", lambda entry: esm2_8m(), "contact head"),
    Subject("unirep_64", lambda entry: "unirep_64", "without APC"),
    Subject("unirep_1900", lambda entry: "unirep_1900", "without APC"),
    Subject("protein_mpnn", lambda entry: f"protein_mpnn:{entry.structure}#{entry.chain}", "with APC", True),
    Subject("antiberty", lambda entry: "antiberty", "without APC"),
)


def scored(subject: Subject, entry: Entry | Domain) -> dict[str, Any]:
    """Measure a model on one protein: precision at L over |i − j| ≥ 6, and perplexity."""
    truth = entry.truth if not subject.of_structure else catjac.structure(entry.structure, chain=entry.chain)
    sequence = truth.sequence if subject.of_structure else entry.query
    model = subject.model(entry)
    J = catjac.jacobian(sequence, model, progress=False)
    if subject.second == "contact head":
        other = catjac.contact_head(sequence, model)
    else:
        other = catjac.contacts(J, removed=int(subject.second == "with APC"))
    likely = catjac.pseudo_perplexity(sequence, model, progress=False)
    return {
        "model": subject.name,
        "protein": entry.name,
        "length": len(sequence),
        "jacobian": round(float(catjac.precision_at_l(catjac.contacts(J), truth)), 4),
        "second": round(float(catjac.precision_at_l(other, truth)), 4),
        "second_is": subject.second,
        "perplexity": round(float(likely), 4),
        "method": likely.method,
    }


def timed(subject: Subject, entry: Entry | Domain, runs: int = 3) -> dict[str, Any]:
    """Measure the median time of a whole Jacobian, nothing taken from the cache, the model loaded."""
    sequence = entry.query
    if subject.of_structure:
        sequence = catjac.structure(entry.structure, chain=entry.chain).sequence
    model = catjac.load_model(subject.model(entry), device="cpu")
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        catjac.jacobian(sequence, model, cache=False, progress=False)
        seconds.append(time.perf_counter() - started)
    return {
        "model": subject.name,
        "protein": entry.name,
        "length": len(sequence),
        "seconds": round(statistics.median(seconds), 2),
        "runs": runs,
        "parameters": model.parameters,
    }


def summary(table: pd.DataFrame) -> str:
    """Say the means by model; the perplexity is the geometric mean over proteins."""
    lines = []
    for model, rows in table.groupby("model", sort=False):
        perplexity = float(np.exp(np.log(rows.perplexity).mean()))
        lines.append(
            f"{model:14} {len(rows):3} proteins  jacobian {rows.jacobian.mean():.3f}  "
            f"{rows.second_is.iloc[0]} {rows.second.mean():.3f}  perplexity {perplexity:.2f} "
            f"({rows.method.iloc[0]})"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure what is missing of the table, and write it after each row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("families", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", help="names of the table, comma-separated; all by default")
    parser.add_argument("--antibodies", type=int, metavar="N", help="read N variable domains of antibodies")
    parser.add_argument("--time", metavar="PROTEIN", help="measure times on this protein")
    asked = parser.parse_args()
    every: Any = find_entries(asked.families)[0] if not asked.antibodies else None
    every = every or variable_domains(asked.families, asked.antibodies)
    entries = {entry.name: entry for entry in every}
    usual = ["antiberty", "esm2_8m"] if asked.antibodies else [subject.name for subject in SUBJECTS]
    wanted = asked.models.split(",") if asked.models else usual
    if asked.time:
        pairs = [(s, entries[asked.time]) for s in SUBJECTS if s.name in wanted]
    else:
        shortest = sorted(entries.values(), key=lambda entry: len(entry.query))
        pairs = [(s, entry) for s in SUBJECTS if s.name in wanted for entry in shortest]
    columns = TIME_COLUMNS if asked.time else COLUMNS
    table = pd.read_csv(asked.out) if asked.out.is_file() else pd.DataFrame(columns=columns)
    known = set(zip(table.model, table.protein, strict=True))
    missing = [(s, entry) for s, entry in pairs if (s.name, entry.name) not in known]
    for subject, entry in with_progress(missing, lambda pair: f"{pair[0].name}, {pair[1].name}"):
        row = timed(subject, entry) if asked.time else scored(subject, entry)
        table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
        table.to_csv(asked.out, index=False)
    print(table.to_string(index=False) if asked.time else summary(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
