"""Train three small checkpoints of different sizes by the recipe of `mini`: `python -m training.sizes`.

They are for what only several models show together, as `catjac.benchmark.scaling` does. Written to
`examples/sizes` as float16 safetensors that `catjac.load_model` opens, contact head included.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from . import families, pipeline, teachers
from .network import Shape
from .recipe import TRAINED
from .train import Settings
from .weights import metadata

SHAPES = {"small": Shape(2, 32, 4), "medium": Shape(3, 56, 4), "large": Shape(4, 88, 4)}
FOLDER = Path(__file__).parent.parent / "examples" / "sizes"


def ship(finished: Path, target: Path, shape: Shape) -> None:
    """Copy a weights file with its numbers halved to float16; the frequencies that are computed stay away."""
    tensors = load_file(finished)
    target.parent.mkdir(parents=True, exist_ok=True)
    kept = {name: tensor.half() for name, tensor in tensors.items() if not name.endswith("inv_freq")}
    save_file(kept, target, metadata=metadata(shape))


def main() -> None:
    """Train what is not trained yet, fit the contact heads, write the files."""
    parser = argparse.ArgumentParser(prog="python -m training.sizes", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--processes", type=int, default=2, help="processes that fit teachers")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    here = Path(__file__).parent
    folders = pipeline.Folders(families.data_folder(), here / ".cache", here / "results", None)
    records = [record for record in families.records(folders.data) if record["id"] in TRAINED]
    teachers.fit_all(folders.data, records, folders.cache, arguments.processes)
    chosen = [families.load(folders.data, record) for record in records]
    for name, shape in SHAPES.items():
        run = f"size_{name}"
        settings = Settings(steps=arguments.steps, shape=shape)
        network = pipeline.train(folders, chosen, settings, arguments.seed, run)
        finished = folders.cache / run / "mini.safetensors"
        pipeline.fit_head(folders, chosen, network, finished)
        ship(finished, FOLDER / f"{name}.safetensors", shape)
        print(f"{name}: {pipeline.minutes_of(folders.cache / run / 'log.csv'):.0f} minutes", flush=True)


if __name__ == "__main__":
    main()
