"""What the campaign asks for after a fault, what it compares that with, and how it counts what is wrong."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import fault_models
import numpy as np
from fault_models import MAPS, Model, reference, sequence_of

from catjac_widgets.analysis.contacts.maps import contacts
from catjac_widgets.analysis.contacts.norms import block_norms
from catjac_widgets.analysis.summaries import sensitivity
from catjac_widgets.engine.api import jacobian
from catjac_widgets.engine.cache import stored
from catjac_widgets.engine.cache.kept_maps import kept_map
from catjac_widgets.engine.cache.store import cache
from catjac_widgets.engine.jobs.mask_scan import scan_masks
from catjac_widgets.errors import CacheError
from catjac_widgets.proteins.reading import as_sequence

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


class Hang(BaseException):
    """Nothing came for too long."""


class Asking:
    """Counts what came of faults, by kind, in a cache folder of its own for each.

    Attributes
    ----------
    counts
        By kind of fault: rounds, faults, and the other columns of the table.
    said
        What went wrong, for a person.
    """

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.said: list[str] = []
        self._template: Path | None = None
        self._expected: dict[str, Any] = {}

    def __enter__(self) -> Self:
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
