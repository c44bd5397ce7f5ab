"""`python -m training --seed 0`: teachers, training, contact head, scores, weights and card."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from . import families, teachers
from .recipe import TRAINED
from .train import Settings, Trainer

CACHE = Path(__file__).parent / ".cache"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--processes", type=int, default=2, help="processes that fit teachers")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = families.data_folder()
    records = [record for record in families.records(folder) if record["id"] in TRAINED]
    teachers.fit_all(folder, records, CACHE, arguments.processes)
    chosen = [families.load(folder, record) for record in records]
    taught = [teachers.load_teacher(CACHE, record["id"]) for record in records]
    trainer = Trainer(chosen, taught, replace(Settings(), steps=arguments.steps), arguments.seed)
    trainer.run(CACHE / f"seed_{arguments.seed}")


if __name__ == "__main__":
    main()
