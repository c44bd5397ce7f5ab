from __future__ import annotations

import base64

import ipywidgets
import numpy as np
import pytest
import traitlets
import xarray as xr
from notebook_page import Wire

from catjac_widgets.errors import OptionError, SequenceError, UsageError
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.widgets.contact_map.view import (
    CONTACT,
    NO_CONTACT,
    UNRESOLVED,
    ContactMap,
    native_contacts,
)


def labelled(length: int = 5) -> xr.DataArray:
    values = np.arange(length**2, dtype=float).reshape(length, length)
    names = ["A", "A", "A", "B", "B"]
    return xr.DataArray(
        values,
        dims=("pos_i", "pos_j"),
        coords={
            "pos_i": np.arange(1, 6),
            "pos_j": np.arange(1, 6),
            "chain_i": ("pos_i", names),
            "number_i": ("pos_i", ["7", "8", "8A", "1", "2"]),
            "wild_type_i": ("pos_i", list("MKEAC")),
        },
        attrs={"sequence_name": "two"},
    )


def test_a_labelled_map_brings_its_residues(wire: Wire) -> None:
    view = ContactMap(labelled())
    assert view.sequence is not None
    assert view.sequence.labels == ("A:M7", "A:K8", "A:E8A", "B:A1", "B:C2")
    assert view.sequence.name == "two"
    assert view.values.dtype == np.float32
    np.testing.assert_array_equal(view.values, labelled().values)
    sent = [wire.out.get_nowait() for _ in range(wire.out.qsize())]
    (state,) = (message["state"] for message in sent if "_esm" in message["state"])
    assert state["sequence"] == {
        "name": "two",
        "residues": "MKEAC",
        "numbers": ["7", "8", "8A", "1", "2"],
        "chains": [["A", 1, 3], ["B", 4, 5]],
    }
    assert state["values"]["shape"] == [5, 5]


def test_a_bare_array_takes_a_sequence_or_none(wire: Wire) -> None:
    assert ContactMap(np.zeros((4, 4)), sequence="MKEA").sequence.residues == "MKEA"
    assert ContactMap(np.zeros((4, 4))).sequence.numbers == ("1", "2", "3", "4")


@pytest.mark.parametrize(
    ("contacts", "options", "sentence"),
    [
        (np.zeros((4, 5)), {}, "square"),
        (np.zeros(4), {}, "square"),
        (np.zeros((1, 1)), {}, "square"),
        ("a map", {}, "square array of numbers"),
        (np.zeros((4, 4)), {"sequence": "MKE"}, "4 residues but the sequence has 3"),
        (np.zeros((4, 4)), {"structure": np.zeros((5, 5))}, "cover 5 residues but the sequence has 4"),
    ],
)
def test_bad_input_makes_no_widget(wire: Wire, contacts: object, options: dict, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        ContactMap(contacts, **options)
    assert wire.out.empty()


def test_unknown_options_are_type_errors(wire: Wire) -> None:
    with pytest.raises(OptionError, match="colour_mpa"):
        ContactMap(np.zeros((4, 4)), colour_mpa="ember")
    with pytest.raises(traitlets.TraitError):
        ContactMap(np.zeros((4, 4)), colour_map="jet")


def test_a_selection_lies_within_the_sequence(wire: Wire) -> None:
    view = ContactMap(np.zeros((4, 4)), selection=(1, 4))
    assert view.selection == (1, 4)
    view.selection = np.array([2, 3])
    assert view.selection == (2, 3)
    for bad in [(0, 2), (1, 5)]:
        with pytest.raises(SequenceError, match="4 residues"):
            view.selection = bad
    for bad in [(1,), "ab", (1.5, 2), 7]:
        with pytest.raises(traitlets.TraitError):
            view.selection = bad
    assert view.selection == (2, 3)
    view.selection = None


def test_rows_go_as_bytes_and_the_trait_does_not(wire: Wire) -> None:
    view = ContactMap(np.full((4, 4), np.nan))
    while not wire.out.empty():
        wire.out.get_nowait()
    view.add_rows({3: np.arange(4, dtype=np.float32), 1: np.ones(4, dtype=np.float32)})
    message = wire.out.get_nowait()
    assert wire.out.empty()
    assert message["content"] == {"kind": "rows", "positions": [1, 3]}
    block = np.frombuffer(base64.b64decode(message["buffers"][0]), "<f4").reshape(2, 4)
    np.testing.assert_array_equal(block, [[1, 1, 1, 1], [0, 1, 2, 3]])
    np.testing.assert_array_equal(view.values[[0, 2]], block)
    assert np.isnan(view.values[[1, 3]]).all()


def test_the_map_shown_is_a_copy(wire: Wire) -> None:
    mine = np.zeros((3, 3), dtype=np.float32)
    view = ContactMap(mine)
    view.add_rows({1: np.ones(3, dtype=np.float32)})
    assert (mine == 0).all()


def test_native_contacts_tell_unresolved_from_no_contact() -> None:
    truth = np.zeros((5, 5))
    truth[0, 3] = truth[3, 0] = 1
    truth[2] = truth[:, 2] = np.nan
    native = native_contacts(truth, as_sequence("MKEAC"))
    assert native.dtype == np.uint8
    assert native[0, 3] == native[3, 0] == CONTACT
    assert native[0, 1] == NO_CONTACT
    assert (native[2] == UNRESOLVED).all()
    assert [native[k, k] for k in range(5)] == [0, 0, UNRESOLVED, 0, 0]


def test_native_contacts_of_anything_with_contacts() -> None:
    class Structure:
        def contacts(self, sequence: object) -> np.ndarray:
            assert str(sequence) == "MKE"
            return np.eye(3)[::-1]

    assert native_contacts(Structure(), as_sequence("MKE"))[0, 2] == CONTACT


def test_a_linked_view_follows_in_python_and_sends_only_its_own(wire: Wire) -> None:
    leader = ContactMap(np.zeros((4, 4)))
    follower = ContactMap(np.ones((4, 4)), state=leader)
    assert "selection" not in follower.keys
    assert "selection" in leader.keys
    seen = []
    follower.observe(lambda change: seen.append(change["new"]), "selection")
    leader.selection = (2, 3)
    assert follower.selection == (2, 3)
    follower.min_separation = 9
    assert leader.min_separation == 9
    assert seen == [(2, 3)]
    follower.close()
    leader.selection = (1, 1)
    assert follower.selection == (2, 3)
    assert leader.comm is not None


def test_a_mask_travels_as_its_visible_fragments(wire: Wire) -> None:
    view = ContactMap(np.zeros((6, 6)))
    view.mask = Mask.showing(6, [(2, 3), (5, 5)])
    sent = [wire.out.get_nowait() for _ in range(wire.out.qsize())]
    assert sent[-1]["state"] == {"mask": [[2, 3], [5, 5]]}
    view.set_state({"mask": [[1, 6]]})
    assert view.mask == Mask.none(6)


def test_it_is_an_ordinary_widget(wire: Wire) -> None:
    view = ContactMap(np.zeros((4, 4)))
    slider = ipywidgets.IntSlider()
    link = ipywidgets.jslink((view, "min_separation"), (slider, "value"))
    assert link.source[0] is view
    assert view in ipywidgets.HBox([view]).children
