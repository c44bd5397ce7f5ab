"""What processes of their own compute in tests of the cache, and tell through a pipe."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from typing import Any

from stubs import BatchDependentModel, PottsModel

from catjac_widgets.engine.api import jacobian
from catjac_widgets.engine.cache.store import cache


class Slow(PottsModel):
    """Takes a while for a batch, so that processes meet."""

    def on_rows(self, substitutions: list[Any]) -> None:
        super().on_rows(substitutions)
        time.sleep(0.03)


MODELS = {
    "slow": lambda: Slow(),
    "batch-dependent": lambda: BatchDependentModel(),
    "unsymmetric": lambda: PottsModel(symmetric=False),
}


def share(pipe: Connection, model: str, residues: str, batch_size: int) -> None:
    """Say that all is ready, wait for a word, compute, and tell rows computed, rows read and the values."""
    asked = MODELS[model]()
    pipe.send("ready")
    pipe.recv()
    made = jacobian(residues, asked, progress=False, batch_size=batch_size)
    info = cache.info()
    pipe.send((info.rows_computed, info.rows_read, made.values))
