"""`jacobians`: many proteins in one call, each as it would be alone."""

from __future__ import annotations

import _thread
import gc
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cache_counts import Counts
from stubs import BatchDependentModel, FailingModel, PottsModel, SlowModel

from catjac_widgets.engine import batch as many
from catjac_widgets.engine.api import jacobian
from catjac_widgets.engine.backends.threads import worker_for
from catjac_widgets.engine.batch import jacobians
from catjac_widgets.errors import Cancelled, ModelError, SequenceError, UsageError
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Sequence

PROTEINS = {"one": "MKTAYIAKQRQISF", "two": "NLYIQWLKDGGPSS", "three": "MKWVTFISLLFLFSSAYS", "four": "ACDEF"}
ROWS = sum(map(len, PROTEINS.values()))


def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def as_fasta(folder: Path) -> str:
    return "".join(f">{name} somewhere\n{residues}\n" for name, residues in PROTEINS.items())


def as_path(folder: Path) -> Path:
    (folder / "proteins.fasta").write_text(as_fasta(folder))
    return folder / "proteins.fasta"


@pytest.mark.parametrize(
    "given",
    [
        as_fasta,
        as_path,
        lambda folder: PROTEINS,
        lambda folder: [as_sequence(residues, name=name) for name, residues in PROTEINS.items()],
        lambda folder: (as_sequence(residues, name=name) for name, residues in PROTEINS.items()),
    ],
)
def test_each_is_bit_by_bit_what_it_is_alone(given: Callable[[Path], Any], tmp_path: Path) -> None:
    model = BatchDependentModel(seed=1)
    found = list(jacobians(given(tmp_path), model, batch_size=50, progress=False))
    assert [J.attrs["sequence_name"] for J in found] == list(PROTEINS)
    for J in found:
        alone = jacobian(J.attrs["sequence"], BatchDependentModel(seed=1), batch_size=50, cache=False)
        np.testing.assert_array_equal(J.values, alone.values)


def test_one_sequence_is_many_too() -> None:
    for one in ("MKTAYIAK", Sequence(as_sequence("MKTAYIAK").chains)):
        (J,) = jacobians(one, PottsModel(), progress=False)
        assert J.shape == (8, 20, 8, 20)


def test_what_is_there_is_not_computed_again_and_what_was_left_goes_on(counts: Counts) -> None:
    model = BatchDependentModel(seed=2)
    first = next(jacobians(PROTEINS, model, batch_size=38, progress=False))
    assert first.attrs["complete"] == 1
    computed_before = counts()[0]
    whole = list(jacobians(PROTEINS, model, batch_size=38, progress=False))
    assert counts()[0] == ROWS
    assert computed_before >= 14
    again = list(jacobians(PROTEINS, model, batch_size=38, progress=False))
    assert counts()[0] == ROWS
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        alone = jacobian(one.attrs["sequence"], model, batch_size=38, cache=False)
        np.testing.assert_array_equal(one.values, alone.values)


def test_a_bad_protein_is_named_before_anything_is_computed(tmp_path: Path) -> None:
    model = PottsModel(max_residues=20)
    for given, words in (
        ({"one": "MKTAY", "two": "MKT1B"}, r"^Protein 2, 'two': residue 4 is 'B'"),
        ({"one": "MKTAY", "two": "M" * 21}, r"^Protein 2, 'two': The sequence has 21 residues.* at most 20"),
        (["MKTAY", "M"], r"^Protein 2: The sequence has one residue"),
        (">a\nMKTAY\n>b\nMKTBY\n", r"^Protein 2, 'b': residue 4 is 'B'"),
        ([3], r"^Protein 1: A protein is residues"),
        ([], "There is no sequence"),
        (7, "not a int; give a list"),
        (tmp_path / "none.fasta", "cannot be read"),
    ):
        with pytest.raises(SequenceError, match=words):
            jacobians(given, model, progress=False)
    with pytest.raises(UsageError, match="variant"):
        jacobians(PROTEINS, model, variant="half", progress=False)
    assert model.prepared == 0
    (J,) = jacobians(["MKUAY"], model, unknown={"U": "C"}, progress=False)
    assert J.attrs["sequence"] == "MKCAY"


def test_one_that_goes_wrong_on_the_way_does_not_lose_the_others() -> None:
    # What has a W there already is not substituted by it.
    model = FailingModel(3, "W")
    given = {"good": "MKTWYIAK", "bad": "MKTAYIAK", "fine": "AAAWAAAA"}
    names: list[str] = []
    with pytest.raises(ModelError, match=r"^1 of 3 proteins went wrong, .* protein 2, 'bad': .*not finite"):
        names.extend(J.attrs["sequence_name"] for J in jacobians(given, model, progress=False))
    assert names == ["good", "fine"]
    model.broken = False
    assert len(list(jacobians(given, model, progress=False))) == 3


def test_the_next_is_computed_while_one_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for allowed, begun in ((10**9, 3), (0, 2)):
        monkeypatch.setattr(many, "_AHEAD_BYTES", allowed)
        model = PottsModel(seed=allowed)
        found = jacobians(PROTEINS, model, cache=False, progress=False)
        next(found)
        assert until(lambda model=model, begun=begun: model.prepared == begun)
        time.sleep(0.1)
        assert model.prepared == begun
        assert len(list(found)) == 3


def test_what_the_caller_lets_go_is_not_held() -> None:
    found = jacobians(PROTEINS, PottsModel(), cache=False, progress=False)
    first = weakref.ref(next(found).values)
    next(found)
    gc.collect()
    assert first() is None


def test_a_caller_that_stops_going_through_them_stops_the_work() -> None:
    gate = threading.Semaphore(1)
    model = SlowModel(gate=gate)
    found = jacobians(["ACDEF", *PROTEINS.values()], model, batch_size=95, progress=False)
    next(found)
    found.close()  # type: ignore[attr-defined]
    gate.release(1)
    time.sleep(0.2)
    gate.release(1000)
    time.sleep(0.2)
    assert len(model.batches) <= 2  # the first protein, and the batch in flight


def test_stop_cancels_and_keeps_the_rows(counts: Counts) -> None:
    stop, gate = threading.Event(), threading.Semaphore(4)
    model = SlowModel(gate=gate)
    found = jacobians(PROTEINS, model, batch_size=19, progress=False, stop=stop)

    def cancel() -> None:
        until(lambda: len(model.batches) == 4)
        stop.set()
        time.sleep(0.3)
        gate.release(1)

    threading.Thread(target=cancel).start()
    with pytest.raises(Cancelled, match=r"Stopped at protein 1, 'one' of 4\. .* they are kept"):
        next(found)
    gate.release(1000)
    assert len(list(jacobians(PROTEINS, model, batch_size=19, progress=False))) == 4
    assert counts()[0] == ROWS


def test_an_interrupt_keeps_the_rows(counts: Counts) -> None:
    gate = threading.Semaphore(0)
    model = SlowModel(gate=gate)

    def interrupt() -> None:
        gate.release(3)
        until(lambda: len(model.batches) == 3)
        _thread.interrupt_main()
        time.sleep(0.3)
        gate.release(1)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt, match=r"protein 1, 'one' of 4: .* they are kept"):
        next(jacobians(PROTEINS, model, batch_size=19, progress=False))
    gate.release(1000)
    list(jacobians(PROTEINS, model, batch_size=19, progress=False))
    assert counts()[0] == ROWS


def test_one_bar_runs_over_all(capsys: pytest.CaptureFixture[str]) -> None:
    list(jacobians(PROTEINS, SlowModel(seconds=0.05), batch_size=19))
    said = capsys.readouterr().err
    assert "Jacobian 1 of 4, one" in said
    assert "Jacobian 3 of 4, three" in said
    assert "100%" in said
    list(jacobians(PROTEINS, PottsModel(seed=9), progress=False))
    assert capsys.readouterr().err == ""


def test_it_may_be_called_on_the_device_s_own_thread() -> None:
    model = PottsModel(seed=4)
    future = worker_for("cpu").submit_call(lambda: list(jacobians(PROTEINS, model, progress=False)))
    assert len(future.result(30)) == 4
