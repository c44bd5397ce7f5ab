"""One seed shows the same residues on the track, which draws in the browser, and in `catjac.recovery`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from catjac_widgets.analysis.recovery.patterns import patterned_masks
from catjac_widgets.analysis.recovery.targets import as_target
from catjac_widgets.proteins.reading import as_sequence


def test_the_browser_s_order_is_the_nested_pattern_s(repository: Path) -> None:
    cases = json.loads((repository / "js" / "tests" / "shared" / "random_orders.json").read_text())
    compared = 0
    for case in cases:
        if not 1 <= len(case["fragments"]) <= 2:
            continue
        sequence = as_sequence("A" * case["length"])
        target = as_target([tuple(run) for run in case["fragments"]], len(sequence))
        for step in (0, 1, 2, 3):
            (masked,), _ = patterned_masks(sequence, target, "random_nested", [step], seed=case["seed"])
            drawn = np.flatnonzero(~masked & ~target.shown(len(sequence))) + 1
            assert sorted(case["order"][: len(drawn)]) == drawn.tolist()
            compared += len(drawn)
    assert compared > 20
