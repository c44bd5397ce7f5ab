"""Inject faults into stores and processes, and count what comes of it: `make faults`.

    CATJAC_FAULT_ROUNDS=100 python tests/faults/campaign.py --out docs/faults.csv

A round is five processes that are killed (one of them inside the writing of a chunk), ten damaged stores,
and now and then a full disk, rights that are missing, a folder that goes, or several processes at once.
After each fault the same numbers are asked for again, eagerly and lazily, and compared bit by bit with those
that were computed without a cache; what is stored beside a Jacobian is compared too.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_TESTS), str(Path(__file__).resolve().parent)]

import fault_models  # noqa: E402
import forked  # noqa: E402
import numpy as np  # noqa: E402
from damages import damage  # noqa: E402
from fault_models import IN_A_WRITE, MAPS, Model, reference, sequence_of  # noqa: E402

from catjac_widgets.analysis.contacts.maps import contacts  # noqa: E402
from catjac_widgets.analysis.contacts.norms import block_norms  # noqa: E402
from catjac_widgets.analysis.summaries import sensitivity  # noqa: E402
from catjac_widgets.engine.api import jacobian, submit  # noqa: E402
from catjac_widgets.engine.cache import stored  # noqa: E402
from catjac_widgets.engine.cache.kept_maps import kept_map  # noqa: E402
from catjac_widgets.engine.cache.store import cache  # noqa: E402
from catjac_widgets.engine.jobs.mask_scan import scan_masks  # noqa: E402
from catjac_widgets.errors import CacheError, CatjacError  # noqa: E402
from catjac_widgets.proteins.reading import as_sequence  # noqa: E402

#: Columns of the table.
COLUMNS = ("fault", "rounds", "faults", "rows_lost", "wrong_numbers", "tracebacks", "hangs")

#: Seconds after which something hangs.
PATIENCE = 60

L = 12
MASK = [(3, 5)]

#: What is stored beside a Jacobian and compared by itself.
BESIDE = ("contacts", "block_norms", "mean_over_pos_in", "mean_over_pos_out")

#: What is compared of the table of sensitivities.
IN_TABLE = ("influence", "sensitivity", "coupling_strength")

#: Stands for the result of a process among the rows that it told of.
DONE = 0


class Hang(BaseException):
    """Nothing came for too long."""


class Campaign:
    """Counts faults and what came of them, by kind.

    Parameters
    ----------
    seed
        Of everything that is drawn.
    """

    def __init__(self, seed: int = 0) -> None:
        self.draw = random.Random(seed)
        self.counts: dict[str, Counter[str]] = {}
        self.said: list[str] = []
        self._run_seconds: float | None = None
        self._template: Path | None = None
        self._expected: dict[str, Any] = {}

    def __enter__(self) -> Campaign:
        self._folder = Path(tempfile.mkdtemp(prefix="catjac-faults-"))
        self._before = os.environ.get("CATJAC_CACHE")
        self._logs = _Logs()
        logging.getLogger("catjac").addHandler(self._logs)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("catjac").removeHandler(self._logs)
        cache.close()
        if self._before is None:
            os.environ.pop("CATJAC_CACHE", None)
        else:
            os.environ["CATJAC_CACHE"] = self._before
        shutil.rmtree(self._folder, ignore_errors=True)

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

    # ---- what is asked for

    def _make_template(self) -> None:
        folder = self._folder / "template"
        os.environ["CATJAC_CACHE"] = str(folder)
        residues = sequence_of(L, 1)
        self._residues = residues
        self._wanted = {
            "one model": (1, {}),
            "another": (2, {}),
            "fast": (1, {"variant": "fast"}),
            "masked": (1, {"mask": fault_models.Mask.hiding(residues, MASK)}),
        }
        for name, (seed, options) in self._wanted.items():
            made = jacobian(residues, Model(seed), progress=False, batch_size=19, **options)
            plain = reference(residues, seed, **options)
            assert np.array_equal(made.values, plain.values, equal_nan=True)
            self._expected[name] = plain, _maps_of(plain)
        self._masks = np.random.default_rng(0).random((5, L)) < 0.4
        self._scan = self._scanned()
        self._map = np.random.default_rng(1).random((L, L))
        kept_map("fault", "fingerprint", L, lambda: self._map)
        cache.close()
        self._template = folder

    def _scanned(self) -> np.ndarray:
        made: dict[int, np.ndarray] = {}
        scan_masks(
            as_sequence(self._residues),
            Model(1),
            self._masks,
            lambda first, maps: made.update({first: np.array(maps)}),
            maps=MAPS,
            progress=False,
        )
        return np.concatenate([made[first] for first in sorted(made)])

    def _ask_for_all(self, count: Counter[str], what: str) -> None:
        for name, (seed, options) in self._wanted.items():
            expected, maps = self._expected[name]
            options = {"progress": False, "batch_size": 19, **options}
            lazy = jacobian(self._residues, Model(seed), lazy=True, **options)
            for _ in range(L + 1):
                try:
                    table = sensitivity(lazy)  # of an array on disk, by what is stored beside it
                    for kind in IN_TABLE:
                        if not np.allclose(table[kind], maps[kind], atol=1e-4, equal_nan=True):
                            self._note(count, "wrong_numbers", f"{what}: {kind} of {name}")
                    self._compare(count, lazy, expected, what)
                    break
                except CacheError:  # which says that the next call heals it
                    jacobian(self._residues, Model(seed), lazy=True, **options)
            else:
                self._note(count, "hangs", f"{what}: a lazy row does not heal")
            made = jacobian(self._residues, Model(seed), **options)
            self._compare(count, made, expected, what)
            plan = stored.plan_of(made)
            entry = None if plan is None else cache.find(plan)
            for kind in BESIDE if entry is not None else ():
                beside = entry.read_beside(kind)
                if beside is not None and not np.allclose(beside, maps[kind], atol=1e-4, equal_nan=True):
                    self._note(count, "wrong_numbers", f"{what}: stored {kind} of {name}")
        if not np.array_equal(self._scanned(), self._scan):
            self._note(count, "wrong_numbers", f"{what}: mask scan")
        if not np.array_equal(kept_map("fault", "fingerprint", L, lambda: self._map), self._map):
            self._note(count, "wrong_numbers", f"{what}: kept map")

    def _ask_again(self, count: Counter[str], residues: str, seed: int) -> int:
        """Ask for the same in this process, and return how many rows had to be computed."""
        computed = cache.info().rows_computed
        made = jacobian(residues, Model(seed), progress=False, batch_size=19)
        computed = cache.info().rows_computed - computed
        self._compare(count, made, reference(residues, seed))
        return computed

    def _compare(self, count: Counter[str], made: Any, expected: Any, what: str = "") -> None:
        if not np.array_equal(made.values, expected.values, equal_nan=True):
            self._note(count, "wrong_numbers", f"{what}: rows")
        if not np.array_equal(made["wild_type_logits"].values, expected["wild_type_logits"].values):
            self._note(count, "wrong_numbers", f"{what}: wild-type logits")

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

    # ---- counting

    @contextlib.contextmanager
    def _fault(self, kind: str) -> Iterator[tuple[Counter[str], Path]]:
        count = self.counts.setdefault(kind, Counter())
        count["rounds"] += 1
        count["faults"] += 1
        folder = self._folder / f"cache {sum(each['rounds'] for each in self.counts.values())}"
        folder.mkdir()
        folder.chmod(0o777)
        self._folder.chmod(0o755)
        os.environ["CATJAC_CACHE"] = str(folder)
        logged = self._logs.tracebacks
        signal.signal(signal.SIGALRM, _alarm)
        signal.alarm(2 * PATIENCE)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield count, folder
        except Hang:
            self._note(count, "hangs", kind)
        except Exception as error:
            self._note(count, "tracebacks", f"{kind}: {type(error).__name__}: {error}")
        finally:
            signal.alarm(0)
            count["tracebacks"] += self._logs.tracebacks - logged
            shutil.rmtree(folder, ignore_errors=True)

    def _note(self, count: Counter[str], what: str, text: str) -> None:
        count[what] += 1
        self.said.append(f"{what}: {text}")


class _Logs(logging.Handler):
    """Counts what is logged with a traceback."""

    tracebacks = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.tracebacks += bool(record.exc_info)


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


def _alarm(*_: object) -> None:
    raise Hang


def _maps_of(J: Any) -> dict[str, np.ndarray]:
    """What is asked of a Jacobian, and what a store keeps beside it, by the numbers alone."""
    table = sensitivity(J)
    return {
        **{kind: table[kind].values for kind in IN_TABLE},
        "contacts": contacts(J).values,
        "block_norms": block_norms(J).values,
        **_means_of(J.values),
    }


def _means_of(J: np.ndarray) -> dict[str, np.ndarray]:
    """Means of rows as a store keeps them beside a Jacobian whose masked rows are NaN."""
    visible = np.isfinite(J).all(axis=(1, 2, 3))
    over_inputs, over_outputs = J[visible].mean(0), np.full((len(J), *J.shape[1::2]), np.nan)
    over_inputs[:, ~visible] = np.nan
    over_outputs[visible] = J[visible][:, :, visible].mean(2)
    return {"mean_over_pos_in": over_inputs, "mean_over_pos_out": over_outputs}


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
