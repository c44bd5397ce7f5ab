"""What the campaign computes: Jacobians and maps of stub models, cheap and known, in their own processes."""

from __future__ import annotations

import os
import resource
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from stubs import PottsModel, PottsRunner

from catjac_widgets.engine.api import jacobian, submit
from catjac_widgets.engine.cache.folder import files as folder_files
from catjac_widgets.engine.plans.mask_scan import MapKind
from catjac_widgets.language_models.base import Runner
from catjac_widgets.proteins.masks import Mask

LETTERS = "ACDEFGHIKLMNPQRSTVWY"

#: Maps of a mask scan: half of what decides them is the mask.
MAPS = MapKind("fault", lambda model, sequence, masks: model.maps(sequence.residues, masks))


class Model(PottsModel):
    """A stub whose rows do not depend on their company, and whose batches take a while."""

    def __init__(self, seed: int, seconds: float = 0.0) -> None:
        super().__init__(seed=seed, symmetric=False)
        self.seconds = seconds

    def prepare(self, residues: str, mask: Mask | None = None, numerics: str = "exact") -> Runner:
        made = super().prepare(residues, mask, numerics)
        assert isinstance(made, PottsRunner)
        return _OneByOne(made)

    def on_rows(self, substitutions: list[Any]) -> None:
        super().on_rows(substitutions)
        if self.seconds:
            time.sleep(self.seconds)

    def maps(self, residues: str, masks: list[Mask | None]) -> np.ndarray:
        shares = [0.0 if mask is None else float(np.mean(mask.masked)) for mask in masks]
        random = np.random.default_rng([self.seed, len(residues)]).random((len(residues),) * 2)
        return (np.array(shares)[:, None, None] + random).astype(np.float32)


class _OneByOne:
    """Runs each substitution alone, so that its logits are the same bits in every batch."""

    def __init__(self, runner: PottsRunner) -> None:
        self.runner = runner

    def wild_type(self) -> np.ndarray:
        return self.runner.wild_type()

    def rows(self, substitutions: list[Any]) -> np.ndarray:
        self.runner.model.on_rows(substitutions)
        made = []
        for change in substitutions:
            one_hot = self.runner.one_hot.copy()
            one_hot[change.position] = self.runner.model.one_hot_of(change.letter)
            made.append(self.runner._logits(one_hot[None])[0])
        return np.stack(made)


def sequence_of(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list(LETTERS), length))


#: Where in the writing of a chunk a process dies.
IN_A_WRITE = ("nothing written", "half written", "half written in place", "not renamed", "renamed")


def compute(
    told: Connection,
    cache: Path,
    residues: str,
    seed: int,
    *,
    seconds: float = 0.0,
    die_in_write: tuple[int, str] | None = None,
    largest_file: int | None = None,
    user: int | None = None,
    clock: float = 0.0,
) -> None:
    """Compute a Jacobian in a process of its own, and tell of each row that is kept.

    Parameters
    ----------
    die_in_write
        Die (SIGKILL) while that row's chunk is written, counted from 1, and where: one of `IN_A_WRITE`.
    largest_file
        Bytes that a file may have at most, as on a full disk.
    user
        Whose rights to take.
    clock
        Seconds by which its clock is off.
    """
    os.environ["CATJAC_CACHE"] = str(cache)
    if die_in_write is not None:
        _die_in_write(*die_in_write)
    if largest_file is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    if user is not None:
        reference("ACDEF", 0)  # so that all is imported that this user may not read
        os.setgid(user)
        os.setuid(user)
    if clock:
        right = time.time
        time.time = lambda: right() + clock
    told.send("begins")
    job = submit(residues, Model(seed, seconds), batch_size=19)
    job.add_listener(row=lambda position, row: told.send(position))
    import warnings

    warnings.simplefilter("ignore")
    told.send(np.array(job.result(60).values))


def _die_in_write(number: int, where: str) -> None:
    write, counted = folder_files.write_atomically, [0]

    def dying(path: Path, content: bytes) -> None:
        if path.parent.name == "jacobian" and path.name.startswith("c."):
            counted[0] += 1
            if counted[0] == number:
                partial = path.with_name(f"{path.name}.dying{folder_files.PARTIAL}")
                size = {"nothing written": 0, "half written": 0.5, "half written in place": 0.5}.get(where, 1)
                partial.write_bytes(content[: int(size * len(content))])
                if where in ("half written in place", "renamed"):
                    # The first as of a system that renames before it has written all.
                    partial.replace(path)
                os.kill(os.getpid(), signal.SIGKILL)
        write(path, content)

    folder_files.write_atomically = dying


def reference(residues: str, seed: int, **options: Any) -> Any:
    """Compute a Jacobian without any cache."""
    return jacobian(residues, Model(seed), cache=False, progress=False, batch_size=19, **options)
