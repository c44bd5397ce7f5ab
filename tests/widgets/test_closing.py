"""What is closed leaves no comm behind: each view alone, explorers with their panels, what was refused."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from ipywidgets.widgets import widget as registry
from notebook_page import Wire

import catjac_widgets
from catjac_widgets.errors import UsageError
from catjac_widgets.structures.example_proteins import examples
from catjac_widgets.widgets.contact_map.view import ContactMap
from catjac_widgets.widgets.explorer.launch import explore
from catjac_widgets.widgets.jacobian_slice.view import JacobianSlice
from catjac_widgets.widgets.recovery.view import RecoveryCurve
from catjac_widgets.widgets.sensitivity.view import Sensitivity
from catjac_widgets.widgets.sequence_mask.view import SequenceMask
from catjac_widgets.widgets.structure.view import StructureView
from catjac_widgets.widgets.structure.viewer import THREAD

WW = examples()["ww"]


@pytest.fixture(scope="module")
def J() -> xr.DataArray:
    return catjac_widgets.jacobian(WW.sequence, variant="fast", progress=False)


@pytest.fixture(autouse=True)
def nglview() -> Any:
    """Import it before anything is counted: it makes a widget of its own, once a process."""
    return pytest.importorskip("nglview", reason="nglview is not installed")


def left_by(use: Callable[[], None]) -> list[str]:
    before = set(registry._instances)
    use()
    return sorted(type(registry._instances[name]).__name__ for name in set(registry._instances) - before)


VIEWS: dict[str, Callable[[xr.DataArray], Any]] = {
    "contact map": lambda J: ContactMap(catjac_widgets.contacts(J)),
    "slice": JacobianSlice,
    "sensitivity": Sensitivity,
    "sequence": lambda J: SequenceMask(WW.sequence),
    "recovery": lambda J: RecoveryCurve(WW.sequence),
    "structure": lambda J: StructureView(WW),
    "structure with lines and tracks": lambda J: StructureView(
        WW, contacts=catjac_widgets.contacts(J), tracks={"place": np.arange(len(WW.sequence))}
    ),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_leaves_nothing(name: str, wire: Wire, J: xr.DataArray) -> None:
    def use() -> None:
        view = VIEWS[name](J)
        view.close()
        view.close()

    assert left_by(use) == []


def test_a_structure_that_follows_another_view_leaves_that_one_alone(wire: Wire, J: xr.DataArray) -> None:
    shown = ContactMap(catjac_widgets.contacts(J))

    def use() -> None:
        StructureView(WW, state=shown).close()

    assert left_by(use) == []
    assert shown.comm is not None
    shown.selection = (2, 9)
    shown.close()


def test_a_structure_that_is_refused_leaves_nothing(wire: Wire) -> None:
    def use() -> None:
        with pytest.raises(UsageError, match="3 residues"):
            StructureView(WW, contacts=np.zeros((3, 3)))
        with pytest.raises(UsageError, match="'short'"):
            StructureView(WW, tracks={"short": [1.0, 2.0]})

    assert left_by(use) == []


@pytest.mark.parametrize("order", [(), ("structure",), ("map", "recovery"), ("structure", "slice")])
def test_an_explorer_with_a_structure_leaves_nothing(order: tuple[str, ...], wire: Wire) -> None:
    def use() -> None:
        explorer = explore(WW, variant="fast")
        everything = explorer.panels
        explorer.wait(60)
        for _ in range(2):
            explorer.panels = order
            explorer.delivery.flush()
            explorer.panels = everything
            explorer.delivery.flush()
        explorer.panels = order
        explorer.close()

    assert left_by(use) == []


def test_an_explorer_whose_structure_is_shown_late_leaves_nothing(wire: Wire) -> None:
    def use() -> None:
        explorer = explore(WW, variant="fast", panels=["map"])
        explorer.panels = ("structure",)
        explorer.close()  # while its job runs

    assert left_by(use) == []


def test_a_closed_structure_is_freed_and_its_thread_ends(wire: Wire) -> None:
    view = StructureView(WW)
    # As the page says that it is there; a call then starts nglview's thread.
    view.view._handle_nglview_custom_msg(view.view, {"type": "request_loaded", "data": True}, [])
    view.view.center()
    (thread,) = [each for each in threading.enumerate() if each.name == THREAD]
    # One that waits for an answer of the page, which will never come.
    view.view._remote_call("loadFile", target="Stage", args=[{}])
    held = weakref.ref(view), weakref.ref(view.view)
    view.close()
    view.view.center()  # nobody sees it, and it starts nothing
    thread.join(20)
    assert not thread.is_alive()
    assert not [each for each in threading.enumerate() if each.name == THREAD]
    del view, thread
    wire.comms.clear()
    until = time.monotonic() + 20
    while any(ref() is not None for ref in held) and time.monotonic() < until:
        gc.collect()
        time.sleep(0.05)
    assert [ref() for ref in held] == [None, None]
