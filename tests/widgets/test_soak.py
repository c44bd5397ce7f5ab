"""A person's hour in small, and explorers by the dozen: no error, no process left, nothing used up.

`make soak` plays a whole hour and 500 explorers: CATJAC_SOAK_MINUTES and CATJAC_SOAK_EXPLORERS say how much.
All three tests go on with one session, in which everything was played once before anything is measured.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from long_session import Usage
from notebook_page import Wire
from soak import Soak

from catjac_widgets.language_models.registry import KEPT_MODELS
from catjac_widgets.widgets.sequence_mask.view import SequenceMask

MINUTES = float(os.environ.get("CATJAC_SOAK_MINUTES", "0.1"))
EXPLORERS = int(os.environ.get("CATJAC_SOAK_EXPLORERS", "8"))

#: Megabytes that the allocator may keep for itself: the full Jacobian of one explorer here takes 1.8.
ROOM = 30.0

pytestmark = pytest.mark.timeout(600 + 180 * MINUTES + 10 * EXPLORERS)

on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="what a process holds is read from /proc"
)


class _Errors(logging.Handler):
    """Keeps what was logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture(scope="module")
def errors() -> Iterator[list[str]]:
    """All errors that were logged since the session began."""
    handler = _Errors()
    logging.getLogger().addHandler(handler)
    yield handler.said
    logging.getLogger().removeHandler(handler)


@pytest.fixture(scope="module")
def session(errors: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soak]:
    """A session in which every act was played once, and as many models loaded as are kept."""
    pytest.importorskip("nglview", reason="nglview is not installed")
    folder = tmp_path_factory.mktemp("soak")
    with Wire().installed() as wire, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CATJAC_CACHE", str(folder / "cache"))
        session = Soak(wire, folder)
        session.play(drags=15, models=KEPT_MODELS + 1, cancels=2)
        session.work(0)
        yield session


@contextmanager
def nothing_used_up(session: Soak, errors: list[str]) -> Iterator[Usage]:
    """Nothing grows meanwhile, nobody holds what was closed, and no error is logged."""
    before = Usage.now()
    yield before
    after = Usage.now()
    print(f"at the end: {after}", flush=True)
    assert (after.threads, after.comms, after.files) == (before.threads, before.comms, before.files)
    assert after.megabytes < before.megabytes + ROOM, f"{before} became {after}"
    assert session.held() == []
    assert sum(model() is not None for model in session.models) <= KEPT_MODELS
    assert errors == []


@on_linux
def test_explorers_that_are_opened_cancelled_and_closed_use_nothing_up(
    session: Soak, errors: list[str]
) -> None:
    with nothing_used_up(session, errors) as before:
        print(f"\n0 explorers: {before}", flush=True)
        for number in range(1, EXPLORERS + 1):
            session.open_cancel_close()
            if number % 50 == 0:
                print(f"{number} explorers: {Usage.now()}", flush=True)


@on_linux
def test_drags_models_and_cancels_use_nothing_up(session: Soak, errors: list[str]) -> None:
    with nothing_used_up(session, errors):
        session.play(drags=50, models=KEPT_MODELS, cancels=5)


@on_linux
def test_a_persons_hour_uses_nothing_up(session: Soak, errors: list[str]) -> None:
    session.acts.clear()
    session.seconds.clear()
    started = time.monotonic()

    def tell() -> None:
        minutes = (time.monotonic() - started) / 60
        print(f"{minutes:.1f} minutes, {session.acts.total()} acts: {Usage.now()}", flush=True)

    with nothing_used_up(session, errors) as before:
        print(f"\n0 minutes: {before}", flush=True)
        # A kernel is a process of its own: in a short run, the one that was killed before is enough.
        session.work(60 * MINUTES, tell, without=("kernel",) if MINUTES < 1 else ())
    means = {
        name: f"{count} of {session.seconds[name] / count:.1f} s" for name, count in session.acts.items()
    }
    print(means, flush=True)


def test_a_closed_view_is_freed(wire: Wire) -> None:
    view = SequenceMask("ACDEFGHIKLMNPQRSTVWY")
    held = weakref.ref(view)
    view.close()
    wire.comms.clear()
    del view
    gc.collect()
    assert held() is None
