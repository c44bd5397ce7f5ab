"""The mean block of a brush: against a plain loop, a row at a time, in turns, alone and in the explorer."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import RESIDUES, StagedJob, plan_of
from notebook_page import Wire

from catjac_widgets.errors import SequenceError, UsageError
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.widgets.explorer.view import Explorer
from catjac_widgets.widgets.jacobian_slice import mean_block
from catjac_widgets.widgets.jacobian_slice.mean_block import MeanBlock, mean_block_of
from catjac_widgets.widgets.jacobian_slice.view import JacobianSlice

SEQUENCE = as_sequence(RESIDUES, name="made up")
LENGTH = len(SEQUENCE)


@pytest.fixture(autouse=True)
def one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, one delivery reads all that is there."""
    monkeypatch.setattr(mean_block, "TURN", float("inf"))


def plain_mean(J: np.ndarray, brush: Any, rows: Any) -> tuple[np.ndarray | None, int]:
    """Average block by block, in float64."""
    (i0, i1), (j0, j1) = brush
    blocks = [
        J[i - 1, :, j - 1, :].astype(np.float64)
        for i in range(i0, i1 + 1)
        for j in range(j0, j1 + 1)
        if i != j and i in rows
    ]
    return (np.mean(blocks, axis=0) if blocks else None), len(blocks)


def explorer(mask: Mask | None = None, **traits: Any) -> tuple[Explorer, StagedJob]:
    job = StagedJob(plan_of(SEQUENCE, mask=mask))
    return Explorer(SEQUENCE, lambda _: job, model_name="stub", mask=mask, **traits), job


run = st.tuples(st.integers(1, 9), st.integers(1, 9)).map(lambda ends: (min(ends), max(ends)))


@settings(max_examples=60, deadline=None)
@given(rows=run, columns=run, there=st.sets(st.integers(1, 9)), hidden=st.sets(st.integers(1, 9)))
def test_against_a_plain_loop(rows: Any, columns: Any, there: set[int], hidden: set[int]) -> None:
    J = np.random.default_rng(7).standard_normal((9, 3, 9, 4)).astype(np.float32)
    there -= hidden
    mean = MeanBlock(
        (rows, columns),
        lambda p: J[p - 1] if p in there else None,
        ("A", "C", "D"),
        tuple("ACDE"),
        frozenset(hidden),
    )
    assert mean.read(float("inf"))
    expected, pairs = plain_mean(J, (rows, columns), there)
    brushed = set(range(rows[0], rows[1] + 1))
    counts = mean.counts
    assert (counts.pairs, counts.rows_done) == (pairs, len(brushed & there))
    assert (counts.rows_waiting, counts.rows_masked) == (len(brushed - there - hidden), len(brushed & hidden))
    if expected is None:
        assert mean.values is None
        assert mean.status[0] != "ready"
    else:
        assert mean.values is not None
        assert mean.values.dtype == np.float32
        np.testing.assert_allclose(mean.values, expected, rtol=1e-6, atol=1e-7)


def test_rows_are_read_once_in_turns_and_only_those_of_the_brush() -> None:
    J = np.random.default_rng(3).standard_normal((9, 2, 9, 2)).astype(np.float32)
    asked: list[int] = []
    there = {2, 4, 5}

    def row(position: int) -> np.ndarray | None:
        asked.append(position)
        return J[position - 1] if position in there else None

    mean = MeanBlock(((2, 5), (7, 9)), row, ("A", "C"), ("A", "C"))
    turns = 1
    while not mean.read(seconds=0):
        turns += 1
    assert turns > 1
    assert set(asked) == {2, 3, 4, 5}
    assert sorted(position for position in asked if position != 3) == [2, 4, 5]
    assert mean.words() == "mean of 9 pairs · 3 of 4 rows so far"
    there.add(3)
    assert mean.read(float("inf"))
    assert mean.words() == "mean of 12 pairs"
    expected, _ = plain_mean(J, ((2, 5), (7, 9)), there)
    np.testing.assert_allclose(mean.values, expected, rtol=1e-6)


def test_rows_of_a_jacobian_that_are_missing_are_left_out() -> None:
    job = StagedJob(plan_of(SEQUENCE))
    job.give(3, 4)
    mean = mean_block_of(job.partial, ((3, 6), (20, 30)))
    assert mean.read(float("inf"))
    expected, pairs = plain_mean(job.J, ((3, 6), (20, 30)), {3, 4})
    assert mean.counts.pairs == pairs == 22
    np.testing.assert_allclose(mean.values, expected, rtol=1e-5, atol=1e-7)


def test_a_slice_alone_shows_the_brushed_mean(wire: Wire) -> None:
    job = StagedJob(plan_of(SEQUENCE))
    job.finish()
    view = JacobianSlice(job.partial, selection=(3, 9))
    view.brush = ((2, 4), (10, 12))
    view.delivery.flush()
    mean = view.mean
    assert (mean["status"], mean["brush"], mean["words"]) == ("ready", [[2, 4], [10, 12]], "mean of 9 pairs")
    values = np.frombuffer(mean["values"]["data"], "<f4").reshape(20, 20)
    np.testing.assert_allclose(values, plain_mean(job.J, view.brush, range(99))[0], rtol=1e-5, atol=1e-7)
    view.brush = None
    view.delivery.flush()
    assert view.mean is None


def test_the_explorer_s_mean_fills_as_rows_come(wire: Wire) -> None:
    ex, job = explorer(brush=((3, 6), (5, 9)))
    ex.delivery.flush()
    assert ex.jacobian_slice.mean["status"] == "waiting"
    with pytest.raises(UsageError, match="not computed yet"):
        ex.brush_block()
    job.give(3, 40)
    ex.delivery.flush()
    assert ex.jacobian_slice.mean["words"] == "mean of 5 pairs · 1 of 4 rows so far"
    job.finish()
    ex.wait(10)
    ex.delivery.flush()
    assert ex.jacobian_slice.mean["words"] == "mean of 18 pairs"
    expected, pairs = plain_mean(job.J, ex.brush, range(99))
    block = ex.brush_block()
    assert block.dims == ("aa_in", "aa_out")
    assert (block.attrs["pairs"], block.attrs["rows_done"]) == (pairs, 4)
    np.testing.assert_allclose(block, expected, rtol=1e-5, atol=1e-7)
    ex.close()


def test_masked_rows_are_said(wire: Wire) -> None:
    ex, job = explorer(Mask.showing(SEQUENCE, [(1, 20)]), brush=((19, 22), (1, 3)))
    job.finish()
    ex.wait(10)
    ex.delivery.flush()
    assert ex.jacobian_slice.mean["words"] == "mean of 6 pairs · 2 masked rows left out"
    ex.brush = ((25, 30), (1, 3))
    ex.delivery.flush()
    assert ex.jacobian_slice.mean["status"] == "masked"
    ex.close()


def test_the_front_end_s_brush_is_read_on_another_thread(wire: Wire) -> None:
    ex, job = explorer()
    job.finish()
    ex.wait(10)
    readers: set[int] = set()
    row = job.row

    def watched(position: int) -> np.ndarray | None:
        readers.add(threading.get_ident())
        return row(position)

    job.row = watched  # type: ignore[method-assign]
    with ex.delivery.lock:  # so that nothing is delivered while the message is taken in
        wire.receive(
            {
                "id": ex.model_id,
                "method": "update",
                "state": {"brush": [[3, 6], [5, 9]], "residues": [[3, 9]]},
            }
        )
        assert ex.brush == ((3, 6), (5, 9))
        assert readers == set()
    ex.delivery.flush()
    assert ex.jacobian_slice.mean["status"] == "ready"
    assert readers
    ex.close()


def test_what_was_chosen_last_counts(wire: Wire) -> None:
    ex, _ = explorer(selection=(2, 3), brush=((3, 6), (5, 9)))
    assert ex.brush == ((3, 6), (5, 9)), "given together they stay"
    ex.selection = (4, 5)
    assert ex.brush is None
    assert ex.contact_map.brush is None
    ex.brush = [[1, 2], [3, 3]]
    assert ex.jacobian_slice.brush == ((1, 2), (3, 3))
    for bad in (((0, 2), (1, 1)), ((1, 99), (1, 1))):
        with pytest.raises(SequenceError, match=f"within 1–{LENGTH}"):
            ex.brush = bad
    ex.brush = None
    with pytest.raises(UsageError, match="No block is brushed"):
        ex.brush_block()
    ex.close()
