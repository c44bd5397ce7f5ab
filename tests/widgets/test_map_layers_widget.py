"""Several maps in one view: which there are, how they are named, validated and sent; and the numbering."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
import traitlets
import xarray as xr
from jobs import RESIDUES, StagedJob, plan_of
from notebook_page import Wire

from catjac_widgets.errors import OptionError, SequenceError, UsageError
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Chain, Sequence
from catjac_widgets.structures.numbering import structure_names
from catjac_widgets.widgets.contact_map.view import ContactMap
from catjac_widgets.widgets.explorer.view import Explorer

SEQUENCE = as_sequence(RESIDUES, name="made up")
LENGTH = len(SEQUENCE)


def messages(wire: Wire, method: str = "update") -> list[dict[str, Any]]:
    """Everything sent since the last call."""
    sent = [wire.out.get_nowait() for _ in range(wire.out.qsize())]
    return [message for message in sent if message["method"] == method]


def test_maps_are_added_shown_and_removed(wire: Wire) -> None:
    view = ContactMap(np.zeros((4, 4)), sequence="MKEA", maps={"Potts": np.ones((4, 4))})
    assert view.maps_shown == ("map", "map")
    view.maps_shown = ("map", "Potts")
    with pytest.raises(UsageError, match="no map 'Pots'; there are map, head"):
        view.maps_shown = ("map", "Pots")
    assert view.maps_shown == ("map", "Potts")
    view.maps_shown = "native"
    assert view.maps_shown == ("native", "native")
    for bad in [("map",), 3, ("map", 3), ("a", "b", "c")]:
        with pytest.raises(traitlets.TraitError):
            view.maps_shown = bad
    view.maps_shown = ("Potts", "map")
    view.remove_map("Potts")
    assert view.maps_shown == ("map", "map")
    assert view.added == {}
    with pytest.raises(UsageError, match="No map 'Potts'"):
        view.remove_map("Potts")


@pytest.mark.parametrize(
    ("name", "values", "words", "sentence"),
    [
        ("Potts", np.zeros((3, 3)), {}, "3 residues but the sequence has 4"),
        ("Potts", np.zeros((4, 3)), {}, "square"),
        ("native", np.zeros((4, 4)), {}, "cannot be the name"),
        (" ", np.zeros((4, 4)), {}, "cannot be the name"),
        ("Potts", np.zeros((4, 4)), {"quantity": "warmth"}, "'warmth'"),
    ],
)
def test_bad_maps_are_refused_and_change_nothing(
    wire: Wire, name: str, values: np.ndarray, words: dict[str, str], sentence: str
) -> None:
    view = ContactMap(np.zeros((4, 4)), sequence="MKEA")
    messages(wire)
    with pytest.raises(UsageError, match=sentence):
        view.add_map(name, values, **words)
    assert view.added == {}
    assert messages(wire) == []
    with pytest.raises(OptionError, match="colour"):
        view.add_map("Potts", np.zeros((4, 4)), colour="red")


def test_xarray_in_xarray_out(wire: Wire) -> None:
    labelled = xr.DataArray(
        np.arange(16.0).reshape(4, 4),
        dims=("pos_i", "pos_j"),
        attrs={"kind": "contact head", "units": "1"},
    )
    view = ContactMap(np.eye(4), sequence="MKEA", structure=np.eye(4)[::-1])
    view.add_map("head of another", labelled, label="ESM <2>")
    back = view.map("head of another")
    np.testing.assert_array_equal(back, labelled)
    assert back.attrs == {"label": "ESM <2>", "quantity": "probability", "units": "1"}
    assert list(back["residue_i"].values) == ["M1", "K2", "E3", "A4"]
    back[:] = 0
    np.testing.assert_array_equal(view.map("head of another"), labelled)
    np.testing.assert_array_equal(view.map(), np.eye(4))
    assert float(view.map("native").sel(pos_i=1, pos_j=4)) == 1
    with pytest.raises(UsageError, match="no values yet"):
        view.map("former")
    with pytest.raises(UsageError, match="no map"):
        view.map("latter")


def test_a_map_is_sent_when_it_changes_and_only_then(wire: Wire) -> None:
    view = ContactMap(np.zeros((40, 40)))
    messages(wire)
    view.add_map("Potts", np.ones((40, 40)))
    (sent,) = messages(wire)
    assert list(sent["state"]) == ["added"]
    assert sent["state"]["added"][0]["name"] == "Potts"
    assert sent["paths"] == [["added", 0, "values", "data"]]
    view.maps_shown = ("map", "Potts")
    view.label = "other"
    view.min_separation = 3
    assert not any(message["buffers"] for message in messages(wire))


def explorer(*masks: Any, **options: Any) -> tuple[Explorer, list[StagedJob]]:
    jobs: list[StagedJob] = []

    def start(mask: Mask) -> StagedJob:
        jobs.append(StagedJob(plan_of(SEQUENCE, mask=mask)))
        return jobs[-1]

    return Explorer(SEQUENCE, start, model_name="stub", **options), jobs


def finish(ex: Explorer, job: StagedJob) -> np.ndarray:
    job.finish()
    ex.wait(10)
    values: np.ndarray = ex.contact_map.values.copy()
    return values


def test_finished_maps_stay_beside_those_under_the_next_mask(wire: Wire) -> None:
    ex, jobs = explorer()
    shown = ex.contact_map
    free = finish(ex, jobs[0])
    assert (shown.unmasked, shown.former) == (None, None)
    ex.mask = Mask.showing(SEQUENCE, [(1, 30)])
    assert shown.unmasked.label == "Jacobian, no mask"
    assert shown.unmasked.units == "logits"
    np.testing.assert_array_equal(shown.unmasked.values, free)
    first = finish(ex, jobs[1])
    unmasked = shown.unmasked
    ex.mask = Mask.showing(SEQUENCE, [(1, 40)])
    assert shown.former.label == "Jacobian, the mask before"
    np.testing.assert_array_equal(shown.former.values, first)
    ex.mask = Mask.showing(SEQUENCE, [(1, 50)])
    np.testing.assert_array_equal(shown.former.values, first)  # what was not finished is not kept
    assert shown.unmasked is unmasked
    ex.close()


def head_of(value: float) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(
        xr.DataArray(
            np.full((LENGTH, LENGTH), value), dims=("pos_i", "pos_j"), attrs={"kind": "contact head"}
        )
    )
    return future


def test_the_head_is_kept_when_rows_take_its_place(wire: Wire) -> None:
    ex, jobs = explorer(head=lambda job: head_of(0.75 if job.plan.mask else 0.25))
    ex.delivery.flush()
    assert (ex.contact_map.label, ex.contact_map.head) == ("contact head", None)
    jobs[0].give(1)
    ex.delivery.flush()
    assert ex.contact_map.head.label == "contact head"
    assert (ex.contact_map.head.values == np.float32(0.25)).all()
    ex.mask = Mask.showing(SEQUENCE, [(1, 30)])
    assert ex.contact_map.unmasked_head.label == "contact head, no mask"
    jobs[1].give(1)
    ex.delivery.flush()
    assert ex.contact_map.head.label == "contact head, masked"
    assert (ex.contact_map.head.values == np.float32(0.75)).all()
    assert (ex.contact_map.unmasked_head.values == np.float32(0.25)).all()
    ex.close()


def test_heads_that_are_asked_for_are_computed_under_their_mask(wire: Wire) -> None:
    asked: list[Mask] = []

    def under(mask: Mask) -> Future[Any]:
        asked.append(mask)
        return head_of(0.75 if mask else 0.25)

    mask = Mask.showing(SEQUENCE, [(1, 30)])
    ex, _ = explorer(head_under=under, model="mini", mask=mask)
    assert ex.contact_map.offered == ["head", "unmasked head"]
    ex.delivery.flush()
    assert asked == []
    ex.maps_shown = ("head", "unmasked head")
    for _ in range(3):
        ex.delivery.flush()
    assert {str(mask) for mask in asked} == {str(mask), str(Mask.none(SEQUENCE))}
    assert ex.contact_map.head.label == "contact head, masked"
    assert ex.contact_map.unmasked_head.label == "contact head, no mask"
    assert float(ex.contact_map.map("head").max()) == 0.75
    before = len(asked)
    ex.maps_shown = ("unmasked head", "head")
    ex.delivery.flush()
    assert len(asked) == before, "nothing is computed twice"
    ex.close()


def test_shown_maps_are_shared_and_checked_where_they_are_known(wire: Wire) -> None:
    ex, _ = explorer()
    ex.contact_map.add_map("Potts", np.zeros((LENGTH, LENGTH)))
    ex.maps_shown = ("map", "Potts")
    assert ex.contact_map.maps_shown == ("map", "Potts")
    with pytest.raises(UsageError, match="no map 'Pott'"):
        ex.maps_shown = ("map", "Pott")
    assert ex.contact_map.maps_shown == ("map", "Potts")
    ex.close()


# ---- numbering


class Numbered:
    """A structure with residue numbers of its own."""

    sequence = Sequence((Chain("H", "KEA", ("52", "52A", "60")),))

    def __init__(self, index: list[int]) -> None:
        self.index = np.array(index)

    def map_to(self, sequence: Sequence) -> np.ndarray:
        return self.index

    def contacts(self, sequence: Sequence) -> np.ndarray:
        return np.eye(len(sequence))[::-1]


def test_residues_are_called_by_position_or_as_the_structure_does(wire: Wire) -> None:
    view = ContactMap(np.zeros((4, 4)), sequence="MKEA", structure=Numbered([-1, 0, 1, 2]))
    assert view.numbering == "position"
    assert view.residue_labels == ("M1", "K2", "E3", "A4")
    view.numbering = "structure"
    assert view.residue_labels == ("M[1]", "K52", "E52A", "A60")
    assert view.structure_sequence.chain_names == ("H",) * 4
    with pytest.raises(traitlets.TraitError):
        view.numbering = "roman"
    with pytest.raises(SequenceError, match="3 residues but the sequence has 4"):
        view.structure_sequence = Numbered.sequence
    (state,) = [m["state"] for m in messages(wire, "open") if "numbering" in m["state"]]
    assert state["structure_sequence"]["numbers"] == ["[1]", "52", "52A", "60"]


def test_a_sequence_that_bears_numbers_is_called_by_them(wire: Wire) -> None:
    own = Sequence((Chain("A", "MK", ("7", "8A")), Chain("B", "EA")))
    view = ContactMap(np.zeros((4, 4)), sequence=own)
    assert view.numbering == "structure"
    assert view.residue_labels == own.labels == ("A:M7", "A:K8A", "B:E1", "B:A2")
    view.numbering = "position"
    assert view.residue_labels == ("A:M1", "A:K2", "B:E3", "B:A4")


def test_no_names_of_a_structure_that_has_none_or_the_same() -> None:
    assert structure_names(np.eye(3), as_sequence("KEA")) is None
    assert structure_names(Numbered([0, 1, 2]), Numbered.sequence) is None
    named = structure_names(Numbered([2, -1, 0]), as_sequence("AWK"))
    assert named is not None
    assert named.labels == ("A60", "W[2]", "K52")


def test_notes_follow_the_numbering(wire: Wire) -> None:
    names = Sequence((Chain("A", RESIDUES, tuple(str(k + 101) for k in range(LENGTH))),))
    ex, _ = explorer(structure_sequence=names, numbering="structure")
    ex.selection = (3, 9)
    ex.delivery.flush()
    assert "W103" in ex.jacobian_slice.block["note"]
    ex.close()
