"""The training loop: two optimisers, a fixed number of steps, a log, and checkpoints that survive a kill."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from .corruption import KINDS, LATER_KINDS, Group, draw, draw_plain
from .families import Family
from .loss import LossWeights, lesson, losses
from .monitor import Monitor
from .network import Network, Shape
from .optimiser import Muon
from .potts import Potts
from .recognition import background


@dataclass(frozen=True)
class Settings:
    """Everything that a run depends on besides its seed and data.

    tokens: of a step, about; guided_layers: how many of the last layers have their attention guided;
    constant_until: share of the steps before the rate decays; later_from: share of the steps after which rows
    are drawn by LATER_KINDS; average: decay of the averaged weights.
    """

    steps: int = 7800
    tokens: int = 1024
    families_a_step: int = 3
    shape: Shape = field(default_factory=Shape)
    weights: LossWeights = field(default_factory=LossWeights)
    muon_rate: float = 3e-3
    adam_rate: float = 5e-3
    guided_layers: int = 2
    warm_up: int = 100
    constant_until: float = 0.4
    later_from: float = 0.83
    check_every: int = 100
    average: float = 0.995


def continued(settings: Settings) -> Settings:
    """Make settings that take trained weights further: half the rate, later rows from the start."""
    return replace(
        settings,
        muon_rate=settings.muon_rate / 2,
        adam_rate=settings.adam_rate / 2,
        warm_up=50,
        constant_until=0.3,
        later_from=0.0,
    )


def rate(step: int, settings: Settings) -> float:
    """Factor of the learning rate: linear warm-up, constant, linear decay to zero at the last step."""
    turn = settings.constant_until * settings.steps
    return min(
        1.0, (step + 1) / settings.warm_up, max(0.0, (settings.steps - step) / (settings.steps - turn))
    )


class Trainer:
    """One training run; everything that changes is in `state()`."""

    def __init__(
        self, families: Sequence[Family], teachers: Sequence[Potts], settings: Settings, seed: int
    ) -> None:
        self.families, self.settings = families, settings
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.network = Network(settings.shape)
        self.average = Network(settings.shape)
        self.average.load_state_dict(self.network.state_dict())
        matrices = [p for p in self.network.layers.parameters() if p.ndim == 2]
        chosen = set(map(id, matrices))
        others = [p for p in self.network.parameters() if id(p) not in chosen]
        self.optimisers = [
            Muon(matrices, lr=settings.muon_rate),
            torch.optim.AdamW(others, lr=settings.adam_rate, betas=(0.9, 0.98), weight_decay=0.0),
        ]
        self.rates = [settings.muon_rate, settings.adam_rate]
        self.composition = background(families)
        self.lessons = [lesson(teacher, self.composition) for teacher in teachers]
        self.monitor = Monitor(families, self.lessons, self.composition)
        self.chances = np.ones(len(families)) / len(families)
        self.step, self.seconds = 0, 0.0

    def start_from(self, network: Network) -> None:
        """Begin with the weights of a trained network instead of random ones."""
        self.network.load_state_dict(network.state_dict())
        self.average.load_state_dict(network.state_dict())

    def group(self, index: int, tokens: int) -> Group:
        """Rows of one family as the loss wants them: with no teacher, plainly masked natural ones."""
        if not self.settings.weights.from_teacher:
            return draw_plain(self.families[index], index, tokens, self.rng)
        kinds = KINDS if self.step < self.settings.later_from * self.settings.steps else LATER_KINDS
        kind = str(self.rng.choice(list(kinds), p=list(kinds.values())))
        return draw(self.families[index], index, tokens, self.composition, self.rng, kind)

    def train_step(self) -> dict[str, float]:
        """One step of both optimisers; returns the loss terms."""
        settings = self.settings
        picked = self.rng.choice(
            len(self.families),
            settings.families_a_step,
            p=self.chances,
            replace=len(self.families) < settings.families_a_step,
        )
        each = settings.tokens // settings.families_a_step
        groups = [self.group(int(index), each) for index in picked]
        layers = settings.shape.num_layers
        guided = range(layers - settings.guided_layers, layers) if settings.weights.attention else ()
        record: dict[int, list[torch.Tensor]] = {layer: [] for layer in guided}
        logits = self.network([group.tokens for group in groups], record)
        loss, terms = losses(logits, groups, self.lessons, settings.weights, list(record.values()))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        factor = rate(self.step, settings)
        for optimiser, base in zip(self.optimisers, self.rates, strict=True):
            optimiser.param_groups[0]["lr"] = base * factor
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        keep = min(settings.average, self.step / (self.step + 10))
        with torch.no_grad():
            for mean, current in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(current, 1 - keep)
        return terms

    def check(self) -> list[dict[str, float]]:
        """Held-out numbers of the averaged weights; families that miss more are drawn more often."""
        results = self.monitor(self.average)
        wanted = np.array(
            [
                (0.1 + max(result["missed"], 0.0)) * family.length**0.5
                for result, family in zip(results, self.families, strict=True)
            ]
        )
        self.chances = wanted / wanted.sum()
        return results

    def run(self, folder: Path) -> Network:
        """Trains to the last step, resuming from `folder`; returns the averaged weights."""
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint = folder / "checkpoint.pt"
        if checkpoint.exists():
            self.load(torch.load(checkpoint, weights_only=False))
        started, sums, count = time.monotonic() - self.seconds, {}, 0
        while self.step < self.settings.steps:
            for name, value in self.train_step().items():
                sums[name] = sums.get(name, 0.0) + value
            count += 1
            if self.step % self.settings.check_every == 0 or self.step == self.settings.steps:
                results = self.check()
                self.seconds = time.monotonic() - started
                write_log(folder / "log.csv", self.row(sums, count, results))
                sums, count = {}, 0
                part = checkpoint.with_suffix(".part")
                torch.save(self.state(), part)
                part.replace(checkpoint)
        return self.average

    def row(self, sums: dict[str, float], count: int, results: list[dict[str, float]]) -> dict[str, object]:
        """One line of the log: loss terms since the last line, held-out numbers by family and on average."""
        line: dict[str, object] = {"step": self.step, "seconds": round(self.seconds)}
        line |= {f"loss_{name}": round(value / count, 4) for name, value in sums.items()}
        for name in ("masked", "profile", "missed", "placed", "placed_profile", "foreign"):
            line[f"held_out_{name}"] = round(float(np.mean([result[name] for result in results])), 4)
        for family, result in zip(self.families, results, strict=True):
            line[f"missed_{family.id}"] = round(result["missed"], 4)
            line[f"gain_{family.id}"] = round(result["profile"] - result["masked"], 4)
        return line

    def state(self) -> dict:
        """Everything that a resumed run needs."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "rng": self.rng.bit_generator.state,
            "chances": self.chances,
            "step": self.step,
            "seconds": self.seconds,
        }

    def load(self, state: dict) -> None:
        """Take up a run where `state` was taken."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        for optimiser, stored in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(stored)
        self.rng.bit_generator.state = state["rng"]
        self.chances, self.step, self.seconds = state["chances"], state["step"], state["seconds"]


def write_log(path: Path, line: dict[str, object]) -> None:
    """Append one line, with the header first."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(line))
        if new:
            writer.writeheader()
        writer.writerow(line)
