"""An hour-long session in miniature leaves memory, threads, comms and file handles flat."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest
from long_session import LongSession, Usage
from notebook_page import Wire

from catjac_widgets.language_models.registry import KEPT_MODELS
from catjac_widgets.widgets.sequence_mask.view import SequenceMask

pytestmark = pytest.mark.timeout(900)

#: Megabytes that the allocator may keep for itself. Models and explorers that are held are counted below.
ROOM = 30.0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what a process holds is read from /proc")
def test_drags_models_and_cancels_use_nothing_up(wire: Wire, tmp_path: Path, own_cache: Path) -> None:
    session = LongSession(wire, tmp_path)
    session.play(drags=40, models=KEPT_MODELS + 2, cancels=5)
    before = Usage.now()
    session.play(drags=80, models=5, cancels=8)
    after = Usage.now()
    assert (after.threads, after.comms, after.files) == (before.threads, before.comms, before.files)
    assert after.megabytes < before.megabytes + ROOM, f"{before} became {after}"
    assert session.held() == []
    assert sum(model() is not None for model in session.models) <= KEPT_MODELS


def test_a_closed_view_is_freed(wire: Wire) -> None:
    import weakref

    view = SequenceMask("ACDEFGHIKLMNPQRSTVWY")
    held = weakref.ref(view)
    view.close()
    wire.comms.clear()
    del view
    gc.collect()
    assert held() is None
