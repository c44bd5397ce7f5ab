from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catjac_widgets.errors import MaskError
from catjac_widgets.proteins.masks import Mask, as_mask
from catjac_widgets.proteins.reading import as_sequence

bools = st.lists(st.booleans(), min_size=1, max_size=50)


@st.composite
def fragments(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    length = draw(st.integers(1, 60))
    pair = st.tuples(st.integers(1, length), st.integers(1, length)).map(lambda ends: (min(ends), max(ends)))
    return length, draw(st.lists(pair, max_size=5))


@given(bools)
def test_fragments_and_text_are_inverses(masked: list[bool]) -> None:
    mask = Mask.from_array(masked)
    length = len(mask)
    assert mask.array.tolist() == masked
    assert Mask.showing(length, mask.fragments) == mask
    assert Mask.hiding(length, (~mask).fragments) == mask
    assert Mask.parse(length, str(mask)) == mask
    assert Mask.parse(length, str(mask).replace("-", "–").replace(",", " , ")) == mask
    assert mask.visible.tolist() == [k + 1 for k, hidden in enumerate(masked) if not hidden]
    assert bool(mask) == any(masked)
    assert ~~mask == mask


@given(fragments())
def test_fragments_show_what_they_name_and_nothing_else(case: tuple[int, list[tuple[int, int]]]) -> None:
    length, shown = case
    inside = {k for first, last in shown for k in range(first, last + 1)}
    assert set(Mask.showing(length, shown).visible) == inside
    assert Mask.hiding(length, shown) == ~Mask.showing(length, shown)
    for (_, last), (first, _) in zip(
        Mask.showing(length, shown).fragments, Mask.showing(length, shown).fragments[1:], strict=False
    ):
        assert last + 1 < first


@given(bools, st.data())
def test_masks_combine_position_by_position(first: list[bool], data: st.DataObject) -> None:
    second = data.draw(st.lists(st.booleans(), min_size=len(first), max_size=len(first)))
    a, b = Mask.from_array(first), Mask.from_array(np.array(second))
    assert (a | b).array.tolist() == (np.array(first) | np.array(second)).tolist()
    assert (a & b).array.tolist() == (np.array(first) & np.array(second)).tolist()
    with pytest.raises(MaskError, match="cannot be combined"):
        a | Mask.none(len(first) + 1)


def test_everything_and_nothing() -> None:
    sequence = as_sequence("MKTA:YI")
    assert Mask.none(sequence) == Mask.none(str(sequence).replace(":", "")) == Mask.none(6)
    assert not Mask.none(6)
    assert str(Mask.none(6)) == "1-6"
    assert str(Mask.everything(6)) == ""
    assert Mask.parse(6, "") == Mask.everything(6) == ~Mask.none(6)
    assert str(Mask.showing(6, [(2, 2), (4, 6)])) == "2,4-6"


@pytest.mark.parametrize("wrong", [(0, 2), (3, 2), (5, 7), (-1, 2), (1, 2, 3), 4, (1.5, 2), ("1", "2"), None])
def test_a_fragment_that_does_not_fit_is_one_sentence(wrong: object) -> None:
    for make in (Mask.showing, Mask.hiding):
        with pytest.raises(MaskError) as failure:
            make(6, [wrong])  # type: ignore[list-item]
        assert "\n" not in str(failure.value)


@pytest.mark.parametrize("text", ["x", "1-", "-3", "1-2-3", "0-2", "5-9", "3-2", "1;2", "²", "1.5-2"])
def test_text_that_is_no_fragments_is_one_sentence(text: str) -> None:
    with pytest.raises(MaskError):
        Mask.parse(6, text)


@pytest.mark.parametrize("wrong", [[0, 1], [[True]], np.zeros((2, 2), bool), np.array([1.0]), [], ["a"]])
def test_a_mask_is_made_of_bools(wrong: object) -> None:
    with pytest.raises(MaskError, match="flat list of True"):
        Mask.from_array(wrong)  # type: ignore[arg-type]


def test_what_a_caller_may_pass_as_a_mask() -> None:
    sequence = as_sequence("MKT")
    mask = Mask.showing(sequence, [(2, 3)])
    assert as_mask(None, sequence) == Mask.none(3)
    assert as_mask(mask, sequence) is mask
    assert as_mask([True, False, False], sequence) == mask
    assert as_mask(np.array([True, False, False]), sequence) == mask
    with pytest.raises(MaskError, match="covers 4 residues but the sequence has 3"):
        as_mask(Mask.none(4), sequence)
