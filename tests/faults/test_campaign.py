"""The fault campaign finds nothing, and would find something."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from campaign import COLUMNS, Campaign

from catjac_widgets.engine.cache.chunked.digests import Digests
from catjac_widgets.engine.cache.folder.entry import FolderEntry

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="processes are killed by signals"),
    pytest.mark.timeout(3600),
]

#: Rounds, unless CATJAC_FAULT_ROUNDS says otherwise; `make faults` runs a hundred.
ROUNDS = 10 if os.environ.get("CI") else 2


def test_faults_lose_no_row_and_give_no_wrong_number() -> None:
    with Campaign(seed=int(os.environ.get("CATJAC_FAULT_SEED", "1"))) as campaign:
        campaign.run(int(os.environ.get("CATJAC_FAULT_ROUNDS", ROUNDS)))
    everything = campaign.rows()[-1]
    assert everything["faults"] >= 15
    assert campaign.counts["kill in a write"]["faults"] >= 1
    assert {name: everything[name] for name in COLUMNS[3:]} == dict.fromkeys(COLUMNS[3:], 0), campaign.said


def test_without_digests_it_finds_wrong_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FolderEntry, "format", 1)
    monkeypatch.setattr(Digests, "of", lambda self, array, index: frozenset())
    with Campaign(seed=2) as campaign:
        for _ in range(200):
            campaign.damaged_store()
            if campaign.counts["damage"]["wrong_numbers"]:
                return
    pytest.fail("200 damages went unnoticed by the campaign")
