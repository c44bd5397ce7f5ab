"""Curves over many proteins: counts, bands, differences, jumps, and running them again."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_arrays import random_sequence
from scipy.stats import binomtest
from stubs import PottsModel

import catjac_widgets
from catjac_widgets.analysis.recovery import over_proteins as recovery_over_proteins
from catjac_widgets.analysis.recovery.bands import bootstrap, wilson
from catjac_widgets.analysis.recovery.jumps import find_jump, minimum_segments, recovery_jumps
from catjac_widgets.analysis.recovery.one_protein import recovery, recovery_scan
from catjac_widgets.analysis.recovery.over_proteins import (
    recovery_advantage,
    recovery_curves,
    recovery_table,
)
from catjac_widgets.analysis.statistics import DRAWS
from catjac_widgets.errors import Cancelled, ModelError, SequenceError, UsageError
from catjac_widgets.plots.recovery import plot_recovery

PROTEINS = {"one": random_sequence(40, 9), "two": random_sequence(30, 10), "three": random_sequence(34, 11)}
SHORT = {"size": 6, "minimum_contacts": 0, "margin": 4}


@pytest.fixture(scope="module")
def curves(esm2):
    return recovery_curves(PROTEINS, esm2, **SHORT, threshold=0.9, avoided=5, progress=False)


def made_up(R: np.ndarray, owners: list[str], patterns: tuple[str, ...], size: int = 22) -> xr.Dataset:
    """A result of recovery_curves with given R (pattern, segment, step)."""
    steps = np.arange(R.shape[2])
    one_side = np.isin(patterns, ("flanking_first", "flanking_last"))
    shown = size + np.where(one_side, 1, 2)[:, None, None] * steps
    return xr.Dataset(
        {
            "R": (("pattern", "segment", "step"), R),
            "visible": (("pattern", "segment", "step"), np.where(np.isfinite(R), shown, 0)),
            **{
                name: (("pattern", "step"), np.zeros(R.shape[::2]))
                for name in ("mean", "segments", "proteins")
            },
        },
        coords={
            "pattern": list(patterns),
            "step": steps,
            "protein": ("segment", np.array(owners)),
            "fragment": ("segment", [f"{k + 1}-{k + size}" for k in range(len(owners))]),
        },
        attrs={"threshold": 0.5, "confidence": 0.9, "source": "contact_head"},
    )


# ---- bands


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_bootstrap_against_a_plain_loop(seed):
    rng = np.random.default_rng(seed)
    owner = np.sort(rng.integers(0, 4, 9))
    owner = np.searchsorted(np.unique(owner), owner)
    values = np.where(rng.random((9, 3)) < 0.3, np.nan, rng.normal(size=(9, 3)))
    found = bootstrap(values, owner, 0.8, seed)
    count = int(owner.max()) + 1
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=DRAWS)
    for step in range(3):
        column = values[:, step]
        there = np.isfinite(column)
        assert found["segments"][step] == there.sum()
        assert found["proteins"][step] == len(set(owner[there]))
        if not there.any():
            assert np.isnan(found["value"][step])
            continue
        assert found["value"][step] == pytest.approx(column[there].mean(), abs=1e-12)
        if len(set(owner[there])) < 2:
            assert np.isnan(found["low"][step])
            continue
        drawn = []
        for draw in weights:
            taken = [column[k] for k in range(9) if there[k] for _ in range(draw[owner[k]])]
            if taken:
                drawn.append(np.mean(taken))
        assert found["low"][step] == pytest.approx(np.quantile(drawn, 0.1), abs=1e-9)
        assert found["high"][step] == pytest.approx(np.quantile(drawn, 0.9), abs=1e-9)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (3, 7), (40, 90)])
def test_wilson_against_scipy(hits, n):
    values = np.where(np.arange(n) < hits, 100.0, 0.0)[:, None]
    found = wilson(np.concatenate([values, [[np.nan]]]), np.arange(n + 1), 0.95)
    expected = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert found["low"][0] == pytest.approx(100 * expected.low, abs=1e-9)
    assert found["high"][0] == pytest.approx(100 * expected.high, abs=1e-9)
    assert (found["value"][0], found["segments"][0], found["proteins"][0]) == (100 * hits / n, n, n)
    assert np.isnan(wilson(np.array([[np.nan]]), np.array([0]), 0.95)["value"][0])


# ---- curves and tables


def test_curves_count_what_they_rest_on(curves):
    for pattern in curves["pattern"].values:
        for step in curves["step"].values:
            values = curves["R"].sel(pattern=pattern, step=step).values
            there = np.isfinite(values)
            point = curves.sel(pattern=pattern, step=step)
            assert int(point["segments"]) == there.sum()
            assert int(point["proteins"]) == len(set(curves["protein"].values[there]))
            if not there.any():
                assert np.isnan(point["percent"])
                assert np.isnan(point["mean"])
                continue
            assert float(point["percent"]) == pytest.approx(100 * (values[there] > 0.9).mean())
            assert float(point["mean"]) == pytest.approx(values[there].mean())
            if int(point["proteins"]) > 1:
                assert point["low"] <= point["percent"] <= point["high"]
                assert point["mean_low"] <= point["mean"] <= point["mean_high"]
            else:
                assert np.isnan(point["low"])
                assert np.isnan(point["mean_low"])
    # Away from the fragments too few residues are left of so short chains.
    distant = curves.sel(pattern="random_distant")
    assert np.isnan(distant["percent"]).any()
    assert (distant["segments"] == 0).any()
    assert curves.attrs["proteins_given"] == 3
    assert list(curves["sequence"].values) == list(PROTEINS.values())


def test_recovered_means_above_the_threshold_not_at_it(esm2, curves):
    value = float(curves["R"].sel(pattern="flanking").isel(segment=0, step=0))
    at = recovery_curves(PROTEINS, esm2, **SHORT, threshold=value, avoided=5, progress=False)
    below = recovery_curves(
        PROTEINS, esm2, **SHORT, threshold=np.nextafter(value, 0), avoided=5, progress=False
    )
    first = {"pattern": "flanking", "step": 0}
    n = int(curves["segments"].sel(first))
    assert float(below["percent"].sel(first) - at["percent"].sel(first)) == pytest.approx(100 / n)


def test_the_table_holds_what_the_curves_hold(curves, tmp_path: Path):
    table = recovery_table(curves)
    assert len(table) == curves.sizes["pattern"] * curves.sizes["step"]
    assert list(table.columns[:3]) == ["pattern", "flank", "percent"]
    for row in table.itertuples():
        point = curves.sel(pattern=row.pattern, step=row.flank)
        for name in ("percent", "low", "high", "mean", "segments", "proteins"):
            np.testing.assert_equal(getattr(row, name), point[name].item())
    with pytest.raises(UsageError, match="no result of"):
        recovery_table(xr.Dataset())


def test_wilson_bands_are_wider_where_all_segments_agree(esm2):
    options = {**SHORT, "threshold": -1.0, "steps": 2, "pattern": "flanking", "progress": False}
    drawn = recovery_curves(PROTEINS, esm2, **options)
    score = recovery_curves(PROTEINS, esm2, band="wilson", **options)
    assert (drawn["low"] == 100).all()
    assert (score["low"] < 100).all()
    assert (score["percent"] == 100).all()
    xr.testing.assert_equal(score["mean_low"], drawn["mean_low"])


def test_a_jacobian_has_no_threshold_unless_one_is_given(own_cache):
    model = PottsModel(seed=1, scale=0.3)
    proteins = {"a": random_sequence(20, 1), "b": random_sequence(22, 2)}
    options = {
        "source": "jacobian",
        "variant": "fast",
        "pattern": ["flanking", "random"],
        "fragments": {"a": [(6, 11)], "b": [[(4, 7), (13, 17)]]},
        "steps": 3,
        "progress": False,
    }
    found = recovery_curves(proteins, model, **options)
    assert "percent" not in found
    assert "threshold" not in found.attrs
    np.testing.assert_allclose(found["mean"], 1, atol=1e-4)
    np.testing.assert_allclose(found["R_control"], 1, atol=1e-4)
    assert "percent" not in recovery_table(found)
    assert "percent" not in recovery_advantage(found, "flanking", "random")
    with pytest.raises(UsageError, match="no calibrated scale"):
        recovery_jumps(found)
    counted = recovery_curves(proteins, model, threshold=0.5, **options)
    assert (counted["percent"] == 100).all()


def test_pairs_take_the_secondary_structure_of_examples(own_cache):
    protein = catjac_widgets.examples()["sh3"]
    options = {
        "protocol": "pair", "size": 5, "margin": 2, "distance": (8, None), "minimum_contacts": 0, "steps": 2,
        "pattern": "flanking", "progress": False,
    }  # fmt: skip
    found = recovery_curves([protein], "mini", **options)
    states = protein.structure.secondary_structure(protein.sequence)
    alone = recovery_scan(protein.sequence, "mini", secondary_structure=states, **options)
    assert list(found["fragment"].values) == list(alone["fragment"].values)
    assert found.sizes["segment"]
    assert alone.attrs["secondary_structure"] == "".join(str(state) or "-" for state in states.values)
    given = {protein.name: alone.attrs["secondary_structure"]}
    text = recovery_curves({protein.name: protein.sequence}, "mini", secondary_structure=given, **options)
    xr.testing.assert_equal(found["R"], text["R"])
    with pytest.raises(UsageError, match=f"{protein.name}: Pairs of elements need a secondary structure"):
        recovery_curves({protein.name: protein.sequence}, "mini", **options)


def test_eligibility_may_be_judged_by_given_contacts(esm2):
    contacts = {name: np.zeros((len(text), len(text))) for name, text in PROTEINS.items()}
    contacts["two"][8:14, 8:14] = 1
    found = recovery_curves(
        PROTEINS, esm2, size=6, minimum_contacts=35, margin=4, contacts=contacts, steps=2, progress=False
    )
    assert list(zip(found["protein"].values, found["fragment"].values, strict=True)) == [("two", "9-14")]


def test_nothing_eligible_is_an_empty_result(esm2):
    found = recovery_curves(PROTEINS, esm2, size=6, minimum_contacts=1e6, margin=4, progress=False)
    assert found.sizes["segment"] == 0
    assert found.attrs["proteins_given"] == 3
    assert len(recovery_table(found)) == 0
    assert int(recovery_advantage(found)["overall_segments"]) == 0
    assert int(recovery_jumps(found)["cases"].sum()) == 0
    above, _ = plot_recovery(found).children
    assert above.renderers


def test_bad_input_is_named_before_anything_runs(esm2, monkeypatch):
    def never(*args, **options):
        raise AssertionError("nothing may run")

    with monkeypatch.context() as patch:
        patch.setattr(recovery_over_proteins, "recovery_scan", never)
        for proteins, words in (([], "no protein"), ("ACD", "list of sequences")):
            with pytest.raises(UsageError, match=words):
                recovery_curves(proteins, esm2)
        with pytest.raises(ModelError, match="potts stub 0 has no fitted contact head"):
            recovery_curves(PROTEINS, PottsModel())
        with pytest.raises(SequenceError, match="bad: residue 2 is 'J'"):
            recovery_curves(PROTEINS | {"bad": "AJC"}, esm2)
        for options, words in (
            ({"confidence": 1.0}, "between 0 and 1"),
            ({"band": "normal"}, "neither 'bootstrap' nor 'wilson'"),
            ({"pattern": "flank"}, "is none of"),
            ({"source": "head"}, "neither 'contact_head' nor 'jacobian'"),
            ({"sise": 3}, "recovery_curves has no option sise="),
            ({"fragments": {"one": [(3, 9)]}, "margin": 3}, "no option margin= with fragments="),
            ({"fragments": {"four": [(3, 9)]}}, "'four', which is none of the proteins"),
        ):
            with pytest.raises(UsageError, match=words):
                recovery_curves(PROTEINS, esm2, **options)


def test_cancelling_keeps_the_proteins_that_are_done(esm2, own_cache, monkeypatch):
    stop = threading.Event()
    real = recovery_over_proteins.recovery_scan

    def then_stop(*args, **options):
        found = real(*args, **options)
        stop.set()
        return found

    options = {**SHORT, "progress": False}
    with monkeypatch.context() as patch:
        patch.setattr(recovery_over_proteins, "recovery_scan", then_stop)
        with pytest.raises(Cancelled, match="two: "):
            recovery_curves(PROTEINS, esm2, stop=stop, **options)
    before = catjac_widgets.cache.info()
    recovery_curves({"one": PROTEINS["one"]}, esm2, **options)
    assert catjac_widgets.cache.info().rows_computed == before.rows_computed
    again = recovery_curves(PROTEINS, esm2, **options)
    xr.testing.assert_identical(again, recovery_curves(PROTEINS, esm2, cache=False, **options))


# ---- differences


def test_advantage_against_its_definition(curves):
    found = recovery_advantage(curves, "flanking", "random")
    one, other = (curves["R"].sel(pattern=name).values for name in ("flanking", "random"))
    assert list(found["step"].values) == [step for step in curves["step"].values if step > 0]
    for step in found["step"].values:
        both = np.isfinite(one[:, step]) & np.isfinite(other[:, step])
        point = found.sel(step=step)
        assert int(point["segments"]) == both.sum()
        assert float(point["mean"]) == pytest.approx((one - other)[both, step].mean(), abs=1e-12)
        share = (one[both, step] > 0.9).mean() - (other[both, step] > 0.9).mean()
        assert float(point["percent"]) == pytest.approx(100 * share, abs=1e-9)
    own = [np.nanmean(row) for row in (one - other)[:, 1:] if np.isfinite(row).any()]
    assert float(found["overall_mean"]) == pytest.approx(np.mean(own), abs=1e-12)
    assert float(found["overall_mean_low"]) <= float(found["overall_mean"]) <= found["overall_mean_high"]
    with pytest.raises(UsageError, match="hold no pattern 'flanking_both'"):
        recovery_advantage(curves, "flanking_both")


def test_advantage_of_a_pattern_over_itself_is_nothing():
    R = np.random.default_rng(0).random((2, 5, 4))
    R[1] = R[0]
    found = recovery_advantage(made_up(R, list("aabbc"), ("flanking", "random")))
    for name in ("mean", "percent", "overall_mean", "overall_percent", "overall_low", "overall_mean_high"):
        np.testing.assert_allclose(found[name], 0, atol=1e-12)
    R[0] += 1.0
    found = recovery_advantage(made_up(R, list("aabbc"), ("flanking", "random")))
    np.testing.assert_allclose(found["mean_low"], 1, atol=1e-12)


# ---- jumps


def test_jumps_and_minimum_segments_of_known_curves():
    low, high = [0.1] * 30, [0.9] * 30
    jump = lambda t: [0.1] * t + [0.9] * (30 - t)  # noqa: E731
    relapse = [0.1] * 5 + [0.85] + [0.1] * 3 + [0.5] * 21
    never = [np.nan] * 30
    both, first, last = (
        [jump(12), jump(12), low, high, relapse, never],
        [jump(9), low, jump(2), high, low, never],
        [jump(15), low, jump(2), high, low, never],
    )
    found = made_up(
        np.array([both, first, last]), list("aabbcc"), ("flanking", "flanking_first", "flanking_last")
    )
    jumps = recovery_jumps(found)
    flanking = jumps.sel(pattern="flanking")
    np.testing.assert_array_equal(flanking["stable"], [12, 12, np.nan, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(flanking["first"], [12, 12, np.nan, np.nan, 5, np.nan])
    np.testing.assert_array_equal(flanking["visible"], [46, 46, np.nan, np.nan, np.nan, np.nan])
    assert float(jumps["visible"].sel(pattern="flanking_first")[0]) == 22 + 9
    counts = {
        "cases": 5, "low_cases": 1, "reached": 4, "jumped": 3, "stable_cases": 2, "not_stable": 2,
        "started_high_cases": 1,
    }  # fmt: skip
    assert {name: int(flanking[name]) for name in counts} == counts
    shortest = minimum_segments(found)
    np.testing.assert_array_equal(shortest["symmetric"], [46, 46, *[np.nan] * 4])
    np.testing.assert_array_equal(shortest["asymmetric"], [22 + 9 + 12, 46, *[np.nan] * 4])
    np.testing.assert_array_equal(
        shortest["symmetric_as_published"] - shortest["symmetric"], [2, 2, *[np.nan] * 4]
    )
    np.testing.assert_array_equal(
        shortest["asymmetric_as_published"] - shortest["asymmetric"], [2, 2, *[np.nan] * 4]
    )
    assert list(shortest["side"].values) == ["first", "", "", "", "", ""]


def test_jumps_of_a_result_are_those_of_its_curves(curves):
    constants = {"rise": 0.05, "window": 3, "exceptions": 0, "drop": 0.05}
    jumps = recovery_jumps(curves, **constants)
    seen = set()
    for pattern in curves["pattern"].values:
        for segment in range(curves.sizes["segment"]):
            here = {"pattern": pattern}
            jump = find_jump(curves["R"].sel(here).isel(segment=segment).values, threshold=0.9, **constants)
            one = jumps.sel(here).isel(segment=segment)
            assert bool(one["low"]) == jump.low
            np.testing.assert_equal(
                float(one["stable"]), np.nan if jump.stable is None else float(jump.stable)
            )
            if jump.stable is not None:
                shown = curves["visible"].sel(here | {"step": jump.stable})[segment]
                assert float(one["visible"]) == int(shown)
            seen.add(jump.stable is None)
    assert seen == {True, False}


def test_jumps_need_every_flank_length(esm2):
    found = recovery(random_sequence(30, 3), esm2, fragments=(10, 16), steps=[0, 2, 4], progress=False)
    with pytest.raises(UsageError, match="must be 0, 1, 2"):
        recovery_jumps(found)
    whole = recovery(random_sequence(30, 3), esm2, fragments=(10, 16), progress=False)
    assert int(recovery_jumps(whole)["cases"].sum()) == 1
    with pytest.raises(UsageError, match="no pattern 'flanking_first'"):
        minimum_segments(whole)
    with pytest.raises(UsageError, match="no result of a recovery"):
        recovery_jumps(xr.Dataset())
