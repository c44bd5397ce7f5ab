"""The steps from families to a finished model, each of which finds what an earlier run has left."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from . import card, evaluate, families, head, maps, recovery, teachers, weights
from .families import Family
from .network import Network
from .recipe import EXAMPLES, TRAINED
from .recognition import background, log_odds
from .train import Settings, Trainer


@dataclass(frozen=True)
class Folders:
    """Where a run reads and writes: data, intermediate files, scores, finished weights (or nowhere)."""

    data: Path
    cache: Path
    results: Path
    package: Path | None


def load_trained(folders: Folders) -> list[Family]:
    """Load the training families, shortest first."""
    return [
        families.load(folders.data, record)
        for record in families.records(folders.data)
        if record["id"] in TRAINED
    ]


def train(
    folders: Folders,
    chosen: Sequence[Family],
    settings: Settings,
    seed: int,
    name: str,
    start: Path | None = None,
) -> Network:
    """Trains (or resumes, or finds finished) one network and copies its log to the results.

    start: a weights file to begin with instead of random weights.
    """
    taught = [teachers.load_teacher(folders.cache, family.id) for family in chosen]
    run = folders.cache / name
    trainer = Trainer(chosen, taught, settings, seed)
    if start is not None:
        trainer.start_from(weights.load_network(start))
    network = trainer.run(run)
    folders.results.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / "log.csv", folders.results / f"log_{name}.csv")
    return network.eval()


def minutes_of(log: Path) -> float:
    """Minutes that a logged run has taken."""
    with log.open(encoding="utf-8") as stream:
        return float(list(csv.DictReader(stream))[-1]["seconds"]) / 60


def steps_of(log: Path) -> int:
    """Last step of a log; 0 where there is none."""
    if not log.exists():
        return 0
    with log.open(encoding="utf-8") as stream:
        return int(list(csv.DictReader(stream))[-1]["step"])


def plain_columns(path: Path) -> dict[str, dict[str, float]]:
    """Read the scores of the comparison without distillation from families.csv, by id."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8") as stream:
        return {
            row["id"]: {name: float(row[name]) for name in row if name.startswith("plain_")}
            for row in csv.DictReader(stream)
            if row.get("plain_precision")
        }


def fit_head(folders: Folders, chosen: Sequence[Family], network: Network, path: Path) -> dict[str, float]:
    """Write the weights with a head fitted without the examples; out-of-fold precision by family."""
    weights.save(path, network)
    model = weights.load_esm(path)
    composition = background(chosen)
    shown = [
        head.views(
            model,
            families.query_states(family),
            maps.native_contacts(folders.data, family.record),
            log_odds(family.profile, composition),
        )
        for family in chosen
    ]
    inside = [of_one for family, of_one in zip(chosen, shown, strict=True) if family.id not in EXAMPLES]
    weights.save(path, network, head.fit([view for of_one in inside for view in of_one]))
    found = head.out_of_fold(shown)
    return {family.id: precision for family, precision in zip(chosen, found, strict=True)}


def scores_of_teachers(folders: Folders) -> dict[str, dict[str, float]]:
    """Read teachers.csv by id; empty where there is none."""
    path = folders.results / "teachers.csv"
    if not path.exists():
        return {}
    with path.open(encoding="utf-8") as stream:
        return {
            row["id"]: {name: float(value) for name, value in row.items() if name != "id"}
            for row in csv.DictReader(stream)
        }


def score_teachers(folders: Folders, records: Sequence[dict], processes: int) -> None:
    """Fit and score the Potts models that teachers.csv lacks; they depend on no seed and no network."""
    lines: dict[str, dict] = {
        identifier: {"id": identifier, **scores} for identifier, scores in scores_of_teachers(folders).items()
    }
    missing = [record for record in records if record["id"] not in lines]
    teachers.fit_all(folders.data, missing, folders.cache, processes)
    for record in missing:
        family = families.load(folders.data, record)
        truth = maps.native_contacts(folders.data, record)
        lines[family.id] = evaluate.teacher_scores(
            family, teachers.load_teacher(folders.cache, family.id), truth
        )
        evaluate.write(folders.results / "teachers.csv", list(lines.values()))


def score_one(folders: Folders, record: dict, path: Path, part: str) -> dict[str, object]:
    """Make some columns of a family's line in families.csv, kept beside their weights file.

    part: "precision", "head", "robustness", "plain" or "recovery".
    """
    kept = path.parent / f"scores_{weights.digest(path)}" / f"{record['id']}_{part}.json"
    if kept.exists():
        return json.loads(kept.read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    family = families.load(folders.data, record)
    truth = maps.native_contacts(folders.data, record)
    network = weights.load_network(path)
    if part == "precision":
        teacher = scores_of_teachers(folders)[family.id]
        found = evaluate.precision(family, network, teacher, truth, family.id in TRAINED)
    elif part == "head":
        found = {"id": family.id, **evaluate.head_precision(family, weights.load_esm(path), truth)}
    elif part == "robustness":
        found = {"id": family.id, **evaluate.robustness(family, network, weights.load_esm(path), truth)}
    elif part == "recovery":
        found = {"id": family.id, "recovery": recovery.curve(family, weights.load_esm(path))}
    else:
        found = {"id": family.id, **evaluate.plain_scores(family, network, truth)}
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps(found), encoding="utf-8")
    return found


def score(
    folders: Folders, chosen: Sequence[dict], path: Path, parts: Sequence[str], processes: int
) -> dict[str, dict]:
    """Make the asked-for columns of some families by id, `processes` at a time."""
    lines: dict[str, dict] = {}
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(score_one, folders, record, path, part) for part in parts for record in chosen]
        for job in jobs:
            found = job.result()
            lines.setdefault(str(found["id"]), {}).update(found)
            print("scored " + ", ".join(f"{name} {value}" for name, value in found.items()), flush=True)
    return lines


def note_seed(path: Path, seed: int, steps: int, minutes: float, lines: Sequence[dict]) -> None:
    """Write this seed's line of seeds.csv, next to those of others."""
    trained = [line for line in lines if line["trained"]]
    line = {
        "seed": seed,
        "steps": steps,
        "minutes": round(minutes),
        "mean_precision": round(float(np.mean([line["mini_precision"] for line in trained])), 4),
        "families_trained": len(trained),
        "families_passing": sum(bool(line["passes"]) for line in trained),
    }
    others = []
    if path.exists():
        with path.open(encoding="utf-8") as stream:
            others = [row for row in csv.DictReader(stream) if row["seed"] != str(seed)]
    evaluate.write(path, sorted([*others, line], key=lambda row: int(row["seed"])))


def release(
    folders: Folders,
    path: Path,
    lines: Sequence[dict],
    curves: Sequence[dict],
    settings: Settings,
    seed: int,
    plain_steps: int,
    origin: str,
) -> None:
    """Put weights and card into the package."""
    assert folders.package is not None
    folders.package.mkdir(parents=True, exist_ok=True)
    shipped = folders.package / "mini.safetensors"
    if not shipped.exists() or weights.digest(shipped) != weights.digest(path):
        shutil.copyfile(path, shipped)
    network = weights.load_network(path)
    everything = [families.load(folders.data, record) for record in families.records(folders.data)]
    card.write_json(folders.package / "mini.json", everything, lines, network, settings.shape)
    minutes = minutes_of(folders.cache / f"seed_{seed}" / "log.csv")
    card.write_markdown(
        folders.package / "mini.md", lines, curves, settings, seed, minutes, network, plain_steps, origin
    )
