"""`python -m training --seed 0`: teachers, training, contact head, scores, weights and card."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from . import evaluate, families, pipeline, teachers, weights
from .loss import LossWeights
from .recipe import TRAINED
from .train import Settings, continued

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "src" / "catjac_widgets" / "language_models" / "esm" / "mini"


def main() -> None:
    """Run everything; each step that has been done before is found and left as it is."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument(
        "--plain-steps",
        type=int,
        default=1500,
        help="steps of the comparison without distillation; 0 keeps the scores of an earlier one",
    )
    parser.add_argument(
        "--processes", type=int, default=2, help="processes that fit teachers and score families"
    )
    parser.add_argument(
        "--no-package",
        action="store_true",
        help="score the trained families only and leave the package as it is",
    )
    parser.add_argument(
        "--start",
        type=Path,
        help="begin with these weights instead of random ones, at half the rate and with the later rows only",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folders = pipeline.Folders(
        families.data_folder(), HERE / ".cache", HERE / "results", None if arguments.no_package else PACKAGE
    )
    seed, settings = arguments.seed, Settings(steps=arguments.steps)
    if arguments.start is not None:
        settings = continued(settings)
    everything = families.records(folders.data)
    trained = [record for record in everything if record["id"] in TRAINED]
    teachers.fit_all(folders.data, trained, folders.cache, arguments.processes)
    chosen = [families.load(folders.data, record) for record in trained]
    run, finished = folders.cache / f"seed_{seed}", folders.cache / f"seed_{seed}" / "mini.safetensors"
    network = pipeline.train(folders, chosen, settings, seed, run.name, arguments.start)
    minutes = pipeline.minutes_of(run / "log.csv")
    pipeline.score_teachers(folders, trained, arguments.processes)
    out_of_fold = pipeline.fit_head(folders, chosen, network, finished)
    lines = pipeline.score(folders, trained, finished, ["precision"], arguments.processes)
    pipeline.note_seed(folders.results / "seeds.csv", seed, settings.steps, minutes, list(lines.values()))
    if arguments.no_package:
        return
    pipeline.score_teachers(folders, everything, arguments.processes)
    lines = pipeline.score(folders, everything, finished, ["precision", "head"], arguments.processes)
    more = [pipeline.score(folders, trained, finished, ["robustness"], arguments.processes)]
    answers = pipeline.score(folders, trained, finished, ["recovery"], arguments.processes)
    curves = [line for answer in answers.values() for line in answer["recovery"]]
    evaluate.write(folders.results / "recovery.csv", curves)
    if arguments.plain_steps:
        plain_settings = replace(settings, steps=arguments.plain_steps, weights=LossWeights(0, 0, 1, 0))
        plain = pipeline.train(folders, chosen, plain_settings, seed, f"plain_{seed}")
        plain_path = folders.cache / f"plain_{seed}" / "mini.safetensors"
        weights.save(plain_path, plain)
        more.append(pipeline.score(folders, trained, plain_path, ["plain"], arguments.processes))
    else:
        more.append(pipeline.plain_columns(folders.results / "families.csv"))
    for family in trained:
        line = lines[family["id"]]
        line["head_out_of_fold"] = out_of_fold[family["id"]]
        for columns in more:
            line |= columns.get(family["id"], {})
    evaluate.write(folders.results / "families.csv", list(lines.values()))
    plain_steps = pipeline.steps_of(folders.results / f"log_plain_{seed}.csv")
    origin = ""
    if arguments.start is not None:
        origin = f"Begun with trained weights ({weights.digest(arguments.start)}), then "
    pipeline.release(folders, finished, list(lines.values()), curves, settings, seed, plain_steps, origin)


if __name__ == "__main__":
    main()
