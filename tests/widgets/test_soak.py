"""A person's hour in small, and explorers by the dozen: no error, no process left, nothing used up.

`make soak` plays a whole hour and 500 explorers: CATJAC_SOAK_MINUTES and CATJAC_SOAK_EXPLORERS say how much.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

import pytest
from long_session import LongSession, Usage
from notebook_page import Wire
from soak import Soak

from catjac_widgets.language_models.registry import KEPT_MODELS

MINUTES = float(os.environ.get("CATJAC_SOAK_MINUTES", "0.1"))
EXPLORERS = int(os.environ.get("CATJAC_SOAK_EXPLORERS", "8"))

#: Megabytes that the allocator may keep for itself: the full Jacobian of one explorer here takes 1.8.
ROOM = 30.0

pytestmark = [
    pytest.mark.timeout(600 + 180 * MINUTES + 10 * EXPLORERS),
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="what a process holds is read from /proc"
    ),
]


def assert_flat(session: LongSession, before: Usage, after: Usage) -> None:
    """Nothing grew, nobody holds what was closed."""
    assert (after.threads, after.comms, after.files) == (before.threads, before.comms, before.files)
    assert after.megabytes < before.megabytes + ROOM, f"{before} became {after}"
    assert session.held() == []


def test_explorers_that_are_opened_cancelled_and_closed_use_nothing_up(
    wire: Wire, tmp_path: Path, own_cache: Path
) -> None:
    pytest.importorskip("nglview", reason="nglview is not installed")
    session = Soak(wire, tmp_path)
    for _ in range(10):
        session.open_cancel_close()
    before = Usage.now()
    print(f"\n0 explorers: {before}", flush=True)
    for number in range(1, EXPLORERS + 1):
        session.open_cancel_close()
        if number % 50 == 0:
            print(f"{number} explorers: {Usage.now()}", flush=True)
    assert_flat(session, before, Usage.now())


def test_a_persons_hour_uses_nothing_up(
    wire: Wire, tmp_path: Path, own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("nglview", reason="nglview is not installed")
    session = Soak(wire, tmp_path)
    for _ in range(KEPT_MODELS + 1):
        session.use_a_model()
    session.work(0)
    before, started = Usage.now(), time.monotonic()
    session.acts.clear()
    session.seconds.clear()
    print(f"\n0 minutes: {before}", flush=True)

    def tell() -> None:
        minutes = (time.monotonic() - started) / 60
        print(f"{minutes:.1f} minutes, {session.acts.total()} acts: {Usage.now()}", flush=True)

    session.work(60 * MINUTES, tell)
    after = Usage.now()
    means = {
        name: f"{count} of {session.seconds[name] / count:.1f} s" for name, count in session.acts.items()
    }
    print(f"{means}\nat the end: {after}", flush=True)
    assert_flat(session, before, after)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
