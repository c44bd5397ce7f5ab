"""A protein whose Jacobian lies in the cache: its first picture needs none of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from notebook_page import Wire

import catjac
from catjac_widgets.widgets.explorer.view import Explorer


@pytest.fixture
def known(wire: Wire, own_cache: Path) -> Iterator[Explorer]:
    """An explorer of a protein that was computed by now, and closed."""
    ex = catjac.explore("ww", "mini")
    ex.wait(120)
    yield ex
    ex.close()


def again() -> Explorer:
    ex = catjac.explore("ww", "mini")
    ex.wait(60)
    return ex


def test_the_first_picture_reads_no_row_and_a_block_reads_one(known: Explorer) -> None:
    before = catjac.cache.info().rows_read
    ex = again()
    assert ex.status == "done"
    assert ex.contact_map.label == "Jacobian"
    np.testing.assert_allclose(ex.contact_map.values, known.contact_map.values, atol=1e-5)
    np.testing.assert_allclose(ex.sensitivity.values, known.sensitivity.values, rtol=1e-5)
    assert catjac.cache.info().rows_read == before
    ex.selection = (3, 9)
    ex.delivery.flush(30)
    assert ex.jacobian_slice.block["status"] == "ready"
    assert catjac.cache.info().rows_read == before + 1
    ex.close()


def test_nor_does_it_look_at_them_uncounted(known: Explorer, own_cache: Path) -> None:
    rows = [path for path in own_cache.rglob("c.*") if path.parent.name == "jacobian"]
    assert len(rows) == len(known.sequence)
    for path in rows:
        path.write_bytes(b"\x00" * path.stat().st_size)
    ex = again()
    assert (ex.status, ex.error) == ("done", "")
    np.testing.assert_allclose(ex.contact_map.values, known.contact_map.values, atol=1e-5)
    np.testing.assert_allclose(ex.sensitivity.values, known.sensitivity.values, rtol=1e-5)
    ex.selection = (3, 9)
    ex.delivery.flush(30)
    assert ex.jacobian_slice.block["status"] == "error"
    ex.close()
