"""Analyse a Jacobian that is larger than the memory there is.

``python tests/engine/bigger_than_memory.py 1000 1000`` writes the Jacobian of 1000 residues to the cache (of
a model that costs nothing), and analyses it in a process that the kernel lets have 1000 MB more than it has
when all is imported and was used once. It prints, as JSON, the highest resident memory of each analysis
above that, in MB, and its seconds. For a shorter protein the rows that are held and dask's chunks are
smaller, in proportion to its Jacobian.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import dask
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import forked
from stubs import PottsModel

import catjac_widgets as catjac
from catjac_widgets.block_math import pairs
from catjac_widgets.engine import labels
from catjac_widgets.language_models.base import Substitution

#: Threads of dask's; each works on a chunk of its own.
THREADS = 2


class Cheap(PottsModel):
    """Logits from a small table of noise, so that rows cost next to nothing."""

    def prepare(self, residues: Any, mask: Any = None, numerics: str = "exact") -> Any:
        self.noise = np.random.default_rng(0).standard_normal((97, len(residues), 20), dtype=np.float32)
        return self

    def wild_type(self) -> np.ndarray:
        return self.noise[0]

    def rows(self, substitutions: list[Substitution]) -> np.ndarray:
        letters = self.letters
        return self.noise[[1 + (20 * s.position + letters.index(s.letter)) % 96 for s in substitutions]]


def residues(length: int) -> str:
    """The 20 letters, over and over."""
    return ("ACDEFGHIKLMNPQRSTVWY" * (1 + length // 20))[:length]


def held(field: str) -> int:
    """Bytes of this process, by a field of /proc/self/status."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}.")


def analyses(J: Any) -> dict[str, Callable[[], Any]]:
    """What is done with a Jacobian; each gives something small."""
    some = J.coords["pos_in"].values[[23, 60]]
    return {
        "contacts": lambda: catjac.contacts(J),
        "contacts, diagonal kept": lambda: catjac.contacts(J, diag="none"),
        "contacts, order A'": lambda: catjac.contacts(J, order="A'"),
        "sensitivity": lambda: catjac.sensitivity(J)["influence"],
        "sel of a block": lambda: J.sel(pos_in=some[0], pos_out=some[1]).load(),
        "sel of a read residue": lambda: J.sel(pos_out=some[1]).load(),
        "sel of letters": lambda: J.sel(aa_in="K", aa_out="E").load(),
        "mean of rows": lambda: J.sel(pos_in=some).mean("pos_in").load(),
    } | (
        {
            "mean over pos_in": lambda: J.mean("pos_in").load(),
            "mean of all": lambda: J.mean().load(),
        }
        if J.chunks is not None
        else {}
    )


def hold_less(length: int) -> None:
    """Hold rows and make chunks of dask's as small as a shorter protein is beside one of 1000 residues."""
    share = min(1.0, (length / 1000) ** 2)
    pairs.HELD_BYTES = int(share * pairs.HELD_BYTES)
    labels.DASK_BYTES = int(share * labels.DASK_BYTES)


def use_a_cache_in(folder: str) -> None:
    """Keep rows there, without a limit that matters."""
    os.environ |= {"CATJAC_CACHE": folder, "CATJAC_CACHE_LIMIT": "10GB"}


def write(told: Connection, folder: str, length: int) -> None:
    """Write the Jacobian to the cache."""
    use_a_cache_in(folder)
    told.send(catjac.jacobian(residues(length), Cheap(), lazy=True, progress=False).nbytes)


def analyse(told: Connection, folder: str, length: int, megabytes: float) -> None:
    """Run everything, first of a small protein, so that what is made once is made; then under the limit."""
    use_a_cache_in(folder)
    hold_less(length)
    threading.stack_size(2**20)  # Stacks count in full.
    model = Cheap()
    found: dict[str, Any] = {"limit": megabytes}
    sums = {}
    with dask.config.set(scheduler="threads", num_workers=THREADS):
        for how in (True, "dask"):
            small = catjac.jacobian(residues(70), model, lazy=how, progress=False)
            for call in analyses(small).values():
                call()
        start = held("VmRSS")
        most = held("VmData") + int(megabytes * 1e6)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        for how in (True, "dask"):
            J = catjac.jacobian(residues(length), model, lazy=how, progress=False)
            found["tensor"] = J.nbytes / 1e6
            for name, call in analyses(J).items():
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
                began = time.perf_counter()
                made = call()
                found[f"lazy={how!r}: {name}"] = [
                    round((held("VmHWM") - start) / 1e6, 1),
                    round(time.perf_counter() - began, 2),
                ]
                sums[name, how] = np.asarray(made)
        try:
            np.ones(int(megabytes * 1e6), dtype=np.int8)
        except MemoryError:
            found["the limit holds"] = True
    for (name, how), values in sums.items():
        if how is True:
            np.testing.assert_allclose(sums[name, "dask"], values, atol=1e-4, err_msg=name)
    found["rows computed"] = catjac.cache.info().rows_computed - 70
    told.send(found)


def measured(length: int, megabytes: float) -> dict[str, Any]:
    """Write the Jacobian in one process, and analyse it in another."""
    with tempfile.TemporaryDirectory() as folder:
        forked.answer(*forked.start(write, folder, length), seconds=3600)
        found: dict[str, Any] = forked.answer(*forked.start(analyse, folder, length, megabytes), seconds=3600)
    return found


if __name__ == "__main__":
    asked_length, asked_megabytes = sys.argv[1:]
    print(json.dumps(measured(int(asked_length), float(asked_megabytes)), indent=2))
