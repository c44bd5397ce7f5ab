"""The ways to make rows of a Jacobian that `speed.py` compares, each behind the same two calls."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from unittest import mock

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY / "src"), str(REPOSITORY / "benchmarks")]

import numpy as np  # noqa: E402
from machine import PeakMemory  # noqa: E402
from plain_loop import plain_row, plain_wild_type  # noqa: E402
from shapes import in_half, random_model, some_residues  # noqa: E402

from catjac_widgets.engine.compute.memory import choose_batch_size  # noqa: E402
from catjac_widgets.engine.compute.sweep import batches, wild_type_logits  # noqa: E402
from catjac_widgets.engine.plans.request import make_request  # noqa: E402
from catjac_widgets.language_models.esm.adapter import FairEsm  # noqa: E402

#: Full batches that are timed at once on a GPU, where the next one is launched before the last is fetched: a
#: sweep has dozens, of which only the first waits for its launch.
BATCHES_ON_GPU = 8


class Plain:
    """The plain loop over fair-esm, one position at a time."""

    def __init__(self, model: FairEsm, residues: str) -> None:
        self._model, self._residues = model.model, residues
        self._wild_type = plain_wild_type(self._model, residues)

    def block(self, position: int) -> list[int]:
        """Positions that are computed together with that one."""
        return [position]

    def rows(self, positions: list[int]) -> dict[int, np.ndarray]:
        """Rows (20, L, 20) by 0-based position."""
        return {p: plain_row(self._model, self._residues, p, self._wild_type) for p in positions}


class Ours:
    """The engine's sweep in one of its numerics.

    "float16" is exact, of the model in float16; "exact-torch" is exact on a CPU without a compiler.

    Attributes
    ----------
    in_float32
        How many layers a near-exact mode left in float32.
    """

    def __init__(self, model: FairEsm, residues: str, mode: str) -> None:
        model = in_half(model) if mode == "float16" else model
        numerics = "exact" if mode in ("float16", "exact-torch") else mode
        self._plan = make_request(residues, model, numerics=numerics).plan
        without = {"CATJAC_COMPILER": ""} if mode == "exact-torch" else {}
        with mock.patch.dict(os.environ, without):
            self._runner: Any = model.prepare(residues, None, self._plan.numerics.name)
        self._size = choose_batch_size(self._plan, model)
        self._baseline = wild_type_logits(self._runner, self._plan)
        self._groups = self._plan.groups(self._size)
        self._together = BATCHES_ON_GPU if model.device.type == "cuda" else 1
        self.in_float32 = len(getattr(self._runner, "in_float32", ()))

    def block(self, position: int) -> list[int]:
        """Positions that are computed together with that one: its batch's, on a GPU those of some batches."""
        at = next(k for k, group in enumerate(self._groups) if position in group)
        first = max(0, min(at, len(self._groups) - self._together))
        return [index for group in self._groups[first : first + self._together] for index in group]

    def rows(self, positions: list[int]) -> dict[int, np.ndarray]:
        """Rows (20, L, 20) by 0-based position."""
        made = batches(self._runner, self._plan, positions, self._size, baseline=self._baseline)
        return dict(row for batch in made for row in batch)


def way(model: FairEsm, residues: str, mode: str) -> Plain | Ours:
    """Make a mode ready for one sequence."""
    return Plain(model, residues) if mode == "plain" else Ours(model, residues, mode)


def main() -> None:
    """Print by how many MB a process's memory rises above the loaded model: `speed_modes.py 8M 128 exact`."""
    name, length, mode = sys.argv[1:4]
    residues = some_residues(int(length))
    model = random_model(name, "cpu")
    memory = PeakMemory("cpu")
    made = way(model, residues, mode)
    made.rows(made.block(0))
    print(f"{memory.risen() / 2**20:.0f}")


if __name__ == "__main__":
    main()
