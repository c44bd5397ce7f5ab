from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catjac_widgets.analysis.recovery.patterns import (
    PATTERNS,
    check_patterns,
    check_steps,
    patterned_masks,
    published_steps,
)
from catjac_widgets.analysis.recovery.targets import Target, as_target
from catjac_widgets.errors import MaskError, UsageError
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Chain, Sequence


def chain(length: int) -> Sequence:
    return as_sequence("A" * length)


@st.composite
def targets(draw: st.DrawFn) -> tuple[int, Target]:
    length = draw(st.integers(30, 160))
    size = draw(st.integers(2, 8))
    start = draw(st.integers(1, length - 3 * size))
    if draw(st.booleans()):
        return length, Target(((start, start + size - 1),))
    other = draw(st.integers(start + size, length - size + 1))
    return length, Target(((start, start + size - 1), (other, other + size - 1)))


@given(targets(), st.integers(0, 5))
def test_flanks_show_two_residues_more_a_step_until_the_chain_ends(made, seed):
    length, target = made
    steps = range(published_steps(target, length))
    for pattern in ("flanking", "random", "random_nested"):
        masked, exists = patterned_masks(chain(length), target, pattern, steps, seed=seed)
        assert exists.all()
        assert [int((~row).sum()) for row in masked] == [target.size + 2 * f for f in steps]
        assert not masked[:, target.shown(length)].any()


@given(targets(), st.integers(0, 40))
def test_flanks_by_their_definition(made, flank):
    length, target = made
    first, last = target.fragments[0], target.fragments[-1]
    before = [(max(1, first[0] - flank), first[0])]
    after = [(last[1], min(length, last[1] + flank))]
    inner = [(first[1], min(length, first[1] + flank)), (max(1, last[0] - flank), last[0])]
    core = list(target.fragments)
    expected = {
        "flanking": core + before + after,
        "flanking_first": core + before,
        "flanking_last": core + after,
        "flanking_both": core + before + after + inner,
        "flanking_inward": core + inner,
    }
    for pattern, shown in expected.items():
        if len(core) == 1 and pattern in ("flanking_both", "flanking_inward"):
            continue
        masked, _ = patterned_masks(chain(length), target, pattern, [flank])
        assert Mask.from_array(masked[0]) == Mask.showing(length, shown), pattern


@given(targets(), st.integers(0, 3), st.integers(0, 40))
def test_distant_residues_only(made, seed, avoided):
    length, target = made
    steps = range(published_steps(target, length))
    close = np.zeros(length, dtype=bool)
    for first, last in target.fragments:
        close[max(0, first - 1 - avoided) : last + avoided] = True
    for pattern in ("random_distant", "random_distant_nested"):
        masked, exists = patterned_masks(chain(length), target, pattern, steps, seed=seed, avoided=avoided)
        beside = ~masked & ~target.shown(length)
        assert not beside[:, close].any()
        for f, row, there in zip(steps, beside, exists, strict=True):
            assert there == (2 * f <= (~close).sum())
            assert row.sum() == (2 * f if there else 0)


@given(targets(), st.integers(0, 3))
def test_nested_draws_add_and_published_draws_are_independent(made, seed):
    length, target = made
    steps = range(published_steps(target, length))
    masked, _ = patterned_masks(chain(length), target, "random_nested", steps, seed=seed)
    assert (masked[1:] <= masked[:-1]).all()
    whole, _ = patterned_masks(chain(length), target, "random", steps, seed=seed)
    again, _ = patterned_masks(chain(length), target, "random", steps, seed=seed)
    some, _ = patterned_masks(chain(length), target, "random", list(steps)[::2], seed=seed)
    assert (whole == again).all()
    assert (whole[::2] == some).all()


def test_published_draws_are_not_nested_and_depend_on_the_seed():
    target = Target(((40, 61),))
    masked, _ = patterned_masks(chain(120), target, "random", range(30))
    assert (masked[1:] > masked[:-1]).any()
    other, _ = patterned_masks(chain(120), target, "random", range(30), seed=1)
    assert (masked != other).any()


def test_random_residues_are_drawn_uniformly():
    target, counts = Target(((10, 13),)), np.zeros(24)
    draws = 600
    for seed in range(draws):
        masked, _ = patterned_masks(chain(24), target, "random", [5], seed=seed)
        counts += ~masked[0]
    shares = counts[~target.shown(24)] / draws
    # Half of the 20 residues each time; 5 standard deviations of a share.
    np.testing.assert_allclose(shares, 0.5, atol=5 * np.sqrt(0.25 / draws))


def test_flanks_stay_in_their_chain_and_other_chains_are_distant():
    sequence = Sequence((Chain("A", "A" * 20), Chain("B", "A" * 20)))
    target = Target(((5, 8), (25, 28)))
    masked, _ = patterned_masks(sequence, target, "flanking_both", [30])
    assert not masked.any()
    masked, _ = patterned_masks(sequence, Target(((5, 8),)), "flanking", [30])
    assert Mask.from_array(masked[0]).fragments == ((1, 20),)
    masked, _ = patterned_masks(sequence, Target(((15, 18),)), "random_distant", [5], avoided=30)
    assert Mask.from_array(masked[0]).visible[4:].min() > 20


@pytest.mark.parametrize(
    ("length", "fragments", "steps"),
    [
        (100, ((31, 52),), 30),  # 30 before, 48 after: f = 0 … min(30, 49) − 1
        (100, ((71, 92),), 9),  # 8 after: f = 0 … 8
        (200, ((31, 41), (100, 110)), 30),
        (130, ((31, 41), (100, 110)), 19),  # 20 after: f = 0 … min(30, 130 − 110 − 1) − 1
        (22, ((1, 22),), 1),
    ],
)
def test_published_steps(length, fragments, steps):
    assert published_steps(Target(fragments), length) == steps
    assert check_steps(None, Target(fragments), length) == tuple(range(steps))


def test_fragments_are_read_as_a_person_writes_them():
    assert as_target((3, 5), 10) == as_target([(3, 5)], 10) == Target(((3, 5),))
    assert as_target([(7, 9), (3, 5)], 10).fragments == ((3, 5), (7, 9))
    assert str(as_target([(3, 5), (7, 7)], 10)) == "3-5,7"
    pair = as_target([(3, 5), (7, 9)], 10)
    assert (pair.rows, pair.columns, pair.size) == (slice(2, 5), slice(6, 9), 6)


@pytest.mark.parametrize(
    ("fragments", "words"),
    [
        ([(1, 2), (4, 5), (7, 8)], "not 3"),
        ([], "not 0"),
        ([(3, 5), (5, 8)], "overlap"),
        ((5, 30), "does not lie within"),
    ],
)
def test_fragments_that_cannot_be(fragments, words):
    with pytest.raises(MaskError, match=words):
        as_target(fragments, 10)


def test_options_that_do_not_exist():
    assert check_patterns("random") == ("random",)
    assert check_patterns(PATTERNS, Target(((1, 2), (4, 5)))) == tuple(PATTERNS)
    for patterns in ("flanks", ["random", "random"], []):
        with pytest.raises(UsageError):
            check_patterns(patterns)
    with pytest.raises(UsageError, match="give two"):
        check_patterns("flanking_inward", Target(((1, 2),)))
    for steps in ([3, 1], [-1], [], [0.5], "x", [1, 1]):
        with pytest.raises(UsageError):
            check_steps(steps, Target(((3, 4),)), 10)
    assert check_steps(3, Target(((3, 4),)), 10) == (0, 1, 2)
