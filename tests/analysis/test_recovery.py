from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
import xarray as xr
from labelled_arrays import random_sequence
from stubs import PottsModel

from catjac_widgets.analysis.recovery import target_scan as recovery_runs
from catjac_widgets.analysis.recovery.one_protein import recovery, recovery_scan
from catjac_widgets.analysis.recovery.protocols import choose_targets, farthest_points, protocol, runs
from catjac_widgets.engine.cache.store import cache
from catjac_widgets.errors import Cancelled, ModelError, UsageError
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import as_sequence


def head(esm2, residues: str, masked: np.ndarray) -> np.ndarray:
    module, alphabet = esm2
    tokens = alphabet.get_batch_converter()([("", residues)])[2]
    tokens[0, 1:-1][torch.from_numpy(masked)] = alphabet.mask_idx
    with torch.no_grad():
        return module.predict_contacts(tokens)[0].double().numpy()


@pytest.mark.parametrize("fragments", [(8, 15), [(6, 9), (18, 22)]])
def test_against_one_pass_a_step_of_fair_esm(esm2, own_cache, fragments):
    residues = random_sequence(30, 3)
    patterns = ["flanking", "random_nested", "random_distant"]
    found = recovery(residues, esm2, fragments=fragments, pattern=patterns, avoided=2, progress=False)
    assert dict(found.sizes) == {"pattern": 3, "fragment": 1, "step": found.sizes["step"], "pos": 30}
    listed = [fragments] if isinstance(fragments, tuple) else fragments
    rows, columns = (slice(first - 1, last) for first, last in (listed[0], listed[-1]))
    before = head(esm2, residues, np.zeros(30, bool))[rows, columns]
    for pattern in patterns:
        for step in found["step"].values:
            one = found.sel(pattern=pattern, step=step).isel(fragment=0)
            after = head(esm2, residues, one["masked"].values)[rows, columns]
            if np.isnan(one["R"]):
                assert pattern == "random_distant"
                continue
            assert float(one["R"]) == pytest.approx((before * after).sum() / (before**2).sum(), abs=1e-5)
            assert int(one["visible"]) == (~one["masked"].values).sum()
            assert not one["masked"].values[listed[0][0] - 1 : listed[0][1]].any()


def test_one_scan_is_one_entry_and_is_answered_from_the_store(esm2, own_cache):
    residues = random_sequence(30, 4)
    cache.clear()
    before = cache.info()
    first = recovery(residues, esm2, fragments=(9, 16), pattern=["flanking", "random"], progress=False)
    between = cache.info()
    again = recovery(residues, esm2, fragments=(9, 16), pattern=["flanking", "random"], progress=False)
    after = cache.info()
    assert between.entries == 1
    computed = between.rows_computed - before.rows_computed
    # The unmasked map, the fragment alone (shared) and two masks a further step.
    assert computed == 2 + 2 * (first.sizes["step"] - 1)
    assert after.rows_computed == between.rows_computed
    assert after.rows_read - between.rows_read == computed
    xr.testing.assert_identical(first, again)


def test_it_can_be_stopped_and_continued(esm2, own_cache, monkeypatch):
    from catjac_widgets.engine.plans import mask_scan as mask_scan_plan

    monkeypatch.setattr(mask_scan_plan, "BLOCK_RESIDUES", 4 * 30)
    residues, stop = random_sequence(30, 5), threading.Event()
    whole = recovery(residues, esm2, fragments=(9, 16), progress=False, cache=False)
    stop.set()
    with pytest.raises(Cancelled, match="calling again continues"):
        recovery(residues, esm2, fragments=(9, 16), progress=False, stop=stop)
    found = recovery(residues, esm2, fragments=(9, 16), progress=False)
    xr.testing.assert_identical(found, whole)


@pytest.mark.parametrize("variant", ["full", "fast"])
def test_no_mask_changes_a_potts_model(own_cache, variant):
    model = PottsModel(seed=1, scale=0.3)
    found = recovery(
        random_sequence(24, 6),
        model,
        fragments=[(5, 8), (15, 18)],
        pattern=["flanking", "random", "flanking_both"],
        source="jacobian",
        variant=variant,
        progress=False,
    )
    # Logits are float32, of a size of some ten.
    np.testing.assert_allclose(found["R"], 1, atol=1e-4)
    np.testing.assert_allclose(found["cosine"], 1, atol=1e-4)
    np.testing.assert_allclose(found["R_control"], 1, atol=1e-4)
    assert "threshold" not in found.attrs


def test_jacobian_recovery_against_its_definition(esm2, own_cache):
    import catjac_widgets

    residues, target = random_sequence(14, 7), (4, 8)
    found = recovery(
        residues, esm2, fragments=target, source="jacobian", steps=[1, 2], control=False, progress=False
    )

    def norms(mask: Mask) -> np.ndarray:
        J = catjac_widgets.jacobian(residues, esm2, mask=mask, progress=False, cache=False).values
        J = J.astype(float) - J.mean(axis=1, keepdims=True, dtype=float)
        J = J - J.mean(axis=3, keepdims=True)
        return np.sqrt((((J + J.transpose(2, 3, 0, 1)) / 2) ** 2).sum(axis=(1, 3)))

    for step in (1, 2):
        shown = np.arange(target[0] - 1 - step, target[1] + step)
        mask = Mask.from_array(~np.isin(np.arange(14), shown))
        blocks = []
        for made in (norms(Mask.none(14)), norms(mask)):
            part = made[np.ix_(shown, shown)] * (1 - np.eye(len(shown)))
            part = part - np.outer(part.sum(1), part.sum(0)) / part.sum()
            blocks.append((part * (1 - np.eye(len(shown))))[step : -step or None, step : -step or None])
        expected = (blocks[0] * blocks[1]).sum() / (blocks[0] ** 2).sum()
        assert found["R"].sel(step=step).item() == pytest.approx(expected, abs=1e-4)


def test_everything_visible_is_recovered_whole(esm2, own_cache):
    found = recovery(random_sequence(20, 8), esm2, fragments=(6, 12), steps=[0, 30], progress=False)
    assert found["visible"].isel(step=1).item() == 20
    assert found["R"].isel(step=1).item() == 1.0


def test_an_empty_block_gives_nan_and_a_reason(own_cache, monkeypatch):
    def nothing(sequence, model, masks, on_block, **options):
        on_block(0, np.zeros((len(masks), len(sequence), len(sequence)), np.float32))

    monkeypatch.setattr(recovery_runs, "scan_masks", nothing)
    model = PottsModel()
    found = recovery("ACDEFGHIKL", model, fragments=(3, 5), source="jacobian", control=False, progress=False)
    assert np.isnan(found["R"]).all()
    assert "not defined" in str(found["reason"].values[0])


def test_a_model_without_a_head_is_told_what_it_can_do():
    with pytest.raises(ModelError, match="source='jacobian'"):
        recovery("ACDEFGHIKL", PottsModel(), fragments=(3, 5))
    with pytest.raises(ModelError, match="pass contacts="):
        recovery_scan("ACDEFGHIKL", PottsModel(), source="jacobian")


def test_segments_as_published():
    length = 80
    sequence = as_sequence("A" * length)
    contacts = np.full((length, length), 15.1 / 22**2)
    found = choose_targets(protocol("segment", picks=None), sequence, contacts)
    # 10 < s < L − 32, s 0-based.
    assert [target.fragments[0] for target in found] == [(s + 1, s + 22) for s in range(11, length - 32)]
    assert not choose_targets(protocol("segment"), sequence, np.full((length, length), 14.9 / 22**2))
    picked = choose_targets(protocol("segment"), sequence, contacts, seed=1)
    assert len(picked) == 3
    assert set(picked) <= set(found)
    assert picked == choose_targets(protocol("segment"), sequence, contacts, seed=1)


def test_pairs_as_published():
    states = "-" * 20 + "E" * 4 + "-" * 10 + "H" * 7 + "-" * 30 + "H" * 8 + "-" * 60 + "E" * 5 + "-" * 30
    assert runs(states) == [(20, 24, "E"), (71, 79, "H"), (139, 144, "E")]
    sequence = as_sequence("A" * len(states))
    contacts = np.ones((len(states), len(states)))
    near = choose_targets(protocol("pair"), sequence, contacts, secondary_structure=states)
    # Centres 22, 75, 141; windows [c − 5, c + 6), written 1-based.
    assert [target.fragments for target in near] == [((18, 28), (71, 81)), ((71, 81), (137, 147))]
    far = choose_targets(
        protocol("pair", distance=(100, None)), sequence, contacts, secondary_structure=states
    )
    assert [target.fragments for target in far] == [((18, 28), (137, 147))]
    inner = choose_targets(protocol("pair", margin=20), sequence, contacts, secondary_structure=states)
    assert [target.fragments for target in inner] == [((71, 81), (137, 147))]
    with pytest.raises(UsageError, match="need a secondary structure"):
        choose_targets(protocol("pair"), sequence, contacts)


def test_nearby_pairs_are_spread():
    sequence = as_sequence("A" * 60)
    found = choose_targets(protocol("nearby"), sequence, np.ones((60, 60)), seed=2)
    assert len(found) == 3
    for target in found:
        (a, b), (c, d) = target.fragments
        assert (b - a, d - c, c - b) == (10, 10, 6)
    assert farthest_points(np.array([0, 1, 5, 10]), 3, 0) == [0, 3, 2]


def test_nearby_windows_may_touch_the_ends_and_need_enough_contacts():
    contacts = np.zeros((27, 27))
    contacts[:11, 16:] = 0.1
    rules = protocol("nearby", picks=None)
    found = choose_targets(rules, as_sequence("A" * 27), contacts)
    assert [target.fragments for target in found] == [((1, 11), (17, 27))]
    contacts[0, 26] = -2.1  # 12.1 - 2.2 < 10
    assert not choose_targets(rules, as_sequence("A" * 27), contacts)
    assert not choose_targets(rules, as_sequence("A" * 26), np.ones((26, 26)))


@pytest.mark.parametrize(("before", "after", "eligible"), [(11, 12, True), (10, 12, False), (11, 11, False)])
def test_the_margin_of_a_pair_as_published(before, after, eligible):
    """min(s1, L − e2 − 1) > 10 with the second window's end excluded, s1 and L − e2 as given."""
    states = "-" * (before + 3) + "E" * 4 + "-" * 70 + "E" * 4 + "-" * (after + 4)
    # Centres lie 2 residues within a run of 4, windows of 11 begin 5 before.
    sequence = as_sequence("A" * len(states))
    found = choose_targets(
        protocol("pair"), sequence, np.ones((len(states),) * 2), secondary_structure=states
    )
    assert bool(found) == eligible
    if found:
        (first, _), (_, last) = found[0].fragments
        assert (first - 1, len(states) - last) == (before, after)


def test_nearby_pairs_run_with_masked_ends(esm2, own_cache):
    """Every map against fair-esm's own head on tokens whose first and last are 32."""
    module, alphabet = esm2
    residues = random_sequence(34, 11)
    found = recovery_scan(
        residues, esm2, protocol="nearby", size=6, gap=3, minimum_contacts=0, picks=2, progress=False
    )
    assert found.sizes["fragment"] == 2
    assert found.attrs["masked_ends"] == 1

    def plain(masked: np.ndarray) -> np.ndarray:
        tokens = alphabet.get_batch_converter()([("", residues)])[2]
        tokens[0, 0] = tokens[0, -1] = 32
        tokens[0, 1:-1][torch.from_numpy(masked)] = 32
        with torch.no_grad():
            return module.predict_contacts(tokens)[0].double().numpy()

    whole = plain(np.zeros(34, bool))
    for fragment in found["fragment"].values:
        (a, b), (c, d) = (map(int, part.split("-")) for part in str(fragment).split(","))
        assert (b - a, c - b, d - c) == (5, 4, 5)
        for pattern in ("flanking", "random"):
            one = found.sel(pattern=pattern, fragment=fragment)
            for step in found["step"].values[np.isfinite(one["R"].values)]:
                before = whole[a - 1 : b, c - 1 : d]
                after = plain(one["masked"].sel(step=step).values)[a - 1 : b, c - 1 : d]
                expected = (before * after).sum() / (before**2).sum()
                assert float(one["R"].sel(step=step)) == pytest.approx(expected, abs=1e-5)
    kept = recovery_scan(
        residues, esm2, protocol="nearby", size=6, gap=3, minimum_contacts=0, picks=2, masked_ends=False,
        progress=False,
    )  # fmt: skip
    assert kept.attrs["model_fingerprint"] != found.attrs["model_fingerprint"]


def test_single_segments_show_22_residues_and_two_more_a_step(own_cache):
    residues = random_sequence(60, 12)
    found = recovery_scan(residues, "mini", minimum_contacts=0, picks=1, progress=False)
    first = int(str(found["fragment"].values[0]).split("-")[0])
    steps = min(first - 1, 60 - (first - 1) - 22 + 1)
    assert list(found["step"].values) == list(range(steps))
    for pattern in ("flanking", "random"):
        assert list(found["visible"].sel(pattern=pattern)[0].values) == [22 + 2 * f for f in range(steps)]
    assert (found["visible"].sel(pattern="flanking") < 60).all()


def test_options_that_do_not_exist():
    for options, words in (
        ({"source": "attention"}, "neither 'contact_head' nor 'jacobian'"),
        ({"protocol": "triple"}, "is none of"),
        ({"sise": 3}, "recovery_scan has no option sise= with protocol='segment'.* size=, minimum"),
        ({"positions": [3]}, "has no option positions="),
        ({"name": "pair"}, "has no option name="),
        ({"strand": 3}, "no option strand= with protocol='segment'"),
        ({"protocol": "nearby", "margin": 3}, "no option margin= with protocol='nearby'"),
        ({"fragments": [(3, 9)], "size": 7}, "no option size= with fragments="),
        ({"size": "22"}, "size='22' is no whole number"),
        ({"picks": True}, "picks=True is no whole number"),
        ({"minimum_contacts": "15"}, "minimum_contacts='15' is no number"),
        ({"protocol": "pair", "distance": 50}, "distance=50 is no range"),
        ({"protocol": "pair", "distance": (None, 50)}, "is no range"),
        ({"protocol": ["pair"]}, "is none of"),
        ({"size": 1}, "size must be 2 or more"),
        ({"protocol": "pair", "distance": (5, 5)}, "holds no pair"),
        ({"protocol": protocol("pair"), "size": 4}, "not both"),
        ({"contacts": np.ones((3, 3))}, r"contacts have the shape \(3, 3\)"),
        ({"protocol": "pair", "secondary_structure": "HH"}, "2 letters for 20 residues"),
    ):
        with pytest.raises(UsageError, match=words):
            recovery_scan(random_sequence(20, 1), "mini", progress=False, **options)
