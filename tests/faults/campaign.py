"""Inject faults into stores and processes, and count what comes of it: `make faults`.

    CATJAC_FAULT_ROUNDS=100 python tests/faults/campaign.py --out docs/faults.csv

A round is five processes that are killed (one of them inside the writing of a chunk), ten damaged stores,
and now and then a full or a small disk, rights that are missing, a folder that goes, several processes at
once, or one whose clock is off.
After each fault the same numbers are asked for again, eagerly and lazily, and compared bit by bit with those
that were computed without a cache; what is stored beside a Jacobian is compared too.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_TESTS), str(Path(__file__).resolve().parent)]

import fault_models  # noqa: E402
import forked  # noqa: E402
import numpy as np  # noqa: E402
from asking import COLUMNS, PATIENCE, Asking, Hang, L  # noqa: E402
from damages import damage  # noqa: E402
from fault_models import IN_A_WRITE, Model, reference, sequence_of  # noqa: E402

from catjac_widgets.engine.api import jacobian, submit  # noqa: E402
from catjac_widgets.engine.cache.store import cache  # noqa: E402
from catjac_widgets.errors import CatjacError  # noqa: E402

#: Stands for the result of a process among the rows that it told of.
DONE = 0


class Campaign(Asking):
    """Faults of every kind, drawn at random.

    Parameters
    ----------
    seed
        Of everything that is drawn.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.draw = random.Random(seed)
        self._run_seconds: float | None = None

    def run(self, rounds: int, progress: Callable[[int], None] = lambda number: None) -> None:
        """Run so many rounds."""
        for number in range(rounds):
            for inside_a_write in (True, False, False, False, False):
                self.kill(inside_a_write=inside_a_write)
            for _ in range(10):
                self.damaged_store()
            if number % 5 == 1:
                self.full_disk()
            if number % 10 == 2:
                self.folder_goes()
            if number % 10 == 3:
                self.no_rights()
            if number % 10 == 4:
                self.several(2)
            if number % 20 == 5:
                self.several(8)
            if number % 5 == 3:
                self.small_disk()
            if number % 10 == 6:
                self.clock_that_is_off()
            progress(number + 1)

    def rows(self) -> list[dict[str, Any]]:
        """Return the table, with a line for all."""
        lines = [
            {"fault": kind, **{name: counted[name] for name in COLUMNS[1:]}}
            for kind, counted in self.counts.items()
        ]
        lines.append({"fault": "all", **{name: sum(line[name] for line in lines) for name in COLUMNS[1:]}})
        return lines

    # ---- faults

    def kill(self, *, inside_a_write: bool) -> None:
        """Kill a process at a moment of its work, drawn uniformly, and go on from what it left."""
        with self._fault("kill in a write" if inside_a_write else "kill") as (count, folder):
            seed = self.draw.randrange(10**6)
            residues = sequence_of(L, seed)
            for _ in range(20):
                moment, death = PATIENCE, None
                if inside_a_write:
                    death = self.draw.randrange(1, L + 1), self.draw.choice(IN_A_WRITE)
                else:
                    moment = self.draw.random() * self._seconds_of_a_run()
                process, heard = self._start(folder, residues, seed, seconds=0.004, die_in_write=death)
                began = time.monotonic()
                told = _told(heard, began + moment)
                took = time.monotonic() - began
                if inside_a_write:
                    process.join(PATIENCE)
                    if process.exitcode is None:
                        raise Hang
                process.kill()
                # What it told of at the last moment is to be there too.
                told |= _told(heard, time.monotonic() + PATIENCE)
                process.join(PATIENCE)
                if DONE not in told:
                    break
                # It was faster than those before: a kill that comes too late is none.
                self._run_seconds = took
                shutil.rmtree(folder)
                folder.mkdir()
            else:
                raise RuntimeError("no process was killed in time")
            computed = self._ask_again(count, residues, seed)
            count["rows_lost"] += max(0, computed - (L - len(told)))

    def damaged_store(self) -> None:
        """Damage files of a store with entries of every kind, and ask for all that was in it."""
        if self._template is None:
            self._make_template()
        assert self._template is not None
        with self._fault("damage") as (count, folder):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(self._template, folder, copy_function=shutil.copyfile)
            kinds = [damage(folder, self.draw) for _ in range(self.draw.choice([1, 1, 1, 2, 4]))]
            count["faults"] += len(kinds) - 1
            self._ask_for_all(count, ", ".join(kinds))

    def full_disk(self) -> None:
        """Let files grow no larger than some size."""
        with self._fault("full disk") as (count, folder):
            seed = self.draw.randrange(10**6)
            residues = sequence_of(L, seed)
            process, heard = self._start(
                folder, residues, seed, largest_file=self.draw.choice([0, 100, 2000, 19000])
            )
            self._hear(count, process, heard, residues, seed)
            self._ask_again(count, residues, seed)

    def small_disk(self) -> None:
        """Keep the cache on a disk that is too small; not counted where no disk may be mounted."""
        with self._fault("small disk") as (count, folder):
            size = self.draw.choice([16, 60, 120, 200])
            options = ["-t", "tmpfs", "-o", f"size={size}k,mode=0777", "catjac"]
            mounted = subprocess.run(["mount", *options, folder], capture_output=True, check=False)
            if mounted.returncode:
                count.subtract(("rounds", "faults"))
                return
            try:
                seed = self.draw.randrange(10**6)
                residues = sequence_of(L, seed)
                process, heard = self._start(folder, residues, seed)
                self._hear(count, process, heard, residues, seed)
                self._ask_again(count, residues, seed)
            finally:
                cache.close()
                subprocess.run(["umount", "--lazy", folder], check=True)

    def clock_that_is_off(self) -> None:
        """Have two processes compute the same, one of them with a clock that is off by up to two days."""
        with self._fault("clock off") as (count, folder):
            seed = self.draw.randrange(10**6)
            residues = sequence_of(L, seed)
            clocks = [0.0, self.draw.uniform(-2e5, 2e5)]
            started = [self._start(folder, residues, seed, seconds=0.004, clock=clock) for clock in clocks]
            if self.draw.random() < 0.5:
                time.sleep(0.1 * self.draw.random())
                started.pop(self.draw.randrange(2))[0].kill()
            for process, heard in started:
                self._hear(count, process, heard, residues, seed)
            count["rows_lost"] += self._ask_again(count, residues, seed)

    def no_rights(self) -> None:
        """Take away the right to write, or to read."""
        with self._fault("no rights") as (count, folder):
            seed = self.draw.randrange(10**6)
            residues = sequence_of(L, seed)
            jacobian(residues, Model(seed), progress=False, positions=range(1, L // 2), batch_size=19)
            mode = self.draw.choice([0o500, 0o000])
            everything = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
            for path in reversed(everything):
                path.chmod(mode)
            # Who may do everything has no such trouble.
            process, heard = self._start(folder, residues, seed, user=65534 if os.getuid() == 0 else None)
            self._hear(count, process, heard, residues, seed)
            for path in everything:
                path.chmod(0o700)

    def folder_goes(self) -> None:
        """Delete the folder in the middle of a job."""
        with self._fault("folder goes") as (count, folder):
            seed = self.draw.randrange(10**6)
            residues = sequence_of(L, seed)
            lazy = self.draw.random() < 0.5
            moment = self.draw.randrange(1, L + 1)
            job = submit(residues, Model(seed), batch_size=19, lazy=lazy)
            job.add_listener(
                row=lambda position, row: (
                    shutil.rmtree(folder, ignore_errors=True) if position == moment else None
                )
            )
            try:
                self._compare(count, job.result(PATIENCE), reference(residues, seed))
            except CatjacError:
                if not lazy:
                    raise
            self._ask_again(count, residues, seed)

    def several(self, number: int) -> None:
        """Have several processes compute the same, and kill one of them."""
        with self._fault(f"{number} processes") as (count, folder):
            seed = self.draw.randrange(10**6)
            residues = sequence_of(L, seed)
            started = [self._start(folder, residues, seed, seconds=0.004) for _ in range(number)]
            time.sleep(0.1 * self.draw.random())
            started[0][0].kill()
            for process, heard in started[1:]:
                self._hear(count, process, heard, residues, seed)
            count["rows_lost"] += self._ask_again(count, residues, seed)

    def _seconds_of_a_run(self) -> float:
        """Measure, once, how long a process takes that nobody kills, from its beginning."""
        if self._run_seconds is None:
            measured = []
            for number in range(3):
                folder = self._folder / f"measured {number}"
                process, heard = self._start(folder, sequence_of(L, 0), 0, seconds=0.004)
                began = time.monotonic()
                self._hear(Counter(), process, heard, sequence_of(L, 0), 0)
                measured.append(time.monotonic() - began)
            self._run_seconds = sorted(measured)[1]
        return self._run_seconds

    # ---- processes

    def _start(self, folder: Path, residues: str, seed: int, **options: Any) -> tuple[Any, Any]:
        process, heard = forked.start(fault_models.compute, folder, residues, seed, **options)
        if not heard.poll(PATIENCE):
            raise Hang
        with contextlib.suppress(EOFError):
            heard.recv()
        return process, heard

    def _hear(self, count: Counter[str], process: Any, heard: Any, residues: str, seed: int) -> None:
        """Wait for the Jacobian of a process and compare it."""
        until = time.monotonic() + PATIENCE
        try:
            while True:
                if not heard.poll(max(0.0, until - time.monotonic())):
                    self._note(count, "hangs", "a process")
                    break
                message = heard.recv()
                if isinstance(message, np.ndarray):
                    if not np.array_equal(message, reference(residues, seed).values):
                        self._note(count, "wrong_numbers", "a process")
                    break
        except EOFError:
            self._note(count, "tracebacks", "a process ended without a result")
        process.kill()
        process.join(PATIENCE)


def _told(heard: Any, until: float) -> set[int]:
    """Rows that a process tells of until some moment or its end; and DONE, if it gave its result."""
    told = set()
    with contextlib.suppress(EOFError, OSError):  # its end, in the middle of a message or not
        while heard.poll(max(0.0, until - time.monotonic())):
            message = heard.recv()
            told.add(message if isinstance(message, int) else DONE)
            if not isinstance(message, int):
                break
    return told


def main() -> int:
    """Run the campaign from the command line."""
    from tqdm import tqdm

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("CATJAC_FAULT_ROUNDS", "100")))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with Campaign(asked.seed) as campaign, tqdm(total=asked.rounds, unit="round") as bar:
        campaign.run(asked.rounds, lambda number: bar.update())
        rows = campaign.rows()
    for line in campaign.said[:50]:
        print(line)
    for row in rows:
        print("  ".join(f"{name} {row[name]}" for name in COLUMNS))
    if asked.out:
        with asked.out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    total = rows[-1]
    return int(any(total[name] for name in COLUMNS[3:]))


if __name__ == "__main__":
    sys.exit(main())
