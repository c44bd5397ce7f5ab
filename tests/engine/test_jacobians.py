"""`jacobian` as a person uses it: names, interrupts, the progress bar, and a second process."""

from __future__ import annotations

import _thread
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cache_counts import Counts
from checkpoints import random_esm2, write_esm2
from stubs import PottsModel, SlowModel

from catjac_widgets.engine.api import jacobian, submit
from catjac_widgets.engine.cache.store import cache
from catjac_widgets.errors import CatjacError, ModelNotFoundError, SequenceError
from catjac_widgets.language_models import registry

RESIDUES = "MKTAYIAKQRQISF"
L = len(RESIDUES)
TESTS = str(Path(__file__).parents[1])


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_esm2(random_esm2(), tmp_path)


@pytest.fixture(autouse=True)
def no_model_loaded_before() -> None:
    registry.release_models()


# ---- models by name


def test_with_a_name_an_answer_from_the_cache_loads_no_checkpoint(
    checkpoint: Path, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = jacobian(RESIDUES, str(checkpoint), progress=False)
    assert counts() == (L, 0, 1)
    registry.release_models()
    monkeypatch.setattr(
        registry, "load_model", lambda *args, **options: pytest.fail("a checkpoint was loaded")
    )
    for model in (str(checkpoint), checkpoint):
        second = jacobian(RESIDUES, model, progress=False)
        np.testing.assert_array_equal(first.values, second.values)
        np.testing.assert_array_equal(submit(RESIDUES, model).result(30).values, first.values)
    assert counts() == (L, 4 * L, 1)


def test_a_model_is_loaded_once(checkpoint: Path, counts: Counts) -> None:
    for sequence in (RESIDUES, RESIDUES[1:], RESIDUES[2:]):
        jacobian(sequence, str(checkpoint), progress=False)
    assert counts()[2] == 1


def test_name_object_and_pair_share_an_entry(checkpoint: Path, counts: Counts) -> None:
    by_name = jacobian(RESIDUES, str(checkpoint), progress=False)
    model = registry.load_model(str(checkpoint))
    by_object = jacobian(RESIDUES, model, progress=False)
    assert counts()[0] == L
    np.testing.assert_array_equal(by_name.values, by_object.values)


def test_a_model_in_memory_and_its_pair_share_an_entry(counts: Counts) -> None:
    model = random_esm2()
    first = jacobian(RESIDUES, (model, model.alphabet), progress=False)
    second = jacobian(RESIDUES, registry.wrap(model), progress=False)
    assert counts() == (L, L, 0)
    np.testing.assert_array_equal(first.values, second.values)


def test_a_weight_that_changed_is_another_model(counts: Counts) -> None:
    import torch

    model = random_esm2()
    first = jacobian(RESIDUES, registry.wrap(model), progress=False)
    with torch.no_grad():
        model.layers[0].fc1.weight[3, 3] += 0.5
    second = jacobian(RESIDUES, registry.wrap(model), progress=False)
    assert counts() == (2 * L, 0, 0)
    assert np.abs(first.values - second.values).max() > 0


def test_an_unknown_name_or_sequence_fails_at_once() -> None:
    with pytest.raises(ModelNotFoundError):
        jacobian(RESIDUES, "esm2_t6_8M", progress=False)
    with pytest.raises(SequenceError):
        jacobian("MKT1B", PottsModel(), progress=False)


SECOND_PROCESS = """
import sys
from catjac_widgets.engine.api import jacobian, submit
from catjac_widgets.engine.cache.store import cache
J = jacobian(sys.argv[2], sys.argv[1], progress=False)
K = submit(sys.argv[2], sys.argv[1]).result(60)
info = cache.info()
print(info.rows_computed, info.rows_read, info.models_loaded)
print("torch" in sys.modules, "esm" in sys.modules)
print(repr(float(J.values.sum(dtype="float64"))))
"""


def test_a_new_process_runs_the_model_zero_times(checkpoint: Path, cache_folder: Path) -> None:
    first = jacobian(RESIDUES, str(checkpoint), progress=False)
    done = subprocess.run(
        [sys.executable, "-c", SECOND_PROCESS, str(checkpoint), RESIDUES],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    counted, imported, total = done.stdout.splitlines()
    assert counted == f"0 {2 * L} 0"
    assert imported == "False False"
    assert float(total) == float(first.values.sum(dtype=np.float64))


# ---- interrupts


def test_an_interrupt_keeps_the_rows_and_the_next_call_goes_on(counts: Counts) -> None:
    gate = threading.Semaphore(0)
    model = SlowModel(gate=gate)

    def interrupt() -> None:
        gate.release(3)
        deadline = time.monotonic() + 10
        while len(model.batches) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        _thread.interrupt_main()
        time.sleep(0.2)
        gate.release(1)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt, match=r"interrupted after \d of 14 rows; they are kept") as caught:
        jacobian(RESIDUES, model, batch_size=19, progress=False)
    kept = int(str(caught.value).split()[5])
    assert 3 <= kept <= 4  # the batch in flight may have been the fourth
    gate.release(1000)
    made = jacobian(RESIDUES, model, batch_size=19, progress=False)
    assert counts() == (L, kept, 0)
    np.testing.assert_array_equal(made.values, jacobian(RESIDUES, PottsModel(), batch_size=19, cache=False))


def test_an_interrupt_while_reading_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    from catjac_widgets.engine.cache.folder.entry import FolderEntry

    model = PottsModel()
    jacobian(RESIDUES, model, progress=False)
    read = FolderEntry.read

    def interrupted(self: FolderEntry, index: int) -> np.ndarray:
        if index == 5:
            raise KeyboardInterrupt
        return read(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(FolderEntry, "read", interrupted)
        with pytest.raises(KeyboardInterrupt, match="interrupted after 5 of 14 rows"):
            jacobian(RESIDUES, model, progress=False)
    assert jacobian(RESIDUES, model, progress=False).attrs["complete"] == 1


KILLED = """
import sys
sys.path.insert(0, sys.argv[1])
from stubs import BatchDependentModel
import time
class Slow(BatchDependentModel):
    def on_rows(self, substitutions):
        time.sleep(0.05)
        super().on_rows(substitutions)
from catjac_widgets.engine.api import jacobian
print("go", flush=True)
jacobian("MKTAYIAKQRQISF" * 4, Slow(), batch_size=57, progress=False)
print("complete", flush=True)
"""


def test_a_process_that_is_killed_leaves_whole_rows_and_another_goes_on(
    cache_folder: Path, counts: Counts
) -> None:
    from stubs import BatchDependentModel

    process = subprocess.Popen([sys.executable, "-c", KILLED, TESTS], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    deadline = time.monotonic() + 60
    # By their whole names: what is just being written has a longer one.
    rows = "*/*/arrays.zarr/jacobian/c.*[0-9].0.0.0"
    while len(list(cache_folder.glob(rows))) < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
    made = jacobian(RESIDUES * 4, BatchDependentModel(), batch_size=57, progress=False)
    computed, read, _ = counts()
    assert read >= 10
    assert computed == 56 - read > 0
    expected = jacobian(RESIDUES * 4, BatchDependentModel(), batch_size=57, cache=False, progress=False)
    np.testing.assert_array_equal(made.values, expected.values)


# ---- the progress bar


def test_the_bar_shows_rows_and_rate_where_it_takes_a_while(capsys: pytest.CaptureFixture[str]) -> None:
    jacobian(RESIDUES, SlowModel(seconds=0.1), batch_size=19)
    out, err = capsys.readouterr()
    assert out == ""
    assert f"Jacobian of {L} residues, potts stub 0: 100%" in err
    assert f"{L}/{L}" in err
    assert re.search(r"row/s|s/row", err)


def test_there_is_no_bar_for_quick_work_or_where_it_is_not_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    model = PottsModel()
    jacobian(RESIDUES, model, progress=False)
    jacobian(RESIDUES, model)
    jacobian(RESIDUES, SlowModel(seconds=0.1, seed=1), batch_size=19, progress=False)
    assert capsys.readouterr() == ("", "")


# ---- everything raised on purpose is one sentence


@pytest.mark.parametrize(
    ("sequence", "options"),
    [
        ("", {}),
        ("M", {}),
        ("MKTB", {}),
        ("MKT:", {}),
        (">a\nMK\n>b\nMK", {}),
        ("MKT", {"model": "no such model"}),
        ("MKT", {"model": "missing.pt"}),
        ("MKT", {"variant": ""}),
        ("MKT", {"positions": [9]}),
        ("MKT", {"lazy": "no"}),
        ("MKT", {"batch_size": 0}),
    ],
)
def test_bad_input_is_one_sentence_before_any_work(
    sequence: str, options: dict[str, Any], counts: Counts, cache_folder: Path
) -> None:
    with pytest.raises(CatjacError) as caught:
        jacobian(sequence, **{"model": PottsModel(), "progress": False, **options})
    text = str(caught.value)
    assert text
    assert "\n" not in text
    assert counts() == (0, 0, 0)
    assert not cache_folder.exists()
    assert cache.info().entries == 0
