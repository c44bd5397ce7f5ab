"""The view of slices: what is asked, what comes when, and what is said where nothing can be shown."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import traitlets
import xarray as xr
from jobs import RESIDUES, StagedJob, jacobian_of, plan_of
from notebook_page import Wire

import catjac
from catjac_widgets.errors import JacobianError, UsageError
from catjac_widgets.proteins.alphabets import MASK_LETTER
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.widgets.explorer.view import Explorer
from catjac_widgets.widgets.jacobian_slice.values import (
    LETTER_ORDERS,
    slice_of,
)
from catjac_widgets.widgets.jacobian_slice.view import JacobianSlice

SEQUENCE = as_sequence(RESIDUES, name="made up")


def explorer_of(job: StagedJob, **traits: Any) -> Explorer:
    return Explorer(SEQUENCE, lambda mask: job, model_name="stub", **traits)


@pytest.fixture
def job() -> StagedJob:
    return StagedJob(plan_of(SEQUENCE))


def numbers(payload: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(payload["data"], "<f4").reshape(payload["shape"])


def last_answer(wire: Wire, view: JacobianSlice, **question: Any) -> tuple[dict[str, Any], np.ndarray | None]:
    """Ask as the front end does, and return what it is told."""
    import base64

    wire.receive({"id": view.model_id, "method": "custom", "content": question})
    while True:
        message = wire.out.get(timeout=5)
        content = message["content"]
        if message["method"] == "custom" and content["kind"] in ("block", "row"):
            values = None
            if content["shape"]:
                data = base64.b64decode(message["buffers"][0])
                values = np.frombuffer(data, "<f4").reshape(content["shape"])
            return content, values


def test_the_selected_block_comes_when_its_row_does(wire: Wire, job: StagedJob) -> None:
    ex = explorer_of(job)
    ex.selection = (24, 41)
    ex.delivery.flush()
    assert ex.jacobian_slice.block["status"] == "waiting"
    assert SEQUENCE.labels[23] in ex.jacobian_slice.block["note"]
    assert np.isnan(ex.slice).all()
    job.give(24)
    ex.delivery.flush()
    block = ex.jacobian_slice.block
    assert (block["status"], block["pair"]) == ("ready", [24, 41])
    values = numbers(block["values"])
    np.testing.assert_array_equal(values, job.J[23, :, 40])
    letters = {"aa_in": block["letters_in"], "aa_out": block["letters_out"]}
    np.testing.assert_array_equal(values, ex.slice.sel(letters))
    assert "".join(ex.slice.aa_in.values) == LETTER_ORDERS["chemistry"]
    assert ex.jacobian_slice.row is None


def test_a_substitution_comes_when_its_row_does(wire: Wire, job: StagedJob) -> None:
    ex = explorer_of(job, selection=(24, 41))
    view = ex.jacobian_slice
    view.form, view.letter_in = "matrix", "W"
    ex.delivery.flush()
    assert (view.row["pos_in"], view.row["aa_in"], view.row["status"]) == (24, "W", "waiting")
    assert np.isnan(ex.slice).all()
    assert ex.slice.dims == ("pos_out", "aa_out")
    job.give(24)
    ex.delivery.flush()
    assert view.row["status"] == "ready"
    put = view.row["letters_in"].index("W")
    planes = numbers(view.row["values"])
    np.testing.assert_array_equal(planes[0], job.J[23, put])
    np.testing.assert_allclose(planes[1], job.J[23].mean(axis=0), atol=1e-6)
    # The wild type's row is zero, so it is not sent.
    assert len(planes) == 2
    view.form = "block"
    ex.delivery.flush()
    assert view.row is None


def test_parts_are_asked_for_by_message_and_answered_under_their_id(wire: Wire, job: StagedJob) -> None:
    ex = explorer_of(job)
    job.give(5)
    ex.delivery.flush()
    view = ex.jacobian_slice
    content, values = last_answer(wire, view, kind="block", id=17, pos_in=5, pos_out=9)
    assert (content["id"], content["status"], content["pair"]) == (17, "ready", [5, 9])
    assert values is not None
    np.testing.assert_array_equal(values, job.J[4, :, 8])
    content, values = last_answer(wire, view, kind="row", id=18, pos_in=5, aa_in="W")
    assert (content["id"], content["status"], content["aa_in"]) == (18, "ready", "W")
    assert values is not None
    np.testing.assert_array_equal(values[0], job.J[4, content["letters_in"].index("W")])
    assert last_answer(wire, view, kind="row", id=19, pos_in=6, aa_in="W")[0]["status"] == "waiting"
    for question in (
        {"kind": "block", "pos_in": 600, "pos_out": 9},
        {"kind": "block", "pos_in": 0, "pos_out": 9},
        {"kind": "block", "pos_in": 5, "pos_out": 59},
        {"kind": "row", "pos_in": 5, "aa_in": "Z"},
        {"kind": "row", "pos_in": "five", "aa_in": "K"},
        {"kind": "row", "pos_in": 5},
        {"kind": "block", "pos_in": 5},
    ):
        content, values = last_answer(wire, view, id=20, **question)
        assert (content["id"], content["status"], values) == (20, "error", None), question
        assert content["note"]


def test_of_questions_that_wait_the_last_is_worked_out(wire: Wire, job: StagedJob) -> None:
    job.finish()
    looked: list[int] = []
    ex = explorer_of(job).wait(10)
    view = ex.jacobian_slice
    find = view.find

    def counted(position: int) -> Any:
        looked.append(position)
        return find(position)

    view.find = counted  # type: ignore[method-assign]
    # While somebody else's turn lasts, ten questions come in.
    with view.delivery.lock:
        for position in range(1, 11):
            question = {"kind": "row", "id": position, "pos_in": position, "aa_in": "K"}
            wire.receive({"id": view.model_id, "method": "custom", "content": question})
    view.delivery.flush()
    assert looked == [10]


def test_a_slice_alone(wire: Wire) -> None:
    J = jacobian_of()
    view = JacobianSlice(J, selection=(3, 9))
    view.delivery.flush()
    assert view.sequence is not None
    assert view.sequence.labels == SEQUENCE.labels
    np.testing.assert_array_equal(view.slice, slice_of(J, (3, 9), letter_order="chemistry"))
    np.testing.assert_array_equal(numbers(view.block["values"]), J.values[2, :, 8])
    assert view.find(99).status == "error"
    view.quantity = "epistasis"
    letters = list(LETTER_ORDERS["chemistry"])
    whole = catjac.epistasis(J).sel(pos_in=3, pos_out=9, aa_in=letters, aa_out=letters)
    xr.testing.assert_equal(view.slice, whole)
    with pytest.raises(UsageError, match="No pair"):
        _ = JacobianSlice(J).slice
    with pytest.raises(UsageError, match="no Jacobian"):
        _ = JacobianSlice(sequence=SEQUENCE, selection=(3, 9)).slice


def test_a_lazy_jacobian_is_read_by_the_row(wire: Wire, tmp_path: Path) -> None:
    J = jacobian_of()
    path = tmp_path / "J.zarr"
    # zarr has no format for numpy's fixed-width text.
    texts = {name: values.astype(object) for name, values in J.coords.items() if values.dtype.kind == "U"}
    rows = {"jacobian": {"chunks": (1, *J.shape[1:])}}
    J.assign_coords(texts).to_dataset(name="jacobian").to_zarr(path, encoding=rows, consolidated=False)
    stored = xr.open_zarr(path, chunks=None, consolidated=False)["jacobian"]
    view = JacobianSlice(stored, selection=(24, 41))
    view.form = "matrix"
    view.delivery.flush()
    assert not stored.variable._in_memory
    np.testing.assert_array_equal(view.slice.sel(aa_out=J.aa_out), J.sel(pos_in=24, aa_in="A"))
    for row in (path / "jacobian" / "c").iterdir():
        # Rows that nobody looks at may be gone.
        if row.name != "23":
            shutil.rmtree(row)
    view.letter_in = "W"
    view.delivery.flush()
    assert view.row["status"] == "ready"
    np.testing.assert_array_equal(numbers(view.row["values"])[0], J.sel(pos_in=24, aa_in="W"))


def test_what_a_jacobian_is_already_is_said(wire: Wire) -> None:
    centred = catjac.centre(jacobian_of())
    view = JacobianSlice(centred, selection=(24, 41), letter_order="model")
    assert view.kind == "centred"
    xr.testing.assert_equal(view.slice, centred.sel(pos_in=24, pos_out=41))
    with pytest.raises(UsageError, match="centred already"):
        view.quantity = "epistasis"
    with pytest.raises(UsageError, match="every residue"):
        JacobianSlice(jacobian_of().sel(pos_out=slice(3, 9)))
    with pytest.raises(JacobianError, match="no axis"):
        JacobianSlice(jacobian_of().sel(pos_in=3))


def test_the_mask_of_a_jacobian_alone_is_known(wire: Wire) -> None:
    view = JacobianSlice(jacobian_of(mask=Mask.showing(SEQUENCE, [(1, 20), (40, 58)])), selection=(30, 3))
    view.delivery.flush()
    assert view.mask is not None
    assert view.mask.fragments == ((1, 20), (40, 58))
    assert (view.block["status"], SEQUENCE.labels[29] in view.block["note"]) == ("masked", True)


def test_bad_choices_fail_where_they_are_made(wire: Wire) -> None:
    view = JacobianSlice(jacobian_of())
    for name, value in (("form", "cube"), ("quantity", "z"), ("letter_order", "AC")):
        with pytest.raises(traitlets.TraitError):
            setattr(view, name, value)
    for name, value in (("letter_in", ""), ("letter_in", "KK"), ("letter_out", "<mask>")):
        with pytest.raises(UsageError, match="not one letter"):
            setattr(view, name, value)
    view.letter_in, view.letter_out = MASK_LETTER, ""


def test_under_a_mask(wire: Wire) -> None:
    mask = Mask.showing(SEQUENCE, [(1, 20), (40, 58)])
    job = StagedJob(plan_of(SEQUENCE, mask=mask))
    ex = explorer_of(job, mask=mask, selection=(30, 3))
    ex.jacobian_slice.form = "profile"
    ex.delivery.flush()
    assert ex.jacobian_slice.row["status"] == ex.jacobian_slice.block["status"] == "masked"
    job.give(3)
    ex.selection = (3, 30)
    ex.delivery.flush()
    assert ex.jacobian_slice.row["status"] == "ready"
    assert np.isfinite(ex.slice).all()


def test_nothing_selected_is_one_sentence(wire: Wire, job: StagedJob) -> None:
    with pytest.raises(UsageError, match="No pair is selected"):
        _ = explorer_of(job).slice
