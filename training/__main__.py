"""`python -m training --seed 0`: teachers, training, contact head, scores, weights and card."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from . import evaluate, families, pipeline, teachers
from .loss import LossWeights
from .train import Settings

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "src" / "catjac_widgets" / "language_models" / "embedded"


def main() -> None:
    """Run everything; each step that has been done before is found and left as it is."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument(
        "--plain-steps",
        type=int,
        default=2500,
        help="steps of the comparison without distillation; 0 leaves it out",
    )
    parser.add_argument(
        "--processes", type=int, default=2, help="processes that fit teachers and score families"
    )
    parser.add_argument("--no-package", action="store_true", help="do not put the result into the package")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folders = pipeline.Folders(
        families.data_folder(), HERE / ".cache", HERE / "results", None if arguments.no_package else PACKAGE
    )
    seed, settings = arguments.seed, Settings(steps=arguments.steps)
    teachers.fit_all(folders.data, families.records(folders.data), folders.cache, arguments.processes)
    chosen = pipeline.load_trained(folders)
    run = folders.cache / f"seed_{seed}"
    network = pipeline.train(folders, chosen, settings, seed, f"seed_{seed}")
    minutes = pipeline.minutes_of(run / "log.csv")
    out_of_fold = pipeline.fit_head(folders, chosen, network, run / "mini.safetensors")
    plain_path = None
    if arguments.plain_steps:
        plain_settings = replace(settings, steps=arguments.plain_steps, weights=LossWeights(0, 0, 1, 0))
        plain = pipeline.train(folders, chosen, plain_settings, seed, f"plain_{seed}")
        plain_path = folders.cache / f"plain_{seed}" / "mini.safetensors"
        pipeline.weights.save(plain_path, plain)
    lines = pipeline.score_all(
        folders, run / "mini.safetensors", plain_path, out_of_fold, arguments.processes
    )
    evaluate.write(folders.results / f"families_seed_{seed}.csv", lines)
    pipeline.note_seed(folders.results / "seeds.csv", seed, settings.steps, minutes, lines)
    if folders.package is not None:
        evaluate.write(folders.results / "families.csv", lines)
        pipeline.release(folders, run / "mini.safetensors", lines, settings, seed, arguments.plain_steps)


if __name__ == "__main__":
    main()
