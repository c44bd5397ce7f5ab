"""The memory that Jacobians and their maps take at most, measured in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from bigger_than_memory import Cheap, held, hold_less, residues

from catjac_widgets.analysis.contacts.maps import contacts
from catjac_widgets.engine.api import jacobian


def measure(told: Connection, length: int) -> None:
    """Compute, keep, read and analyse a Jacobian, telling the bytes each takes beyond those before it."""
    hold_less(length)
    found: dict[str, int] = {}
    model, sequence = Cheap(), residues(length)
    for lazy in (True, False):
        warm = jacobian(residues(20), model, lazy=lazy, progress=False)
        contacts(warm), contacts(warm, diag="none")

    def peak(name: str, call: Callable[[], Any]) -> Any:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = held("VmRSS")
        made = call()
        found[name] = held("VmHWM") - before
        return made

    def stored() -> Any:
        return jacobian(sequence, model, lazy=True, progress=False)

    lazy = peak("to the store", stored)
    map_of_stored = peak("map of the stored", lambda: contacts(stored()))
    peak("map of the stored tensor", lambda: contacts(lazy, diag="none"))
    peak("read into memory", lambda: jacobian(sequence, model, lazy=False, progress=False))
    J = peak("to memory", lambda: jacobian(sequence, model, lazy=False, cache=False, progress=False))
    map_of_memory = peak("map of the tensor in memory", lambda: contacts(J))
    copied = peak("a copy", lambda: J.copy(deep=True))
    np.testing.assert_allclose(map_of_stored.values, map_of_memory.values, atol=1e-4)
    np.testing.assert_array_equal(copied[7].values, lazy[7].values)
    told.send({"tensor": J.nbytes, **found})
