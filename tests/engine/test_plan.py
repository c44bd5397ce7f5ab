"""Plans: what is checked before anything runs, how positions are divided, and what the key depends on."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catjac_widgets.engine.plans.jacobian import Plan
from catjac_widgets.engine.plans.making import make_plan
from catjac_widgets.errors import MaskError, SequenceError, UsageError
from catjac_widgets.language_models.base import FLOAT64
from catjac_widgets.proteins.alphabets import ESM_LETTERS
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.sequences import Chain, Sequence


def a_plan(sequence: Any = "MKTAYIAK", **options: Any) -> Plan:
    settings = {"model": "stub", "fingerprint": "f" * 64, "letters": ESM_LETTERS, **options}
    return make_plan(sequence, **settings)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    chains = draw(st.lists(st.text(ESM_LETTERS, min_size=1, max_size=9), min_size=1, max_size=3))
    if sum(map(len, chains)) < 2:
        chains[0] += "AA"
    length = sum(map(len, chains))
    mask = draw(st.lists(st.booleans(), min_size=length, max_size=length).filter(lambda m: not all(m)))
    positions = draw(st.none() | st.lists(st.integers(1, length), min_size=1, unique=True))
    return a_plan(
        ":".join(chains),
        mask=np.array(mask),
        positions=positions,
        linker=draw(st.sampled_from(["", "G", "GGSGG"])),
        variant=draw(st.sampled_from(["full", "fast"])),
    )


@given(plans(), st.integers(1, 100))
def test_groups_hold_every_wanted_position_once_and_fit_the_batch(plan: Plan, batch_size: int) -> None:
    groups = plan.groups(batch_size)
    assert [index for group in groups for index in group] == list(plan.wanted)
    for group in groups:
        number = sum(len(plan.substitutions(index)) for index in group)
        assert number <= batch_size or len(group) == 1


@given(plans(), st.integers(1, 100), st.data())
def test_positions_that_share_a_batch_do_so_whatever_was_asked_for(
    plan: Plan, batch_size: int, data: st.DataObject
) -> None:
    whole = plan.with_positions(None)
    group_of = {index: k for k, group in enumerate(whole.groups(batch_size)) for index in group}
    for group in plan.groups(batch_size):
        assert len({group_of[index] for index in group}) == 1
    assert plan.key == whole.key


@given(plans())
def test_substitutions_fall_on_the_residue_itself(plan: Plan) -> None:
    for index in plan.wanted:
        residue = plan.sequence.residues[index]
        changes = plan.substitutions(index)
        for change in changes:
            assert plan.model_residues[change.position] == residue
            assert change.letter != residue
        letters = [change.letter for change in changes]
        assert letters == (["<mask>"] if plan.variant == "fast" else [a for a in ESM_LETTERS if a != residue])


@given(plans())
def test_the_mask_of_the_model_hides_the_masked_residues_only(plan: Plan) -> None:
    assert "".join(plan.model_residues[k] for k in plan.kept) == plan.sequence.residues
    if plan.model_mask is None:
        assert not any(plan.mask.masked)
    else:
        np.testing.assert_array_equal(plan.model_mask.array[plan.kept], plan.mask.array)
        assert plan.model_mask.array.sum() == plan.mask.array.sum()
    assert not any(plan.mask.masked[index] for index in plan.wanted)


def test_the_key_is_the_hash_of_what_decides_the_values() -> None:
    plan = a_plan()
    assert plan.key == hashlib.sha256(plan.key_json.encode()).hexdigest()
    assert json.loads(plan.key_json) == plan.key_content
    others = [
        a_plan("MKTAYIAR"),
        a_plan("MKTA:YIAK"),
        a_plan("MKTA:YIAK", linker="GG"),
        a_plan(mask=Mask.hiding(8, [(1, 1)])),
        a_plan(variant="fast"),
        a_plan(numerics=FLOAT64),
        a_plan(fingerprint="e" * 64),
        a_plan(letters=ESM_LETTERS[::-1]),
    ]
    assert len({plan.key, *(other.key for other in others)}) == len(others) + 1


def test_the_key_depends_on_nothing_else() -> None:
    numbered = Sequence((Chain("Z", "MKTAYIAK", tuple("23456789")),), "named")
    same = [
        a_plan("mkt ayiak*"),
        a_plan(">header\nMKTAYIAK"),
        a_plan(numbered),
        a_plan(positions=[3]),
        a_plan(mask=[False] * 8),
        a_plan(linker="GGG"),
        a_plan(model="another name of the same weights"),
    ]
    assert {plan.key for plan in same} == {a_plan().key}


def test_rows_are_those_of_visible_positions() -> None:
    plan = a_plan(mask=Mask.hiding(8, [(2, 3)]))
    assert plan.wanted == (0, 3, 4, 5, 6, 7)
    assert len(plan.substitutions(0)) == plan.substitutions_per_row == 19


@pytest.mark.parametrize(
    ("sequence", "options", "error", "words"),
    [
        ("", {}, SequenceError, "nothing"),
        ("M", {}, SequenceError, "at least two"),
        ("MKBX", {}, SequenceError, "residue 3 is 'B'"),
        ("M" * 9, {"max_residues": 8}, SequenceError, "9 residues, but stub takes at most 8"),
        ("MMM:MMM", {"max_residues": 8, "linker": "GGG"}, SequenceError, "9 residues with its linkers"),
        ("MKT", {"mask": [True, False]}, MaskError, "covers 2 residues"),
        ("MKT", {"mask": [True] * 3}, MaskError, "hides every residue"),
        ("MKT", {"positions": []}, UsageError, "empty"),
        ("MKT", {"positions": [0]}, UsageError, "Position 0 is outside"),
        ("MKT", {"positions": 4}, UsageError, "Position 4 is outside"),
        ("MKT", {"positions": [1, 2, 1]}, UsageError, "Position 1 was asked for twice"),
        ("MKT", {"positions": [1.0]}, UsageError, "whole"),
        ("MKT", {"positions": [True]}, UsageError, "whole"),
        ("MKT", {"variant": "quick"}, UsageError, "'full' or 'fast'"),
        ("MKT:MKT", {"linker": "G-G"}, UsageError, "'-'"),
    ],
)
def test_bad_requests_are_refused_in_one_sentence(
    sequence: str, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        a_plan(sequence, **options)
    assert "\n" not in str(caught.value)
