"""A Jacobian that is larger than the memory there is can be analysed; what cannot be read is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bigger_than_memory import Cheap, measured, residues

from catjac_widgets.engine.api import jacobian
from catjac_widgets.engine.cache.store import cache
from catjac_widgets.engine.compute import memory
from catjac_widgets.errors import ResourceError

#: Of this length J takes 144 MB.
LENGTH = 300

#: What the analyses may take, those by dask's two threads too.
MEGABYTES = 110


@pytest.mark.timeout(300)
def test_a_jacobian_larger_than_the_memory_is_analysed() -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("The kernel's peak of resident memory is read from /proc, which this system has not.")
    found = measured(LENGTH, MEGABYTES)
    print(found)
    assert found["tensor"] > MEGABYTES
    assert found["the limit holds"]
    assert found["rows computed"] == 0
    assert len(found) > 15


def test_what_does_not_fit_into_memory_is_refused_before_it_is_read(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    J = jacobian(residues(40), Cheap(), lazy=True, progress=False)
    monkeypatch.setattr(memory, "_ALWAYS_READ", 10**5)
    monkeypatch.setattr(memory, "available_memory", lambda: 10**6)
    before = cache.info().rows_read
    for read in (lambda: J.values, lambda: J.mean("pos_in"), lambda: J.sel(aa_in=list("ACDEFGHIKL")).load()):
        with pytest.raises(ResourceError, match=r"takes .* MB .* 1\.0 MB are free; .* lazy='dask'"):
            read()
    assert cache.info().rows_read == before
    assert np.isfinite(J.sel(pos_in=[3, 9]).values).all()
