"""Measure what bringing rows to the disk costs: Jacobians to an empty cache, by CATJAC_CACHE_SYNC.

Every round computes the same Jacobian under each setting, in an order drawn anew, and divides by the time of
"off" in the same round, so that what else the machine does falls on all alike. "empty" is a model whose rows
cost nothing: what is left is the store itself, and the syncing weighs most.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measured import Table

import catjac_widgets as catjac
from catjac_widgets.language_models.base import LanguageModel, Substitution
from catjac_widgets.proteins.alphabets import ESM_LETTERS

#: Name of a setting to the value of CATJAC_CACHE_SYNC.
SETTINGS = {"off": "off", "every 5 s": "5", "every batch": "0"}


class Empty(LanguageModel):
    """Logits from a small table of noise, whatever is asked."""

    name = "empty"
    letters = ESM_LETTERS
    max_residues = None
    fingerprint = "store_sync.py: noise of seed 0"
    parameters = 0
    device = torch.device("cpu")

    def encode(self, residues: str, mask: Any = None) -> torch.Tensor:
        """Numbers of the letters, (1, L)."""
        return torch.tensor([[self.letters.index(letter) for letter in residues]])

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, L, A)."""
        return torch.from_numpy(self._noise[tokens.sum(1).numpy() % 97])

    def prepare(self, residues: Any, mask: Any = None, numerics: str = "exact") -> Any:
        """Be its own runner."""
        self._noise = np.random.default_rng(0).standard_normal((97, len(residues), 20), dtype=np.float32)
        return self

    def wild_type(self) -> np.ndarray:
        """(L, A)."""
        return self._noise[0]

    def rows(self, substitutions: list[Substitution]) -> np.ndarray:
        """(n, L, A)."""
        letters = self.letters
        return self._noise[[1 + (20 * s.position + letters.index(s.letter)) % 96 for s in substitutions]]


def seconds(residues: str, model: Any, setting: str, folder: Path) -> float:
    """Compute a Jacobian into an empty cache; how long that took."""
    shutil.rmtree(folder, ignore_errors=True)
    os.environ.update(CATJAC_CACHE=str(folder), CATJAC_CACHE_SYNC=SETTINGS[setting])
    started = time.perf_counter()
    catjac.jacobian(residues, model, progress=False)
    return time.perf_counter() - started


def file_system(folder: Path) -> str:
    """Name the kind of file system that a folder is on."""
    words = ["stat", "-f", "-c", "%T", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--length", type=int, default=100)
    parser.add_argument(
        "--folder", type=Path, help="On the disk to be measured; the folder of temporary files."
    )
    chosen = parser.parse_args()
    drawn = random.Random(0)
    residues = "".join(drawn.choices(ESM_LETTERS, k=chosen.length))
    table = Table()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as made:
        where = file_system(Path(made))
        for name, model in (("mini", catjac.load_model("mini")), ("empty", Empty())):
            found: dict[str, list[float]] = {setting: [] for setting in SETTINGS}
            for setting in SETTINGS:  # what is made once, is made
                seconds(residues[:30], model, setting, Path(made) / "cache")
            for _ in range(chosen.rounds):
                for setting in drawn.sample(list(SETTINGS), len(SETTINGS)):
                    found[setting].append(seconds(residues, model, setting, Path(made) / "cache"))
            for setting, times in found.items():
                condition = f"{name}, {chosen.length} residues, {where}, {setting}"
                table.add("Jacobian to an empty cache", condition, [1e3 * each for each in times])
                if setting != "off":
                    ratios = [each / off for each, off in zip(times, found["off"], strict=True)]
                    table.add(
                        "of the same without, in pairs", condition, [100 * each for each in ratios], "%"
                    )
                    print(
                        f"{condition}: {statistics.median(ratios):.3f} of the time without "
                        f"({min(ratios):.3f}–{max(ratios):.3f}, {chosen.rounds} pairs)"
                    )
    table.print()
    if chosen.out:
        table.write(chosen.out)


if __name__ == "__main__":
    main()
